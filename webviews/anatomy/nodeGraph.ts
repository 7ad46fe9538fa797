/** The nodes of one part as a drawing. One tab stop: up and down follow the edges, left and right the row; what has the focus is chosen. */
import { css, html, LitElement, nothing, svg, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import type { PartNode } from '../../extension/protocol/engine';
import { base } from '../common/styles';
import { centre, layout, NODE_HEIGHT, type Layout, type PlacedNode } from './layout';

/** Fires `choose` with the node's index. */
@customElement('lens-node-graph')
export class NodeGraph extends LitElement {
  static override styles = [
    base,
    css`
      .frame {
        max-height: 420px;
        overflow: auto;
        border: 1px solid var(--vscode-contrastBorder, var(--vscode-widget-border, var(--vscode-panel-border)));
      }
      svg {
        display: block;
        margin: 0 auto;
      }
      path {
        fill: none;
        stroke: var(--vscode-descriptionForeground);
        opacity: 0.6;
      }
      path.near {
        stroke: var(--vscode-focusBorder);
        opacity: 1;
      }
      rect {
        fill: var(--vscode-editor-background);
        stroke: var(--vscode-contrastBorder, var(--vscode-descriptionForeground));
      }
      g {
        cursor: pointer;
      }
      g:hover rect {
        fill: var(--vscode-list-hoverBackground);
      }
      g.chosen rect {
        fill: var(--vscode-list-inactiveSelectionBackground);
        stroke: var(--vscode-focusBorder);
        stroke-width: 2;
      }
      g:focus-visible {
        outline: none;
      }
      g:focus-visible rect {
        stroke: var(--vscode-focusBorder);
        stroke-width: 2;
        stroke-dasharray: 3 2;
      }
      text {
        fill: var(--vscode-foreground);
        font: 11px var(--vscode-font-family);
        text-anchor: middle;
      }
    `,
  ];
  /** All nodes of the model, and the indices of those to draw. */
  @property({ attribute: false }) all: readonly PartNode[] = [];
  @property({ attribute: false }) indices: readonly number[] = [];
  @property({ type: Number }) chosen = -1;
  private drawn: Layout = layout([], []);

  override willUpdate(changed: Map<PropertyKey, unknown>): void {
    if (changed.has('all') || changed.has('indices')) this.drawn = layout(this.all, this.indices);
  }

  override render(): TemplateResult | typeof nothing {
    const { nodes, width, height } = this.drawn;
    if (nodes.length === 0) return nothing;
    const stop = nodes.some(({ index }) => index === this.chosen) ? this.chosen : nodes[0]?.index;
    const at = new Map(nodes.map((node) => [node.index, node]));
    return html`<div class="frame">
      <svg width=${width} height=${height} role="group" aria-label="Nodes of this part">
        ${nodes.flatMap((node) => node.after.map((index) => this.edge(node, at.get(index) as PlacedNode)))}
        ${nodes.map(
          (node) =>
            svg`<g
              role="button"
              class=${node.index === this.chosen ? 'chosen' : ''}
              tabindex=${node.index === stop ? 0 : -1}
              aria-pressed=${String(node.index === this.chosen)}
              aria-label=${this.labelOf(node.index)}
              data-index=${node.index}
              @click=${() => this.choose(node.index)}
              @keydown=${(event: KeyboardEvent) => this.onKey(event, node)}
            >
              <title>${this.labelOf(node.index)}</title>
              <rect x=${node.x} y=${node.y} width=${node.width} height=${NODE_HEIGHT} rx="3"></rect>
              <text x=${centre(node)} y=${node.y + 15}>${this.all[node.index]?.opType}</text>
            </g>`,
        )}
      </svg>
    </div>`;
  }

  private labelOf(index: number): string {
    const node = this.all[index];
    return node === undefined ? '' : `${node.opType} ${node.name === '' ? (node.outputs[0]?.name ?? '') : node.name}`;
  }

  private edge(from: PlacedNode, to: PlacedNode): TemplateResult {
    const [x1, y1, x2, y2] = [centre(from), from.y + NODE_HEIGHT, centre(to), to.y];
    const middle = (y1 + y2) / 2;
    const near = from.index === this.chosen || to.index === this.chosen;
    return svg`<path class=${near ? 'near' : ''} d="M${x1} ${y1}C${x1} ${middle} ${x2} ${middle} ${x2} ${y2}"></path>`;
  }

  private onKey(event: KeyboardEvent, node: PlacedNode): void {
    const row = this.drawn.rows[node.row] ?? [];
    const next = {
      ArrowDown: node.after[0],
      ArrowUp: node.before[0],
      ArrowLeft: row[node.column - 1]?.index,
      ArrowRight: row[node.column + 1]?.index,
      Home: this.drawn.nodes[0]?.index,
      End: this.drawn.nodes.at(-1)?.index,
      Enter: node.index,
      ' ': node.index,
    }[event.key];
    if (!/^(Arrow|Home$|End$|Enter$| $)/.test(event.key)) return;
    event.preventDefault();
    if (next === undefined) return;
    this.choose(next);
    this.renderRoot.querySelector<SVGGElement>(`[data-index="${next}"]`)?.focus();
  }

  private choose(index: number): void {
    this.dispatchEvent(new CustomEvent('choose', { detail: index }));
  }
}
