/**
 * The text as the model reads it: pieces of a word stand together over a dotted line, special tokens are quiet, masks are marked.
 * One tab stop; arrow keys move, Enter or Space acts, with Ctrl or Shift beside what is already masked.
 */
import { css, html, LitElement, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { destination } from './roving';
import { base } from './styles';

export interface StripToken {
  text: string;
  /** Stands directly after the token before it. */
  glued: boolean;
  special: boolean;
  look: 'plain' | 'mask' | 'random' | 'keep';
  /** What the look means, where it is not self-evident. */
  tag?: string;
  /** For the pointer and the screen reader. */
  title: string;
}

/** Fires `token` with detail `{ index, additive }`. */
@customElement('lens-token-strip')
export class TokenStrip extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        display: block;
        font-family: var(--vscode-editor-font-family);
        font-size: var(--vscode-editor-font-size, 13px);
        line-height: 1.9;
        margin: 6px -2px 4px;
        overflow-wrap: anywhere;
      }
      .word.split {
        border-bottom: 1px dotted var(--vscode-descriptionForeground);
      }
      button {
        padding: 0 1px;
        border-radius: 4px;
        text-align: left;
        line-height: 1.45;
      }
      button + button {
        margin-left: 1px;
      }
      .special {
        font-size: 0.85em;
        color: var(--vscode-descriptionForeground);
      }
      .mask {
        padding: 0 5px;
        background: var(--vscode-editor-selectionBackground);
        color: var(--vscode-editor-selectionForeground, inherit);
        border-color: var(--vscode-focusBorder);
      }
      /* Outside the border, which has the same colour. */
      :is(.mask, .random, .keep):focus-visible {
        outline-width: 2px;
        outline-offset: 1px;
      }
      .random,
      .keep {
        padding: 0 4px;
        border-color: var(--vscode-charts-orange);
      }
      .keep {
        border-style: dashed;
        border-color: var(--vscode-charts-green);
      }
      .tag {
        font: 0.8em var(--vscode-font-family);
        color: var(--vscode-descriptionForeground);
      }
      .cut {
        color: var(--vscode-editorWarning-foreground);
      }
    `,
  ];
  @property({ attribute: false }) tokens: readonly StripToken[] = [];
  @property() label = 'Tokens';
  /** A token is switched, not only shown. */
  @property({ type: Boolean }) toggles = false;
  /** Text was cut there, and why. */
  @property() cutStart = '';
  @property() cutEnd = '';
  /** Null until the person has been here: then the first mask, or the first token of the text. */
  @state() private current: number | null = null;

  private get here(): number {
    const { current, tokens } = this;
    if (current !== null) return Math.min(current, tokens.length - 1);
    const start = tokens.findIndex(({ look }) => look !== 'plain');
    return Math.max(0, start < 0 ? tokens.findIndex(({ special }) => !special) : start);
  }

  /** What is shown while the person is elsewhere begins anew: who comes back finds the mask, not an old place in another text. */
  override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has('tokens') || document.hasFocus()) return;
    this.current = null;
    const left = this.shadowRoot?.activeElement;
    if (left instanceof HTMLElement) left.blur();
  }

  override focus(options?: FocusOptions): void {
    this.renderRoot.querySelector<HTMLElement>('button[tabindex="0"]')?.focus(options);
  }

  override render(): TemplateResult {
    const words: number[][] = [];
    this.tokens.forEach((token, index) => {
      if (token.glued && words.length > 0) words.at(-1)?.push(index);
      else words.push([index]);
    });
    const cut = (reason: string): TemplateResult | typeof nothing =>
      reason === '' ? nothing : html`<span class="cut" title=${reason} role="img" aria-label=${reason}>⋯</span> `;
    return html`<div role="group" aria-label=${this.label} @keydown=${this.onKey}>
      ${cut(this.cutStart)}${words.map(
        (indices) =>
          html`<span class="word ${indices.length > 1 ? 'split' : ''}"
            >${indices.map((index) => this.button(index))}</span
          > `,
      )}${cut(this.cutEnd)}
    </div>`;
  }

  private button(index: number): TemplateResult {
    const token = this.tokens[index] as StripToken;
    return html`<button
      class="${token.special ? 'special' : ''} ${token.look}"
      title=${token.title}
      aria-label=${token.title}
      aria-pressed=${this.toggles ? String(token.look === 'mask') : nothing}
      aria-disabled=${String(token.special && token.look === 'plain')}
      tabindex=${index === this.here ? 0 : -1}
      @focus=${() => (this.current = index)}
      @click=${(event: MouseEvent) => {
        this.act(index, isAdditive(event));
      }}
    >
      ${token.text}${token.tag === undefined ? nothing : html` <span class="tag">${token.tag}</span>`}
    </button>`;
  }

  private act(index: number, additive: boolean): void {
    const token = this.tokens[index];
    if (token === undefined || (token.special && token.look === 'plain')) return;
    this.dispatchEvent(new CustomEvent('token', { detail: { index, additive } }));
  }

  private onKey(event: KeyboardEvent): void {
    // A button's own Enter does nothing with Ctrl held down.
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      this.act(this.here, isAdditive(event));
      return;
    }
    const next = destination(event.key, this.here, this.tokens.length);
    if (next === undefined) return;
    event.preventDefault();
    this.current = next;
    void this.updateComplete.then(() => {
      this.focus();
    });
  }
}

const isAdditive = ({ ctrlKey, metaKey, shiftKey }: KeyboardEvent | MouseEvent): boolean =>
  ctrlKey || metaKey || shiftKey;
