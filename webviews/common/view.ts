/** What every view is: it shows the host's state, asks the host for changes, and says why the host refused one. */
import { css, html, LitElement, nothing, type CSSResultGroup, type TemplateResult } from 'lit';
import { state } from 'lit/decorators.js';
import type { WindowInfo } from '../../extension/protocol/engine';
import type { ErrorData } from '../../extension/protocol/errors';
import type { LoadState, ModelSummary, SubjectSummary } from '../../extension/protocol/view';
import { Bridge } from './bridge';
import { palette } from './colors';
import './header';
import type { HeaderAction } from './header';
import './icon';
import './status';
import { base } from './styles';

/** What every view shows, and may ask of the host. */
type ViewState = LoadState & { model: ModelSummary | null };
interface ViewMethods {
  ready: [null, null];
  cancel: [null, null];
  selectModel: [null, null];
  showLog: [null, null];
  export: [{ format: 'json' | 'csv' | 'clipboard' }, null];
  refresh: [null, null];
  help: [null, null];
}

export abstract class View<
  State extends ViewState,
  M extends { [K in keyof M]: [unknown, unknown] } & ViewMethods,
> extends LitElement {
  static override styles: CSSResultGroup = [
    base,
    css`
      :host {
        display: block;
        padding: 2px 14px 20px;
      }
      .warning {
        color: var(--vscode-editorWarning-foreground);
      }
    `,
  ];
  @state() protected state: State | null = null;
  @state() protected refusal: ErrorData | undefined;
  /** The pointer brought the focus, and says itself where it goes. */
  private pointed = false;
  private readonly bridge = new Bridge<State, M>(
    (state) => {
      this.state = state;
      this.refusal = undefined;
    },
    (error) => (this.refusal = error),
  );

  override connectedCallback(): void {
    super.connectedCallback();
    window.addEventListener('focus', this.onFocus);
    window.addEventListener('pointerdown', this.onPointer, true);
    window.addEventListener('blur', this.onBlur);
    this.ask('ready', null);
    // Read while nobody waits: the first drawing has it then.
    palette();
  }

  override disconnectedCallback(): void {
    window.removeEventListener('focus', this.onFocus);
    window.removeEventListener('pointerdown', this.onPointer, true);
    window.removeEventListener('blur', this.onBlur);
    super.disconnectedCallback();
  }

  /** A view that is called by its command has the focus on its text, or on what is to be done to get one. */
  private readonly onFocus = (): void => {
    if (this.pointed || document.activeElement !== document.body) return;
    this.renderRoot.querySelector<HTMLElement>('lens-token-strip, button.link')?.focus();
  };
  private readonly onPointer = (): void => {
    this.pointed = true;
  };
  private readonly onBlur = (): void => {
    this.pointed = false;
  };

  protected readonly ask = <K extends keyof M & string>(method: K, params: M[K][0]): void => {
    void this.bridge.request(method, params);
  };

  /** What the host keeps until it is looked at; undefined when it refused, which is shown. */
  protected readonly fetch = <K extends keyof M & string>(method: K, params: M[K][0]): Promise<M[K][1] | undefined> =>
    this.bridge.request(method, params);

  /** The whole view: its head, what is changed in the model, what is under way, what went wrong, the content, and for the screen reader the result. */
  protected frame(
    state: State,
    {
      name,
      actions,
      content,
      said,
      changes = nothing,
    }: { name: string; actions: HeaderAction[]; content: unknown; said: string; changes?: unknown },
  ): TemplateResult {
    const loading = state.status === 'loading';
    return html`<main aria-busy=${String(loading)}>
      <lens-header
        name=${name}
        .model=${state.model}
        .actions=${actions}
        @model=${() => this.ask('selectModel', null)}
        @action=${(event: CustomEvent<string>) => this.act(event.detail, state)}
      ></lens-header>
      ${changes}
      ${
        loading
          ? html`<lens-progress .progress=${state.progress} @cancel=${() => this.ask('cancel', null)}></lens-progress>`
          : nothing
      }
      <lens-error
        .error=${this.refusal ?? (state.status === 'error' ? state.error : undefined)}
        @log=${() => this.ask('showLog', null)}
      ></lens-error>
      <div class=${loading ? 'stale' : ''}>${content}</div>
      <div class="visually-hidden" role="status">${state.status === 'ready' ? said : ''}</div>
    </main>`;
  }

  /** Beside the place of a result: why it is not of the whole text, or not of the text as it is now. */
  protected warnings(
    window: Pick<WindowInfo, 'truncatedStart' | 'truncatedEnd'> | null,
    subject: SubjectSummary | null,
  ): TemplateResult {
    const { truncatedStart = false, truncatedEnd = false } = window ?? {};
    const cut = truncatedStart ? (truncatedEnd ? 'both ends' : 'the start') : 'the end';
    return html`${
      truncatedStart || truncatedEnd
        ? html`<span class="warning">cut at ${cut}: the model takes no more tokens</span>`
        : nothing
    }
    ${
      subject?.stale === true
        ? html`<span class="warning"><lens-icon name="warning"></lens-icon> the document was changed since</span>`
        : nothing
    }`;
  }

  /** An action of the head. */
  protected act(action: string, _state: State): void {
    if (action === 'copy') this.ask('export', { format: 'clipboard' });
    else if (action === 'csv' || action === 'json') this.ask('export', { format: action });
    else if (action === 'refresh' || action === 'help') this.ask(action, null);
  }
}
