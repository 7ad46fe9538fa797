/** Places in files with their sentences and how near they are. One tab stop; arrow keys move, Enter opens. */
import { css, html, LitElement, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { CorpusNeighboursResult } from '../../extension/protocol/embeddings';
import { precise, visible } from '../../extension/protocol/format';
import { destination } from '../common/roving';
import { base } from '../common/styles';
import { cosineText, markedSentence, markStyles } from './page';

/** Fires `choose` with the index. */
@customElement('lens-found-list')
export class FoundList extends LitElement {
  static override styles = [
    base,
    markStyles,
    css`
      :host {
        display: block;
        margin: 4px -4px;
      }
      [role='option'] {
        display: grid;
        grid-template-columns: 34px minmax(0, 1fr);
        column-gap: 8px;
        padding: 3px 4px;
        cursor: pointer;
      }
      [role='option']:hover {
        background: var(--vscode-list-hoverBackground);
        outline: 1px dashed var(--vscode-contrastActiveBorder, transparent);
        outline-offset: -1px;
      }
      .number {
        text-align: right;
      }
      .sentence {
        overflow-wrap: anywhere;
      }
      .at {
        margin-left: 6px;
      }
    `,
  ];
  @property({ attribute: false }) rows: CorpusNeighboursResult['neighbours'] = [];
  @property() label = '';
  /** The words that were found stand out in their sentences. */
  @property({ type: Boolean }) marked = false;
  @state() private current = 0;

  override render(): TemplateResult {
    const current = Math.min(this.current, this.rows.length - 1);
    return html`<div role="listbox" aria-label=${this.label} @keydown=${this.onKey}>
      ${this.rows.map(
        ({ cosine, sentence, range, source, line, tag }, index) =>
          html`<div
            role="option"
            aria-selected="false"
            title="${precise(cosine)} · ${visible(source)}:${line}"
            tabindex=${index === current ? 0 : -1}
            @focus=${() => (this.current = index)}
            @click=${() => this.choose(index)}
          >
            <span class="number">${cosineText(cosine)}</span>
            <span class="sentence"
              >${this.marked ? markedSentence(sentence, range) : visible(sentence)}<span class="at quiet"
                >${visible(source)}:${line}${tag === null ? '' : ` · ${visible(tag)}`}</span
              ></span
            >
          </div>`,
      )}
    </div>`;
  }

  private choose(index: number): void {
    this.dispatchEvent(new CustomEvent('choose', { detail: index }));
  }

  private onKey(event: KeyboardEvent): void {
    const next = destination(event.key, this.current, this.rows.length);
    if (event.key === 'Enter' || event.key === ' ') this.choose(this.current);
    else if (next === undefined) return;
    else {
      this.current = next;
      void this.updateComplete.then(() => this.renderRoot.querySelector<HTMLElement>('[tabindex="0"]')?.focus());
    }
    event.preventDefault();
  }
}
