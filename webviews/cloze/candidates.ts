/** The user's own words scored against each other, as chips. Delete or the cross removes one, Enter in the field adds one. */
import { css, html, LitElement, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import type { CandidateScore } from '../../extension/protocol/engine';
import { difference, signed, visible } from '../../extension/protocol/format';
import '../common/icon';
import { base } from '../common/styles';
import '../common/toolkit';

/** Fires `texts` with the new list of texts. */
@customElement('lens-candidates')
export class Candidates extends LitElement {
  static override styles = [
    base,
    css`
      .chip {
        display: inline-flex;
        align-items: center;
        gap: 5px;
        height: 22px;
        max-width: 100%;
        padding: 0 3px 0 9px;
        border: 1px solid var(--vscode-contrastBorder, var(--vscode-focusBorder));
        border-radius: 11px;
      }
      .pending {
        border-style: dashed;
      }
      .text {
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: pre;
      }
      .chip button {
        flex: none;
        padding: 0;
        line-height: 0;
        border-radius: 8px;
      }
      [role='list'] {
        display: contents;
      }
      vscode-text-field {
        width: 110px;
      }
    `,
  ];
  /** As asked for. */
  @property({ attribute: false }) texts: readonly string[] = [];
  /** As scored; of an older list while the new one is on its way. */
  @property({ attribute: false }) scores: readonly CandidateScore[] = [];

  /** Of the unchanged model, where the scores are those of a changed one. */
  @property({ attribute: false }) unchanged: readonly CandidateScore[] = [];

  override updated(): void {
    // The toolkit names a field without a visible label “Text field”.
    this.renderRoot.querySelector('vscode-text-field')?.setAttribute('aria-label', 'Add a candidate');
  }

  override render(): TemplateResult {
    const scored = this.scores.filter(({ text }) => this.texts.includes(text));
    const sorted = scored.sort((a, b) => b.logprob - a.logprob);
    const pending = this.texts.filter((text) => !sorted.some((score) => score.text === text));
    const lengths = new Set(sorted.map(({ tokens }) => tokens.length));
    return html`<div class="row">
        ${
          this.texts.length === 0
            ? nothing
            : html`<div role="list" aria-label="Candidates, best first">
                ${sorted.map((score) => this.chip(score.text, score))} ${pending.map((text) => this.chip(text, null))}
              </div>`
        }
        <vscode-text-field placeholder="+ add" @keydown=${this.onKey}></vscode-text-field>
      </div>
      ${
        lengths.size > 1
          ? html`<p class="quiet">Of different lengths: a sum over more tokens is lower. Behind it: tokens × mean.</p>`
          : nothing
      }`;
  }

  private chip(text: string, score: CandidateScore | null): TemplateResult {
    const before = this.unchanged.find((each) => each.text === text);
    const title =
      score === null
        ? 'not scored yet'
        : `${score.tokens.join(' ')}: log-probability ${score.logprob}, ${score.meanLogprob} a token` +
          (score.rank === null ? '' : `, rank ${score.rank}`) +
          (before === undefined ? '' : `; without the changes ${before.logprob}`);
    return html`<span
      role="listitem"
      class="chip ${score === null ? 'pending' : ''}"
      title=${title}
      @keydown=${(event: KeyboardEvent) => {
        if (event.key === 'Delete' || event.key === 'Backspace') this.drop(text);
      }}
      ><span class="text">${visible(text)}</span>${
        score === null ? nothing : html`<span class="number">${signed(score.logprob)}</span>`
      }${
        score === null || before === undefined
          ? nothing
          : html`<span class="quiet number">Δ ${difference(score.logprob - before.logprob)}</span>`
      }${
        score !== null && score.tokens.length > 1
          ? html`<span class="quiet number">${score.tokens.length} × ${signed(score.meanLogprob)}</span>`
          : nothing
      }<button aria-label="Remove ${text}" title="Remove" @click=${() => this.drop(text)}>
        <lens-icon name="close"></lens-icon></button
    ></span>`;
  }

  private drop(text: string): void {
    // The focus would go with the chip.
    this.renderRoot.querySelector<HTMLElement>('vscode-text-field')?.focus();
    this.change(this.texts.filter((other) => other !== text));
  }

  private onKey(event: KeyboardEvent): void {
    const field = event.target as HTMLInputElement;
    const text = field.value.trim();
    if (event.key !== 'Enter' || text === '') return;
    field.value = '';
    if (!this.texts.includes(text)) this.change([...this.texts, text]);
  }

  private change(texts: readonly string[]): void {
    this.dispatchEvent(new CustomEvent('texts', { detail: texts }));
  }
}
