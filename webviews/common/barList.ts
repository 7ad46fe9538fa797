/** Words with bars and numbers, in 22 px rows. One tab stop; arrow keys move, Enter chooses. */
import { css, html, LitElement, nothing, svg, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { destination } from './roving';
import { base } from './styles';

export interface BarRow {
  label: string;
  /** 0…1 of the full width. */
  fraction: number;
  /** Already formatted; right-aligned columns. */
  numbers: readonly string[];
  /** What the numbers are, in full precision. */
  title: string;
  /** What really stood there. */
  marked?: boolean;
  /** Beside the word, quiet. */
  remark?: string;
}

/** Fires `choose` with the row's index. */
@customElement('lens-bar-list')
export class BarList extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        display: block;
        margin: 0 -14px;
      }
      [role='option'] {
        display: flex;
        align-items: center;
        gap: 8px;
        height: 22px;
        padding: 0 14px;
        cursor: pointer;
      }
      .static [role='option'] {
        cursor: default;
      }
      [role='option']:hover {
        background: var(--vscode-list-hoverBackground);
        outline: 1px dashed var(--vscode-contrastActiveBorder, transparent);
        outline-offset: -1px;
      }
      .marked {
        background: var(--vscode-list-inactiveSelectionBackground);
        color: var(--vscode-list-inactiveSelectionForeground, inherit);
        box-shadow: inset 2px 0 var(--vscode-focusBorder);
      }
      .word {
        flex: 0 0 34%;
        max-width: 170px;
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: pre;
        font-family: var(--vscode-editor-font-family);
      }
      .long .word {
        flex-basis: 58%;
        max-width: none;
      }
      .marked .word {
        font-weight: 600;
      }
      svg {
        flex: 1 1 0;
        min-width: 0;
        height: 9px;
      }
      rect {
        fill: var(--vscode-charts-blue);
        stroke: var(--vscode-contrastBorder, transparent);
      }
      .number {
        flex: none;
        min-width: 46px;
        text-align: right;
      }
      /* A side bar can be as narrow as 170 px: the word and its numbers are worth more than the bar. */
      @media (max-width: 240px) {
        svg {
          display: none;
        }
        .word,
        .long .word {
          flex: 1 1 0;
          min-width: 0;
        }
        [role='option'] {
          gap: 4px;
        }
      }
      :not(.marked) > .number + .number {
        color: var(--vscode-descriptionForeground);
      }
      :not(.marked) > .word > .remark {
        color: var(--vscode-descriptionForeground);
      }
    `,
  ];
  @property({ attribute: false }) rows: readonly BarRow[] = [];
  @property() label = '';
  /** What the numbers of a row are, for the screen reader. */
  @property({ attribute: false }) columns: readonly string[] = [];
  /** Labels are phrases rather than words. */
  @property({ type: Boolean }) long = false;
  /** Rows can be chosen. */
  @property({ type: Boolean }) active = false;
  @state() private current = 0;

  override render(): TemplateResult {
    const current = Math.min(this.current, this.rows.length - 1);
    return html`<div
      role="listbox"
      class="${this.active ? '' : 'static'} ${this.long ? 'long' : ''}"
      aria-label=${this.label}
      @keydown=${this.onKey}
    >
      ${this.rows.map(
        (row, index) =>
          html`<div
            role="option"
            class=${row.marked ? 'marked' : ''}
            aria-selected=${String(row.marked ?? false)}
            title=${row.title}
            tabindex=${index === current ? 0 : -1}
            @focus=${() => (this.current = index)}
            @click=${() => {
              this.choose(index);
            }}
          >
            <span class="word"
              >${row.label}${row.remark === undefined ? nothing : html`<span class="remark"> ${row.remark}</span>`}</span
            >
            <svg aria-hidden="true" preserveAspectRatio="none" viewBox="0 0 100 10">
              ${svg`<rect width=${Math.max(0.5, 100 * Math.min(1, row.fraction)).toFixed(2)} height="10" rx="1"></rect>`}
            </svg>
            ${row.numbers.map(
              (number, column) =>
                html`<span class="number"
                  ><span class="visually-hidden">, ${this.columns[column] ?? ''} </span>${number}</span
                >`,
            )}
            ${row.marked ? html`<span class="visually-hidden">, what really stood there</span>` : nothing}
          </div>`,
      )}
    </div>`;
  }

  private choose(index: number): void {
    if (this.active) this.dispatchEvent(new CustomEvent('choose', { detail: index }));
  }

  private onKey(event: KeyboardEvent): void {
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      this.choose(this.current);
      return;
    }
    const next = destination(event.key, this.current, this.rows.length);
    if (next === undefined) return;
    event.preventDefault();
    this.current = next;
    void this.updateComplete.then(() => {
      this.renderRoot.querySelector<HTMLElement>('[tabindex="0"]')?.focus();
    });
  }
}
