/** A button that opens a short menu. Arrow keys move, Escape closes, leaving it closes. */
import { css, html, LitElement, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { IconName } from './icon';
import { base } from './styles';
import './icon';

export interface MenuItem {
  name: string;
  label: string;
}

/** Fires `pick` with the item's name. */
@customElement('lens-menu')
export class Menu extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        position: relative;
        display: inline-block;
      }
      .toggle {
        padding: 2px;
        line-height: 0;
      }
      [role='menu'] {
        position: absolute;
        z-index: 1;
        top: 100%;
        right: 0;
        display: flex;
        flex-direction: column;
        padding: 4px;
        color: var(--vscode-menu-foreground, var(--vscode-foreground));
        background: var(--vscode-menu-background, var(--vscode-editor-background));
        border: 1px solid var(--vscode-menu-border, var(--vscode-contrastBorder, var(--vscode-widget-border)));
        border-radius: 5px;
      }
      [role='menuitem'] {
        height: 22px;
        padding: 0 10px;
        text-align: left;
        white-space: nowrap;
      }
      [role='menuitem']:is(:hover, :focus) {
        color: var(--vscode-menu-selectionForeground, inherit);
        background: var(--vscode-menu-selectionBackground, var(--vscode-list-hoverBackground));
        border-color: var(--vscode-contrastActiveBorder, transparent);
        outline: none;
      }
    `,
  ];
  @property() icon: IconName = 'ellipsis';
  @property() label = '';
  @property({ type: Boolean }) disabled = false;
  /** Of the button, where the menu is one of several things with one tab stop. */
  @property({ type: Number }) stop = 0;
  @property({ attribute: false }) items: readonly MenuItem[] = [];
  @state() private open = false;

  override render(): TemplateResult {
    return html`<button
        class="toggle"
        title=${this.label}
        aria-label=${this.label}
        aria-haspopup="menu"
        tabindex=${this.stop}
        aria-expanded=${String(this.open)}
        ?disabled=${this.disabled}
        @click=${() => this.show(!this.open)}
        @keydown=${(event: KeyboardEvent) => {
          if (event.key !== 'ArrowDown') return;
          event.preventDefault();
          this.show(true);
        }}
        @focusout=${this.onLeave}
      >
        <lens-icon name=${this.icon}></lens-icon>
      </button>
      ${
        this.open
          ? html`<div role="menu" aria-label=${this.label} @keydown=${this.onKey} @focusout=${this.onLeave}>
              ${this.items.map(
                ({ name, label }) =>
                  html`<button role="menuitem" tabindex="-1" @click=${() => this.pick(name)}>${label}</button>`,
              )}
            </div>`
          : nothing
      }`;
  }

  override focus(options?: FocusOptions): void {
    this.renderRoot.querySelector<HTMLElement>('.toggle')?.focus(options);
  }

  private get entries(): HTMLElement[] {
    return [...this.renderRoot.querySelectorAll<HTMLElement>('[role="menuitem"]')];
  }

  private show(open: boolean): void {
    this.open = open;
    void this.updateComplete.then(() => {
      (open ? this.entries[0] : this)?.focus();
    });
  }

  private pick(name: string): void {
    this.show(false);
    this.dispatchEvent(new CustomEvent('pick', { detail: name }));
  }

  private onLeave(event: FocusEvent): void {
    if (!(event.relatedTarget instanceof Node && this.renderRoot.contains(event.relatedTarget))) this.open = false;
  }

  private onKey(event: KeyboardEvent): void {
    if (event.key === 'Escape') {
      this.show(false);
      return;
    }
    const { entries } = this;
    const at = entries.indexOf(event.target as HTMLElement);
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    entries.at(next % entries.length)?.focus();
  }
}
