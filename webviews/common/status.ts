/** Empty, loading and failed, the same in every view. */
import { css, html, LitElement, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { Progress } from '../../extension/protocol/engine';
import type { ErrorData } from '../../extension/protocol/errors';
import { base } from './styles';
import './icon';

/** Shorter waits are not shown: they would only flicker. */
const SHOW_AFTER_MS = 150;

/** What is happening and how far it is. Fires `cancel`. */
@customElement('lens-progress')
export class ProgressBar extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        display: block;
      }
      .row {
        flex-wrap: nowrap;
        align-items: baseline;
        justify-content: space-between;
      }
      progress {
        display: block;
        width: 100%;
        height: 3px;
        appearance: none;
        border: 0;
        background: var(--vscode-widget-border, var(--vscode-panel-border));
      }
      progress::-webkit-progress-bar {
        background: none;
      }
      progress:indeterminate {
        background: var(--vscode-progressBar-background);
        opacity: 0.4;
      }
      progress::-webkit-progress-value {
        background: var(--vscode-progressBar-background);
      }
    `,
  ];
  @property({ attribute: false }) progress: Progress | undefined;
  @state() private visible = false;
  private timer: ReturnType<typeof setTimeout> | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    this.timer = setTimeout(() => (this.visible = true), SHOW_AFTER_MS);
  }

  override disconnectedCallback(): void {
    clearTimeout(this.timer);
    this.visible = false;
    super.disconnectedCallback();
  }

  override render(): TemplateResult | typeof nothing {
    if (!this.visible) return nothing;
    const message = this.progress?.message ?? 'Predicting…';
    const fraction = this.progress?.fraction;
    return html`<div class="row">
        <span>${message}</span>
        <button class="link" @click=${() => this.dispatchEvent(new CustomEvent('cancel'))}>Cancel</button>
      </div>
      <progress aria-label=${message} max="1" value=${fraction ?? nothing}></progress>`;
  }
}

/** What went wrong, and what to do next; nothing without an error. Fires `log`. */
@customElement('lens-error')
export class ErrorMessage extends LitElement {
  static override styles = [
    base,
    css`
      [role='alert'] {
        margin: 8px 0;
        padding: 6px 10px;
        border: 1px solid var(--vscode-contrastBorder, transparent);
        border-left: 3px solid var(--vscode-editorError-foreground, var(--vscode-errorForeground));
        background: var(--vscode-inputValidation-errorBackground);
        color: var(--vscode-inputValidation-errorForeground, var(--vscode-foreground));
        overflow-wrap: anywhere;
      }
    `,
  ];
  @property({ attribute: false }) error: ErrorData | undefined;

  override render(): TemplateResult | typeof nothing {
    if (this.error === undefined) return nothing;
    return html`<div role="alert">
      <p><strong>${this.error.message}</strong></p>
      ${this.error.hint === undefined ? nothing : html`<p>${this.error.hint}</p>`}
      <p><button class="link" @click=${() => this.dispatchEvent(new CustomEvent('log'))}>Show Log</button></p>
    </div>`;
  }
}
