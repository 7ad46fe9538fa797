/** The same head on every view: its name, the model, and what can be done with the whole view (one tab stop, arrow keys). */
import { css, html, LitElement, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { ModelSummary } from '../../extension/protocol/view';
import type { IconName } from './icon';
import type { MenuItem } from './menu';
import { destination } from './roving';
import { base } from './styles';
import './icon';
import './menu';

export interface HeaderAction {
  name: string;
  icon: IconName;
  label: string;
  /** A switch, and its state. */
  pressed?: boolean;
  disabled?: boolean;
  /** A menu of actions instead of one. */
  items?: readonly MenuItem[];
}

/** What every view can give away. */
export const EXPORTS: readonly MenuItem[] = [
  { name: 'copy', label: 'Copy as Text' },
  { name: 'csv', label: 'Export as CSV…' },
  { name: 'json', label: 'Export as JSON…' },
];

const STATES: Record<ModelSummary['state'], string> = {
  'not-loaded': 'not loaded',
  loading: 'loading…',
  ready: '',
  failed: 'failed',
};

/** Fires `action` (detail: its name) and `model`. */
@customElement('lens-header')
export class Header extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        display: flex;
        align-items: center;
        gap: 4px;
        height: 28px;
      }
      .name {
        flex: none;
        font-weight: 600;
      }
      /* The view's own frame names it too. */
      @media (max-width: 240px) {
        .name {
          display: none;
        }
      }
      .model {
        flex: 0 1 auto;
        min-width: 0;
        padding: 0 2px;
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
        color: var(--vscode-descriptionForeground);
      }
      .actions {
        display: flex;
        flex: none;
        margin: 0 -4px 0 auto;
      }
      .actions > button {
        padding: 2px;
        line-height: 0;
      }
      button[aria-pressed='true'] {
        background: var(--vscode-inputOption-activeBackground);
        border-color: var(--vscode-inputOption-activeBorder, var(--vscode-focusBorder));
        color: var(--vscode-inputOption-activeForeground);
      }
    `,
  ];
  @property() name = '';
  @property({ attribute: false }) model: ModelSummary | null = null;
  @property({ attribute: false }) actions: readonly HeaderAction[] = [];

  /** The action that Tab leads to. */
  @state() private current = 0;

  override render(): TemplateResult {
    const { model } = this;
    const state = model === null ? '' : STATES[model.state];
    const text = model === null ? 'Select a model' : `${model.id}${state === '' ? '' : ` · ${state}`}`;
    return html`<span class="name">${this.name}</span>
      <button
        class="model"
        title="${text}: select another model"
        @click=${() => this.dispatchEvent(new CustomEvent('model'))}
      >
        ${text}
      </button>
      <span class="actions" role="toolbar" aria-label=${this.name} @keydown=${this.onKey}>
        ${this.actions.map((action, index) => this.action(action, index))}
      </span>`;
  }

  private action({ name, icon, label, pressed, disabled, items }: HeaderAction, index: number): TemplateResult {
    const first = this.actions.findIndex((action) => !action.disabled);
    const stop = index === (this.actions[this.current]?.disabled === true ? first : this.current) ? 0 : -1;
    const focused = (): void => {
      this.current = index;
    };
    if (items !== undefined)
      return html`<lens-menu
        icon=${icon}
        label=${label}
        .items=${items}
        ?disabled=${disabled ?? false}
        .stop=${stop}
        @focusin=${focused}
        @pick=${(event: CustomEvent<string>) => this.act(event.detail)}
      ></lens-menu>`;
    return html`<button
      title=${label}
      aria-label=${label}
      aria-pressed=${pressed === undefined ? nothing : String(pressed)}
      ?disabled=${disabled ?? false}
      tabindex=${stop}
      @focus=${focused}
      @click=${() => this.act(name)}
    >
      <lens-icon name=${icon}></lens-icon>
    </button>`;
  }

  private onKey(event: KeyboardEvent): void {
    if (event.defaultPrevented || event.key === 'ArrowUp' || event.key === 'ArrowDown') return;
    const stops = [...this.renderRoot.querySelectorAll<HTMLElement>('.actions > :not([disabled])')];
    const next = destination(event.key, stops.indexOf(event.target as HTMLElement), stops.length);
    if (next === undefined) return;
    event.preventDefault();
    stops[next]?.focus();
  }

  private act(name: string): void {
    this.dispatchEvent(new CustomEvent('action', { detail: name }));
  }
}
