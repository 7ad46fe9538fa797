/** A layer, and of its heads one, several or all: a row of toggles with one tab stop. */
import { headName } from '../../extension/protocol/format';
import { css, html, LitElement, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { HeadRef } from '../../extension/protocol/attention';
import { palette } from '../common/colors';
import { destination } from '../common/roving';
import { base } from '../common/styles';
import { sameHead } from './heads';

/** Fires `heads` with `{ layer, heads }`; no heads are the whole layer. */
@customElement('lens-head-picker')
export class HeadPicker extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 4px 8px;
      }
      label {
        display: inline-flex;
        align-items: center;
        gap: 4px;
        color: var(--vscode-descriptionForeground);
      }
      [role='toolbar'] {
        display: flex;
        flex-wrap: wrap;
        gap: 1px;
      }
      button {
        min-width: 19px;
        height: 22px;
        padding: 0 2px;
        text-align: center;
        font-variant-numeric: tabular-nums;
        border-color: var(--vscode-contrastBorder, var(--vscode-widget-border, var(--vscode-panel-border)));
      }
      button[aria-pressed='true'] {
        color: var(--vscode-inputOption-activeForeground);
        background: var(--vscode-inputOption-activeBackground);
        border-color: var(--vscode-inputOption-activeBorder, var(--vscode-focusBorder));
        /* In high contrast the background says nothing. */
        box-shadow: inset 0 -3px var(--vscode-contrastActiveBorder, transparent);
      }
      .scaled {
        text-decoration: line-through;
      }
      .other {
        padding: 0 6px;
      }
    `,
  ];
  @property({ type: Number }) layers = 0;
  @property({ type: Number }) headCount = 0;
  @property({ type: Number }) layer = 0;
  @property({ attribute: false }) heads: readonly HeadRef[] = [];
  /** One head only, never the whole layer. */
  @property({ type: Boolean }) single = false;
  /** Heads that are switched off or scaled. */
  @property({ attribute: false }) changed: readonly HeadRef[] = [];
  @property() label = 'Heads of the layer; Ctrl adds one';
  @state() private current = 0;

  override render(): TemplateResult {
    const others = this.heads.filter(({ layer }) => layer !== this.layer);
    const all = Array.from({ length: this.headCount }, (_, head) => head);
    return html`<label
        >Layer
        <select
          aria-label="Layer"
          @change=${(event: Event) => this.toLayer(Number((event.target as HTMLSelectElement).value))}
        >
          ${Array.from(
            { length: this.layers },
            (_, layer) => html`<option .value=${String(layer)} ?selected=${layer === this.layer}>${layer}</option>`,
          )}
        </select></label
      >
      <div role="toolbar" aria-label=${this.label} @keydown=${this.onKey}>
        ${this.single ? nothing : this.button(0, 'all', this.heads.length === 0, 'The whole layer', () => this.send([]))}
        ${all.map((head) => {
          const ref = { layer: this.layer, head };
          return this.button(
            head + (this.single ? 0 : 1),
            String(head),
            this.heads.some((each) => sameHead(each, ref)),
            headName(ref),
            (event) => this.pick(ref, event),
          );
        })}
        ${others.map(
          (ref) =>
            html`<button
              class="other"
              aria-pressed="true"
              tabindex="-1"
              title="Take ${headName(ref)} out"
              @click=${() => this.pick(ref, { ctrlKey: true })}
            >
              ${headName(ref)}
            </button>`,
        )}
      </div>`;
  }

  private button(
    index: number,
    text: string,
    pressed: boolean,
    title: string,
    act: (event: MouseEvent) => void,
  ): TemplateResult {
    const ref = { layer: this.layer, head: Number(text) };
    const scaled = this.changed.some((each) => sameHead(each, ref));
    return html`<button
      class=${scaled ? 'scaled' : ''}
      title=${title}
      aria-pressed=${String(pressed)}
      tabindex=${index === this.current ? 0 : -1}
      @focus=${() => (this.current = index)}
      @click=${act}
    >
      ${text}
    </button>`;
  }

  private toLayer(layer: number): void {
    const own = this.heads.filter((ref) => ref.layer === this.layer).map(({ head }) => ({ layer, head }));
    this.dispatchEvent(new CustomEvent('heads', { detail: { layer, heads: own } }));
  }

  private pick(ref: HeadRef, { ctrlKey, metaKey, shiftKey }: Partial<MouseEvent>): void {
    const adds = !this.single && (ctrlKey === true || metaKey === true || shiftKey === true);
    const without = this.heads.filter((each) => !sameHead(each, ref));
    this.send(!adds ? [ref] : without.length < this.heads.length ? without : [...this.heads, ref]);
  }

  private send(heads: readonly HeadRef[]): void {
    this.dispatchEvent(new CustomEvent('heads', { detail: { layer: this.layer, heads } }));
  }

  private onKey(event: KeyboardEvent): void {
    const buttons = [...this.renderRoot.querySelectorAll<HTMLElement>('[role="toolbar"] button')];
    const next = destination(event.key, buttons.indexOf(event.target as HTMLElement), buttons.length);
    if (next === undefined) return;
    event.preventDefault();
    buttons[next]?.focus();
  }
}

/** The colour of the n-th of several heads that are drawn together. */
export const headColor = (index: number): string => {
  const { categories } = palette();
  return categories[index % categories.length] ?? '';
};
