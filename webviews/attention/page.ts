/** What the pages of the view share: how they ask, and what they give to be exported. */
import { LitElement, type CSSResultGroup } from 'lit';
import { property } from 'lit/decorators.js';
import type { AttentionLook, AttentionMethods, AttentionState } from '../../extension/protocol/attentionView';
import { pageStyles } from '../common/pageStyles';
import type { Picture } from '../common/pictureFiles';
import { base } from '../common/styles';

export interface Host {
  ask<K extends keyof AttentionMethods>(method: K, params: AttentionMethods[K][0]): void;
  fetch<K extends keyof AttentionMethods>(
    method: K,
    params: AttentionMethods[K][0],
  ): Promise<AttentionMethods[K][1] | undefined>;
  /** Shown at once, and kept by the host. */
  look(change: Partial<AttentionLook>): void;
}

export abstract class Page extends LitElement {
  static override styles: CSSResultGroup = [base, pageStyles];
  @property({ attribute: false }) host!: Host;
  @property({ attribute: false }) state!: AttentionState;
  @property({ attribute: false }) look!: AttentionLook;

  /** What is exported of the page; null while there is nothing. */
  abstract picture(): Picture | null;
}
