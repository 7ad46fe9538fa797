/**
 * Memories with their numbers and words, in one line each where there is room, in a few where there is not. One tab stop: the arrow keys
 * lead from row to row and into its menu.
 */
import { css, html, LitElement, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { ScoredWord } from '../../extension/protocol/ffn';
import { neuronName, readable } from '../../extension/protocol/format';
import type { NeuronRef } from '../../extension/protocol/interventions';
import '../common/menu';
import type { MenuItem } from '../common/menu';
import { destination } from '../common/roving';
import { base } from '../common/styles';
import { memoryTitle, wordTitle } from './page';

export interface MemoryRow extends NeuronRef {
  /** As the person calls it. */
  name: string;
  tags: readonly string[];
  /** Already formatted; right-aligned columns. */
  numbers: readonly { text: string; title: string }[];
  lists: readonly { sign: '+' | '−' | ''; words: readonly ScoredWord[] }[];
  /** What is changed of it now. */
  change: string;
  /** Beside the words. */
  remark?: string;
}

export interface MemoryAction {
  memory: NeuronRef;
  /** `open`, or the name of the menu's item. */
  action: string;
}

/** Fires `act` with a `MemoryAction`. */
@customElement('lens-memory-list')
export class MemoryList extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        display: block;
        container-type: inline-size;
      }
      [role='row'] {
        display: grid;
        grid-template-columns: minmax(0, 1fr) repeat(var(--numbers, 2), minmax(44px, max-content)) 22px;
        column-gap: 8px;
        align-items: baseline;
        padding: 2px 0;
        border-bottom: 1px solid
          var(--vscode-contrastBorder, var(--vscode-widget-border, var(--vscode-panel-border, transparent)));
      }
      .head {
        font-size: 11px;
        color: var(--vscode-descriptionForeground);
      }
      .head .words {
        display: none;
      }
      .body:hover {
        background: var(--vscode-list-hoverBackground);
      }
      .number {
        text-align: right;
        white-space: nowrap;
      }
      .memory {
        min-width: 0;
        overflow-wrap: anywhere;
      }
      .own {
        font-weight: 600;
      }
      .tag,
      .change {
        font-size: 0.9em;
        color: var(--vscode-descriptionForeground);
      }
      .change {
        padding: 0 5px;
        border: 1px solid var(--vscode-contrastBorder, var(--vscode-focusBorder));
        border-radius: 8px;
        color: var(--vscode-foreground);
      }
      .words {
        grid-column: 1 / -1;
        font-family: var(--vscode-editor-font-family);
        line-height: 1.35;
      }
      .words + .words {
        color: var(--vscode-descriptionForeground);
      }
      .sign,
      .remark {
        font-family: var(--vscode-font-family);
        color: var(--vscode-descriptionForeground);
      }
      .word {
        display: inline-block;
        max-width: 100%;
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
        vertical-align: bottom;
        unicode-bidi: isolate;
      }
      .word.is {
        font-weight: 600;
        text-decoration: underline;
        text-underline-offset: 3px;
      }
      .menu {
        grid-row: 1;
        grid-column: -2;
        line-height: 0;
      }
      @container (min-width: 620px) {
        [role='row'] {
          grid-template-columns:
            minmax(150px, 1.1fr) repeat(var(--numbers, 2), minmax(50px, max-content))
            repeat(var(--lists, 2), minmax(0, 2fr)) 22px;
        }
        .words,
        .head .words {
          display: block;
          grid-column: auto;
        }
      }
    `,
  ];
  @property({ attribute: false }) rows: readonly MemoryRow[] = [];
  /** Headings of the numbers, then of the lists. */
  @property({ attribute: false }) columns: readonly { label: string; title: string }[] = [];
  @property({ attribute: false }) lists: readonly string[] = [];
  @property({ attribute: false }) items: readonly MenuItem[] = [];
  /** Ids of words that are looked at: marked wherever they are. */
  @property({ attribute: false }) marked: ReadonlySet<number> = new Set();
  @property() label = '';
  @state() private current = 0;

  override updated(): void {
    this.style.setProperty('--numbers', String(this.columns.length));
    this.style.setProperty('--lists', String(this.lists.length));
  }

  override render(): TemplateResult | typeof nothing {
    if (this.rows.length === 0) return nothing;
    const current = Math.min(this.current, this.rows.length - 1);
    return html`<div role="table" aria-label=${this.label} aria-rowcount=${this.rows.length + 1} @keydown=${this.onKey}>
      <div role="row" class="head">
        <span role="columnheader">memory</span>
        ${this.columns.map(
          ({ label, title }) => html`<span role="columnheader" class="number" title=${title}>${label}</span>`,
        )}
        ${this.lists.map((label) => html`<span role="columnheader" class="words">${label}</span>`)}
        <span role="columnheader"><span class="visually-hidden">actions</span></span>
      </div>
      ${this.rows.map((row, index) => this.row(row, index === current))}
    </div>`;
  }

  private row(row: MemoryRow, current: boolean): TemplateResult {
    const { layer, neuron, name, tags, numbers, lists, change, remark } = row;
    const act = (action: string): void => {
      const detail: MemoryAction = { memory: { layer, neuron }, action };
      this.dispatchEvent(new CustomEvent('act', { detail }));
    };
    return html`<div role="row" class="body" @focusin=${() => (this.current = this.rows.indexOf(row))}>
      <span role="cell" class="memory">
        <button
          class="link number"
          title="${memoryTitle(row)}: show its words and what fires it"
          tabindex=${current ? 0 : -1}
          @click=${() => act('open')}
        >
          ${neuronName(row)}
        </button>
        ${name === '' ? nothing : html`<bdi class="own">${name}</bdi>`}
        ${tags.map((tag) => html`<bdi class="tag">#${tag} </bdi>`)}
        ${change === '' ? nothing : html`<span class="change">${change}</span>`}
      </span>
      ${numbers.map(({ text, title }) => html`<span role="cell" class="number" title=${title}>${text}</span>`)}
      ${lists.map(
        ({ sign, words }, index) =>
          html`<span role="cell" class="words">
            ${
              sign === ''
                ? nothing
                : html`<span class="sign" role="img" aria-label=${sign === '+' ? 'promotes' : 'suppresses'}
                    >${sign}</span
                  >`
            }
            ${words.map(
              ({ id, token, score }) =>
                html`<span class="word ${this.marked.has(id) ? 'is' : ''}" title=${wordTitle(token, score)}
                  >${readable(token)}</span
                > `,
            )}
            ${remark === undefined || index < lists.length - 1 ? nothing : html`<span class="remark">${remark}</span>`}
          </span>`,
      )}
      <span role="cell" class="menu"
        ><lens-menu
          label="Actions on ${neuronName(row)}"
          .items=${this.items}
          .stop=${-1}
          @pick=${(event: CustomEvent<string>) => act(event.detail)}
        ></lens-menu
      ></span>
    </div>`;
  }

  private onKey(event: KeyboardEvent): void {
    const inMenu = event.composedPath().some((each) => each instanceof HTMLElement && each.localName === 'lens-menu');
    const rows = [...this.renderRoot.querySelectorAll<HTMLElement>('.body')];
    const row = rows[this.current];
    if (event.key === 'ArrowRight' && !inMenu) row?.querySelector<HTMLElement>('lens-menu')?.focus();
    else if (event.key === 'ArrowLeft' && inMenu) row?.querySelector<HTMLElement>('.memory button')?.focus();
    else {
      if (event.defaultPrevented || inMenu || event.key.startsWith('ArrowL')) return;
      const next = rows[destination(event.key, this.current, rows.length) ?? -1];
      if (next === undefined) return;
      next.querySelector<HTMLElement>('.memory button')?.focus();
    }
    event.preventDefault();
  }
}
