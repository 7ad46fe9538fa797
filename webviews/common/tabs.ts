/** Pages of a view: a row of tabs with one tab stop, or a list to choose from where there is no room for the row. */
import { css, html, LitElement, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { destination } from './roving';
import { base } from './styles';

export interface Tab {
  name: string;
  label: string;
}

/** Fires `choose` with the name of the page. The page itself is the slot's content. */
@customElement('lens-tabs')
export class Tabs extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        display: block;
        container-type: inline-size;
      }
      [role='tablist'] {
        display: flex;
        flex-wrap: wrap;
        gap: 2px;
        margin: 6px -4px 8px;
        border-bottom: 1px solid var(--vscode-contrastBorder, var(--vscode-widget-border, var(--vscode-panel-border)));
      }
      [role='tab'] {
        padding: 2px 6px 3px;
        border-radius: 0;
        color: var(--vscode-descriptionForeground);
        white-space: nowrap;
      }
      [role='tab'][aria-selected='true'] {
        color: var(--vscode-foreground);
        box-shadow: inset 0 -2px var(--vscode-focusBorder);
      }
      label {
        display: none;
        align-items: center;
        gap: 6px;
        margin: 6px 0 8px;
      }
      select {
        flex: 1;
      }
      @container (max-width: 440px) {
        [role='tablist'] {
          display: none;
        }
        label {
          display: flex;
        }
      }
    `,
  ];
  @property({ attribute: false }) tabs: readonly Tab[] = [];
  @property() chosen = '';
  @property() label = '';

  override render(): TemplateResult {
    return html`<div role="tablist" aria-label=${this.label} @keydown=${this.onKey}>
        ${this.tabs.map(
          ({ name, label }) =>
            html`<button
              role="tab"
              id="tab-${name}"
              aria-selected=${String(name === this.chosen)}
              tabindex=${name === this.chosen ? 0 : -1}
              @click=${() => this.choose(name)}
            >
              ${label}
            </button>`,
        )}
      </div>
      <label
        ><span class="quiet">Show</span>
        <select
          aria-label=${this.label}
          @change=${(event: Event) => this.choose((event.target as HTMLSelectElement).value)}
        >
          ${this.tabs.map(
            ({ name, label }) =>
              html`<option value=${name} ?selected=${name === this.chosen} .selected=${name === this.chosen}>
                ${label}
              </option>`,
          )}
        </select></label
      >
      <div role="tabpanel" aria-label=${this.tabs.find(({ name }) => name === this.chosen)?.label ?? ''}>
        <slot></slot>
      </div>`;
  }

  private choose(name: string): void {
    this.dispatchEvent(new CustomEvent('choose', { detail: name }));
  }

  private onKey(event: KeyboardEvent): void {
    const at = this.tabs.findIndex(({ name }) => name === this.chosen);
    const next = this.tabs[destination(event.key, at, this.tabs.length) ?? -1];
    if (next === undefined) return;
    event.preventDefault();
    this.choose(next.name);
    this.renderRoot.querySelector<HTMLElement>(`#tab-${next.name}`)?.focus();
  }
}
