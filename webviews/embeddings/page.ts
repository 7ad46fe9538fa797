/** What the pages of the view share. */
import { css, html, LitElement, type CSSResultGroup, type TemplateResult } from 'lit';
import { property } from 'lit/decorators.js';
import type { EmbeddingsLook, EmbeddingsMethods, EmbeddingsState } from '../../extension/protocol/embeddingsView';
import type { TextRange } from '../../extension/protocol/engine';
import { signed, visible } from '../../extension/protocol/format';
import { pageStyles } from '../common/pageStyles';
import { base } from '../common/styles';

export interface Host {
  ask<K extends keyof EmbeddingsMethods>(method: K, params: EmbeddingsMethods[K][0]): void;
  /** Shown at once, and kept by the host. */
  look(change: Partial<EmbeddingsLook>): void;
}

export const markStyles = css`
  mark {
    color: var(--vscode-editor-selectionForeground, inherit);
    background: var(--vscode-editor-selectionBackground);
    outline: 1px solid var(--vscode-contrastActiveBorder, transparent);
    font-weight: 600;
  }
`;

export abstract class Page extends LitElement {
  static override styles: CSSResultGroup = [
    base,
    pageStyles,
    markStyles,
    css`
      .layers {
        flex: 1 1 160px;
      }
      .layers input {
        flex: 1;
      }
    `,
  ];
  @property({ attribute: false }) host!: Host;
  @property({ attribute: false }) state!: EmbeddingsState;
  @property({ attribute: false }) look!: EmbeddingsLook;
}

/** A cosine or the like; – where there is none. */
export const cosineText = (value: number | null | undefined): string =>
  value == null || Number.isNaN(value) ? '–' : signed(value).replace(/^(\u2212?)0\./u, '$1.');

export const layerText = (layer: unknown): string =>
  layer === 'static' ? 'static' : typeof layer === 'number' ? String(layer) : 'mix';

/** A sentence with a word of it marked. */
export const markedSentence = (sentence: string, { start, end }: TextRange): TemplateResult =>
  html`${visible(sentence.slice(0, start))}<mark>${visible(sentence.slice(start, end))}</mark>${visible(sentence.slice(end))}`;

/** A slider over layers. `at`: index of the present one. */
export const layerSlider = (
  layers: readonly unknown[],
  at: number,
  { event, choose }: { event: 'input' | 'change'; choose: (index: number) => void },
): TemplateResult => {
  const chosen = (change: Event): void => choose(Number((change.target as HTMLInputElement).value));
  return html`<label class="layers"
    >Layer
    <input
      type="range"
      min="0"
      max=${Math.max(0, layers.length - 1)}
      .value=${String(at)}
      ?disabled=${layers.length < 2}
      aria-valuetext=${layerText(layers[at])}
      @input=${(change: Event) => {
        if (event === 'input') chosen(change);
      }}
      @change=${(change: Event) => {
        if (event === 'change') chosen(change);
      }}
    />
    <span class="number">${layerText(layers[at])}</span>
  </label>`;
};
