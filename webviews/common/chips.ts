/** Things in force that can be taken back: a cross or Delete removes one. */
import { css, html, LitElement, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { base } from './styles';
import './icon';

export interface Chip {
  name: string;
  label: string;
  title: string;
}

/** Fires `remove` with the chip's name. */
@customElement('lens-chips')
export class Chips extends LitElement {
  static override styles = [
    base,
    css`
      [role='list'] {
        display: flex;
        flex-wrap: wrap;
        gap: 4px;
      }
      .chip {
        display: inline-flex;
        align-items: center;
        gap: 4px;
        height: 22px;
        max-width: 100%;
        padding: 0 3px 0 9px;
        border: 1px solid var(--vscode-contrastBorder, var(--vscode-focusBorder));
        border-radius: 11px;
      }
      .text {
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      button {
        flex: none;
        padding: 0;
        line-height: 0;
        border-radius: 8px;
      }
    `,
  ];
  @property({ attribute: false }) chips: readonly Chip[] = [];
  @property() label = '';

  override render(): TemplateResult | typeof nothing {
    if (this.chips.length === 0) return nothing;
    return html`<div role="list" aria-label=${this.label}>
      ${this.chips.map(
        ({ name, label, title }) =>
          html`<span
            role="listitem"
            class="chip"
            title=${title}
            @keydown=${(event: KeyboardEvent) => {
              if (event.key === 'Delete' || event.key === 'Backspace') this.drop(name);
            }}
            ><span class="text number">${label}</span
            ><button aria-label="Remove ${label}" title="Remove" @click=${() => this.drop(name)}>
              <lens-icon name="close"></lens-icon></button
          ></span>`,
      )}
    </div>`;
  }

  private drop(name: string): void {
    // The focus would go with the chip: the next one takes it.
    const at = this.chips.findIndex((chip) => chip.name === name);
    this.dispatchEvent(new CustomEvent('remove', { detail: name }));
    void this.updateComplete.then(() => {
      const buttons = this.renderRoot.querySelectorAll('button');
      (buttons[at] ?? buttons[at - 1])?.focus();
    });
  }
}
