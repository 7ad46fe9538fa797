/** A word of the vocabulary, typed and given with Enter. */
import { css, html, LitElement, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { base } from '../common/styles';

/** Fires `word` with the text. */
@customElement('lens-word-field')
export class WordField extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        display: inline-flex;
        min-width: 0;
      }
      label {
        display: inline-flex;
        align-items: center;
        gap: 4px;
        min-width: 0;
        color: var(--vscode-descriptionForeground);
      }
      input {
        width: 96px;
        min-width: 0;
        padding: 0 4px;
        font-family: var(--vscode-editor-font-family);
      }
      input::placeholder {
        color: var(--vscode-input-placeholderForeground);
      }
    `,
  ];
  @property() label = '';
  @property() hint = '';
  @property() button = 'Add';

  override render(): TemplateResult {
    return html`<label
      >${this.label}
      <input
        type="text"
        spellcheck="false"
        placeholder=${this.hint}
        title="One token of the model's vocabulary; Enter takes it"
        @keydown=${(event: KeyboardEvent) => {
          if (event.key === 'Enter') this.give();
        }}
      />
      <button class="bordered" @click=${() => this.give()}>${this.button}</button></label
    >`;
  }

  private give(): void {
    const input = this.renderRoot.querySelector('input');
    if (input === null || input.value === '') return;
    this.dispatchEvent(new CustomEvent('word', { detail: input.value }));
    input.value = '';
  }
}
