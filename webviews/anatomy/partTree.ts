/** The parts as a column, from the embeddings to the head. One tab stop; the arrow keys move, open and close as in VS Code's trees. */
import { css, html, LitElement, nothing, svg, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import type { ModelPart } from '../../extension/protocol/engine';
import { count } from '../../extension/protocol/format';
import '../common/icon';
import { base } from '../common/styles';
import { percentOf, visibleParts, type TreeRow } from './rows';

/** Fires `choose` (id) and `expand` (id). */
@customElement('lens-part-tree')
export class PartTree extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        display: block;
        margin: 0 -14px;
      }
      [role='treeitem'] {
        display: flex;
        align-items: center;
        gap: 8px;
        height: 22px;
        padding: 0 14px 0 4px;
        cursor: pointer;
        white-space: nowrap;
      }
      [role='treeitem']:hover {
        background: var(--vscode-list-hoverBackground);
        outline: 1px dashed var(--vscode-contrastActiveBorder, transparent);
        outline-offset: -1px;
      }
      [role='treeitem'][aria-selected='true'] {
        background: var(--vscode-list-inactiveSelectionBackground);
        color: var(--vscode-list-inactiveSelectionForeground, inherit);
        box-shadow: inset 2px 0 var(--vscode-focusBorder);
      }
      .label {
        display: flex;
        flex: 1 1 0;
        align-items: center;
        min-width: 0;
      }
      .text {
        overflow: hidden;
        text-overflow: ellipsis;
      }
      .twistie {
        flex: none;
        width: 18px;
        line-height: 0;
      }
      .level-2 .twistie {
        margin-left: 12px;
      }
      .level-3 .twistie {
        margin-left: 24px;
      }
      .open .twistie lens-icon {
        rotate: 90deg;
      }
      .twistie lens-icon,
      .missing {
        font-size: 14px;
      }
      .missing {
        flex: none;
        margin-left: 6px;
        color: var(--vscode-editorWarning-foreground);
      }
      svg {
        flex: none;
        width: 72px;
        height: 9px;
      }
      rect {
        fill: var(--vscode-charts-blue);
        stroke: var(--vscode-contrastBorder, transparent);
      }
      .number {
        flex: none;
        min-width: 82px;
        text-align: right;
      }
      .share {
        min-width: 46px;
      }
      [aria-selected='false'] .share {
        color: var(--vscode-descriptionForeground);
      }
      @media (max-width: 420px) {
        .share {
          display: none;
        }
      }
      @media (max-width: 340px) {
        svg {
          display: none;
        }
      }
    `,
  ];
  @property({ attribute: false }) parts: readonly ModelPart[] = [];
  @property({ attribute: false }) expanded: readonly string[] = [];
  @property() selected = '';

  override render(): TemplateResult {
    const rows = visibleParts(this.parts, new Set(this.expanded));
    const total = this.parts.reduce((sum, { parameters }) => sum + parameters, 0);
    const largest = Math.max(1, ...this.parts.map(({ parameters }) => parameters));
    const stop = rows.some(({ part }) => part.id === this.selected) ? this.selected : rows[0]?.part.id;
    return html`<div role="tree" aria-label="Parts of the model">
      ${rows.map((row) => this.row(row, rows, stop, total, largest))}
    </div>`;
  }

  private row(
    row: TreeRow,
    rows: readonly TreeRow[],
    stop: string | undefined,
    total: number,
    largest: number,
  ): TemplateResult {
    const { part, level, open } = row;
    const missing = part.missing.length > 0 || (!open && row.missing);
    const share = percentOf(part.parameters, total);
    return html`<div
      role="treeitem"
      class="level-${level} ${open ? 'open' : ''}"
      aria-level=${level}
      aria-expanded=${part.children.length === 0 ? nothing : String(open)}
      aria-selected=${String(part.id === this.selected)}
      tabindex=${part.id === stop ? 0 : -1}
      data-id=${part.id}
      title="${part.id}: ${count(part.parameters)} parameters, ${count(part.bytes)} bytes${part.storage.length === 0 ? '' : `, ${part.storage.join(', ')}`}"
      @click=${() => this.choose(part.id)}
      @dblclick=${() => this.expand(row)}
      @keydown=${(event: KeyboardEvent) => this.onKey(event, row, rows)}
    >
      <span class="label"
        ><span class="twistie" @click=${(event: Event) => this.onTwistie(event, row)}
          >${part.children.length === 0 ? nothing : html`<lens-icon name="chevron-right"></lens-icon>`}</span
        ><span class="text">${part.label}</span>${
          missing
            ? html`<lens-icon class="missing" name="warning"></lens-icon
                ><span class="visually-hidden">, some activations are missing</span>`
            : nothing
        }</span
      >
      <svg aria-hidden="true" preserveAspectRatio="none" viewBox="0 0 100 10">
        ${
          part.parameters === 0
            ? nothing
            : svg`<rect width=${Math.max(0.5, (100 * part.parameters) / largest).toFixed(2)} height="10" rx="1"></rect>`
        }
      </svg>
      <span class="number"
        ><span class="visually-hidden">, parameters </span>${part.parameters === 0 ? '–' : count(part.parameters)}</span
      >
      <span class="number share"><span class="visually-hidden">, </span>${part.parameters === 0 ? '' : share}</span>
    </div>`;
  }

  private onTwistie(event: Event, row: TreeRow): void {
    if (row.part.children.length === 0) return;
    event.stopPropagation();
    this.expand(row);
  }

  private onKey(event: KeyboardEvent, row: TreeRow, rows: readonly TreeRow[]): void {
    const at = rows.indexOf(row);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (to !== undefined) this.go(rows[to]?.part.id);
    else if (event.key === 'ArrowRight') {
      if (row.part.children.length > 0 && !row.open) this.expand(row);
      else this.go(row.part.children[0]?.id);
    } else if (event.key === 'ArrowLeft') {
      if (row.open) this.expand(row);
      else this.go(row.parent);
    } else if (event.key === 'Enter' || event.key === ' ') this.expand(row);
    else return;
    event.preventDefault();
  }

  private go(id: string | undefined): void {
    if (id === undefined) return;
    this.choose(id);
    [...this.renderRoot.querySelectorAll<HTMLElement>('[role="treeitem"]')]
      .find(({ dataset }) => dataset['id'] === id)
      ?.focus();
  }

  private choose(id: string): void {
    this.dispatchEvent(new CustomEvent('choose', { detail: id }));
  }

  private expand({ part }: TreeRow): void {
    if (part.children.length > 0) this.dispatchEvent(new CustomEvent('expand', { detail: part.id }));
  }
}
