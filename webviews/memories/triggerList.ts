/** Texts that fire a memory: how much at each token as colour, the firing token framed. */
import { css, html, LitElement, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import type { TriggerText } from '../../extension/protocol/ffn';
import { precise, signed, visible } from '../../extension/protocol/format';
import { base } from '../common/styles';
import { shadeOf, shades } from './shades';

/** Of the text around the firing token, in characters. */
const BEFORE = 160;
const AFTER = 90;

interface Piece {
  text: string;
  /** 1…5; 0: too little to be coloured. */
  step: number;
  fires: boolean;
  activation: number | null;
}

/** The text cut around its firing token, in pieces: its tokens, and what stands between them. Pure. */
export function piecesOf(
  { text, range, token, tokens, activations }: Pick<TriggerText, 'text' | 'range' | 'token' | 'tokens' | 'activations'>,
  largest: number,
): Piece[] {
  const [from, to] = [Math.max(0, range.start - BEFORE), Math.min(text.length, range.end + AFTER)];
  const pieces: Piece[] = [];
  const between = (start: number, end: number): void => {
    const part = text.slice(start, end);
    if (part !== '') pieces.push({ text: part, step: 0, fires: false, activation: null });
  };
  let at = from;
  tokens.forEach((own, index) => {
    if (own.range === null || own.range.start < at || own.range.end > to) return;
    between(at, own.range.start);
    const activation = activations[index] ?? 0;
    pieces.push({
      text: text.slice(own.range.start, own.range.end),
      // Of the sign that is asked for: what fires the other way has no colour.
      step: largest === 0 ? 0 : shadeOf(activation / largest),
      fires: index === token,
      activation,
    });
    at = own.range.end;
  });
  between(at, to);
  return pieces;
}

/** White space between tokens is no word, and is shown as it is. */
const shown = (text: string): string => (/^\s+$/u.test(text) ? ' ' : visible(text));

/** Fires `choose` with the index of a text. */
@customElement('lens-trigger-list')
export class TriggerList extends LitElement {
  static override styles = [
    base,
    shades,
    css`
      :host {
        display: block;
      }
      ol {
        margin: 0;
        padding: 0;
        list-style: none;
      }
      li {
        display: grid;
        grid-template-columns: 46px minmax(0, 1fr);
        column-gap: 8px;
        padding: 3px 0;
        border-bottom: 1px solid
          var(--vscode-contrastBorder, var(--vscode-widget-border, var(--vscode-panel-border, transparent)));
      }
      .number {
        text-align: right;
      }
      .text {
        font-family: var(--vscode-editor-font-family);
        line-height: 1.5;
        overflow-wrap: anywhere;
        unicode-bidi: plaintext;
      }
      .fires {
        font-weight: 600;
        outline: 1px solid var(--vscode-focusBorder);
      }
      .place {
        grid-column: 2;
        font-size: 0.9em;
      }
    `,
  ];
  @property({ attribute: false }) texts: readonly TriggerText[] = [];
  /** Names of files. */
  @property({ attribute: false }) sources: readonly string[] = [];
  @property() label = '';

  override render(): TemplateResult | typeof nothing {
    const { texts, sources } = this;
    if (texts.length === 0) return nothing;
    const largest = texts[0]?.activation ?? 0;
    return html`<ol aria-label=${this.label}>
      ${texts.map(
        (each, index) =>
          html`<li>
            <span class="number" title="m = ${precise(each.activation)}">${signed(each.activation)}</span>
            <span class="text"
              >${each.range.start > BEFORE ? '…' : nothing}${piecesOf(each, largest).map(
                ({ text, step, fires, activation }) =>
                  activation === null
                    ? shown(text)
                    : html`<span class="token s${step} ${fires ? 'fires' : ''}" title="m = ${precise(activation)}"
                        >${shown(text)}</span
                      >`,
              )}${each.range.end + AFTER < each.text.length ? '…' : nothing}</span
            >
            <span class="place"
              ><button
                class="link quiet"
                title="Show in its file"
                @click=${() => this.dispatchEvent(new CustomEvent('choose', { detail: index }))}
              >
                ${visible(sources[each.source] ?? '')}:${each.line}
              </button></span
            >
          </li>`,
      )}
    </ol>`;
  }
}
