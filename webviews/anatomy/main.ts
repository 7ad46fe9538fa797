/** The Anatomy view: a model as its blocks, and what is in each. */
import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import type { ModelAnatomy, ModelPart, NodeValue, PartNode, PartWeight } from '../../extension/protocol/engine';
import { count, counted, fileSize, visible } from '../../extension/protocol/format';
import type { AnatomyMethods, AnatomyPlace, AnatomyState } from '../../extension/protocol/view';
import { EXPORTS } from '../common/header';
import '../common/icon';
import { View } from '../common/view';
import './nodeGraph';
import './partTree';
import { contentsOf, facts, flat, nodeName, percentOf, shapeText, summary } from './rows';

/** Larger drawings are slow, and nobody reads them. */
const MOST_DRAWN = 400;

@customElement('onnx-lens-anatomy')
export class AnatomyView extends View<AnatomyState, AnatomyMethods> {
  static override styles = [
    View.styles,
    css`
      dl {
        display: grid;
        grid-template-columns: repeat(auto-fill, minmax(108px, 1fr));
        gap: 6px 14px;
        margin: 4px 0 8px;
      }
      dt {
        font-size: 11px;
        color: var(--vscode-descriptionForeground);
      }
      dd {
        margin: 0;
        font-variant-numeric: tabular-nums;
        overflow-wrap: anywhere;
      }
      table {
        width: 100%;
        border-collapse: collapse;
        font-variant-numeric: tabular-nums;
      }
      th,
      td {
        padding: 2px 8px 2px 0;
        text-align: left;
        vertical-align: top;
        overflow-wrap: anywhere;
      }
      th {
        font-size: 11px;
        font-weight: 400;
        color: var(--vscode-descriptionForeground);
        border-bottom: 1px solid var(--vscode-contrastBorder, var(--vscode-widget-border, var(--vscode-panel-border)));
      }
      .right {
        text-align: right;
        padding-right: 0;
        white-space: nowrap;
      }
      .mono {
        font-size: 12px;
      }
      .copy {
        font-family: var(--vscode-editor-font-family);
        font-size: 12px;
        overflow-wrap: anywhere;
      }
      ul {
        margin: 4px 0;
        padding: 0;
        list-style: none;
      }
      li {
        padding: 2px 0;
        overflow-wrap: anywhere;
      }
      details {
        margin-top: 6px;
      }
      summary {
        cursor: pointer;
        color: var(--vscode-descriptionForeground);
      }
      td button.link {
        overflow-wrap: anywhere;
      }
      tr.chosen td {
        background: var(--vscode-list-inactiveSelectionBackground);
        color: var(--vscode-list-inactiveSelectionForeground, inherit);
      }
      @media (min-width: 820px) {
        .columns {
          display: grid;
          grid-template-columns: minmax(0, 1fr) minmax(0, 1fr);
          column-gap: 44px;
        }
        .columns > section:last-child {
          position: sticky;
          top: 0;
          align-self: start;
          max-height: 100vh;
          overflow: auto;
          padding-right: 4px;
        }
      }
    `,
  ];
  /** Where the person is; the host keeps it while the view is hidden. */
  @state() private place: AnatomyPlace | null = null;
  @state() private node = -1;

  override render(): TemplateResult | typeof nothing {
    const { state } = this;
    if (state === null) return nothing;
    const { anatomy } = state;
    return this.frame(state, {
      name: 'Anatomy',
      actions: [
        { name: 'refresh', icon: 'refresh', label: 'Read Again' },
        { name: 'export', icon: 'export', label: 'Copy or Export', disabled: anatomy === null, items: EXPORTS },
      ],
      content:
        anatomy === null
          ? state.status === 'empty'
            ? html`<p>
                Reading was stopped.
                <button class="link" @click=${() => this.ask('refresh', null)}>Read the model</button>
              </p>`
            : nothing
          : this.anatomy(anatomy, this.place ?? state.place ?? firstPlace(anatomy)),
      said: anatomy === null ? '' : summary(anatomy),
    });
  }

  private anatomy(anatomy: ModelAnatomy, place: AnatomyPlace): TemplateResult {
    const { parts, info } = anatomy;
    const selected = flat(parts).find(({ id }) => id === place.selected) ?? parts[0];
    return html`<dl>
        ${facts(anatomy).map(
          ({ label, value }) =>
            html`<div>
              <dt>${label}</dt>
              <dd>${visible(value)}</dd>
            </div>`,
        )}
      </dl>
      ${info.notes.map((note) => html`<p class="quiet">${note}</p>`)}
      ${
        info.anatomy.layers > 0
          ? nothing
          : html`<p class="warning"><lens-icon name="warning"></lens-icon> No blocks were found in this graph.</p>`
      }
      ${info.anatomy.problems.map(
        (problem) => html`<p class="warning"><lens-icon name="warning"></lens-icon> ${visible(problem)}</p>`,
      )}
      <div class="columns">
        <section aria-label="Parts">
          <h2><span class="title">Parts</span><span class="fill"></span><span class="what">parameters</span></h2>
          <lens-part-tree
            .parts=${parts}
            .expanded=${place.expanded}
            selected=${selected?.id ?? ''}
            @choose=${(event: CustomEvent<string>) => this.go({ ...place, selected: event.detail })}
            @expand=${(event: CustomEvent<string>) => this.go(toggled(place, event.detail))}
          ></lens-part-tree>
        </section>
        ${selected === undefined ? nothing : this.details(anatomy, selected)}
      </div>`;
  }

  private details(anatomy: ModelAnatomy, part: ModelPart): TemplateResult {
    const { weights, hooks, missing, nodes } = contentsOf(part);
    const drawn = nodes.filter((index) => anatomy.nodes[index]?.constant === false);
    return html`<section aria-label=${part.label}>
      <h2><span class="title">${part.label}</span><span class="what">${this.copyable(part.id)}</span></h2>
      <p class="number">
        ${counted(part.parameters, 'parameter')}
        <span class="quiet">
          · ${percentOf(part.parameters, anatomy.info.parameters)} ·
          ${fileSize(part.bytes)}${part.storage.length === 0 ? '' : ` · ${part.storage.join(', ')}`}</span
        >
      </p>
      ${part.notes.map((note) => html`<p class="quiet">${visible(note)}</p>`)}
      ${
        missing.length === 0
          ? nothing
          : html`<h2><span class="title">Missing hooks</span></h2>
              <ul>
                ${missing.map(
                  ({ hook, why }) =>
                    html`<li>
                      <lens-icon class="warning" name="warning"></lens-icon> <span class="mono">${hook}</span>
                      <span class="quiet">${visible(why)}</span>
                    </li>`,
                )}
              </ul>
              <p class="quiet">
                An export of the same model without fused operators and without graph optimisation often has them.
              </p>`
      }
      ${weights.length === 0 ? nothing : this.weights(weights)}
      ${
        hooks.length === 0
          ? nothing
          : html`<h2><span class="title">Hooks</span><span class="what">activations that can be read</span></h2>
              <table aria-label="Hooks">
                <tbody>
                  ${hooks.map(
                    ({ name, shape }) =>
                      html`<tr>
                        <td>${this.copyable(name)}</td>
                        <td class="right mono">${shapeText(shape)}</td>
                      </tr>`,
                  )}
                </tbody>
              </table>`
      }
      ${nodes.length === 0 ? nothing : this.nodes(anatomy, nodes, drawn)}
    </section>`;
  }

  private weights(weights: readonly PartWeight[]): TemplateResult {
    return html`<h2><span class="title">Weights</span></h2>
      <table aria-label="Weights">
        <thead>
          <tr>
            <th>name, shape, stored as</th>
            <th class="right">parameters</th>
          </tr>
        </thead>
        <tbody>
          ${weights.map(
            ({ name, role, type, shape, storage, parameters, bytes, sharedWith }) =>
              html`<tr title="${role}, ${type}, ${count(bytes)} bytes">
                <td>
                  ${this.copyable(name)}
                  <div class="quiet">
                    <span class="mono">${shapeText(shape)}</span> ${weightNote(role, storage, sharedWith)}
                  </div>
                </td>
                <td class="right">${parameters === 0 ? '–' : count(parameters)}</td>
              </tr>`,
          )}
        </tbody>
      </table>`;
  }

  private nodes(anatomy: ModelAnatomy, nodes: readonly number[], drawn: readonly number[]): TemplateResult {
    const chosen = nodes.includes(this.node) ? this.node : -1;
    const node = anatomy.nodes[chosen];
    return html`<h2>
        <span class="title">ONNX nodes</span>
        <span class="what">${count(nodes.length)}, ${count(nodes.length - drawn.length)} of them constant</span>
      </h2>
      ${
        drawn.length === 0
          ? nothing
          : drawn.length > MOST_DRAWN
            ? html`<p class="quiet">Too many to draw; choose a part inside this one.</p>`
            : html`<lens-node-graph
                .all=${anatomy.nodes}
                .indices=${drawn}
                .chosen=${chosen}
                @choose=${(event: CustomEvent<number>) => (this.node = event.detail)}
              ></lens-node-graph>`
      }
      ${node === undefined ? nothing : this.chosenNode(node)}
      <details>
        <summary>List of nodes</summary>
        <table aria-label="Nodes">
          <thead>
            <tr>
              <th>operator</th>
              <th>name</th>
              <th class="right">gives</th>
            </tr>
          </thead>
          <tbody>
            ${nodes.map((index) => this.nodeRow(anatomy.nodes[index] as PartNode, index, chosen))}
          </tbody>
        </table>
      </details>`;
  }

  private nodeRow(node: PartNode, index: number, chosen: number): TemplateResult {
    return html`<tr class=${index === chosen ? 'chosen' : ''}>
      <td>
        <button class="link" aria-pressed=${String(index === chosen)} @click=${() => (this.node = index)}>
          ${node.opType}
        </button>
      </td>
      <td class="mono">${visible(nodeName(node))}</td>
      <td class="right mono">${shapeText(node.outputs[0]?.shape ?? null)}</td>
    </tr>`;
  }

  private chosenNode(node: PartNode): TemplateResult {
    const values = (title: string, list: readonly NodeValue[]): TemplateResult[] =>
      list.map(
        ({ name, shape }, index) =>
          html`<tr>
            <th scope="row">${index === 0 ? title : html`<span class="visually-hidden">${title}</span>`}</th>
            <td>${this.copyable(name)}</td>
            <td class="right mono">${shapeText(shape)}</td>
          </tr>`,
      );
    return html`<p>
        <strong>${node.domain === '' ? node.opType : `${node.domain}.${node.opType}`}</strong>
        ${this.copyable(nodeName(node))}
      </p>
      <table aria-label="Values of ${node.opType}">
        <tbody>
          ${values('in', node.inputs)}${values('out', node.outputs)}
        </tbody>
      </table>`;
  }

  private copyable(text: string): TemplateResult {
    return html`<button class="link copy" title="Copy ${text}" @click=${() => this.ask('copy', { text })}>
      ${visible(text)}
    </button>`;
  }

  private go(place: AnatomyPlace): void {
    this.place = place;
    this.ask('remember', place);
  }
}

const weightNote = (role: PartWeight['role'], storage: string, sharedWith: string | null): string =>
  [
    role === 'weight' || role === 'bias' ? '' : role,
    storage,
    sharedWith === null ? '' : `shared with ${sharedWith}, counted there`,
  ]
    .filter(Boolean)
    .join(' · ');

/** The inside of a block is what people come for. */
function firstPlace({ parts }: ModelAnatomy): AnatomyPlace {
  const block = parts.find(({ id }) => id.startsWith('blocks.'));
  return { selected: (block ?? parts[0])?.id ?? '', expanded: block === undefined ? [] : [block.id] };
}

const toggled = ({ selected, expanded }: AnatomyPlace, id: string): AnatomyPlace => ({
  selected: selected.startsWith(`${id}.`) ? id : selected,
  expanded: expanded.includes(id) ? expanded.filter((each) => each !== id) : [...expanded, id],
});
