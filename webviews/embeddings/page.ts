/** What the pages of the view share. */
import { LitElement, type CSSResultGroup } from 'lit';
import { property } from 'lit/decorators.js';
import type { EmbeddingsLook, EmbeddingsMethods, EmbeddingsState } from '../../extension/protocol/embeddingsView';
import { signed } from '../../extension/protocol/format';
import { pageStyles } from '../common/pageStyles';
import { base } from '../common/styles';

export interface Host {
  ask<K extends keyof EmbeddingsMethods>(method: K, params: EmbeddingsMethods[K][0]): void;
  /** Shown at once, and kept by the host. */
  look(change: Partial<EmbeddingsLook>): void;
}

export abstract class Page extends LitElement {
  static override styles: CSSResultGroup = [base, pageStyles];
  @property({ attribute: false }) host!: Host;
  @property({ attribute: false }) state!: EmbeddingsState;
  @property({ attribute: false }) look!: EmbeddingsLook;
}

/** A cosine or the like; – where there is none. */
export const cosineText = (value: number | null | undefined): string =>
  value == null || Number.isNaN(value) ? '–' : signed(value).replace(/^(\u2212?)0\./u, '$1.');

export const layerText = (layer: unknown): string =>
  layer === 'static' ? 'static' : typeof layer === 'number' ? String(layer) : 'mix';
