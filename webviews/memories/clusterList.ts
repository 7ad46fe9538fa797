/** Values that point the same way: the words of each cluster, in which layers it is, and the values nearest to its centre. */
import { css, html, LitElement, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { ScoredWord, ValueCluster, ValueClusters } from '../../extension/protocol/ffn';
import { count, neuronName, precise, readable, visible } from '../../extension/protocol/format';
import type { MemoryName } from '../../extension/protocol/memoriesView';
import { pageStyles } from '../common/pageStyles';
import { base } from '../common/styles';
import { figure, layersText, sameNeuron } from './page';

/** Clusters that are shown at first. */
const FEW = 20;

/** Fires `memory` with one that is chosen. */
@customElement('lens-cluster-list')
export class ClusterList extends LitElement {
  static override styles = [
    base,
    pageStyles,
    css`
      section {
        padding: 4px 0 6px;
        border-bottom: 1px solid
          var(--vscode-contrastBorder, var(--vscode-widget-border, var(--vscode-panel-border, transparent)));
      }
      p {
        margin: 2px 0;
      }
      bdi.word {
        margin-right: 8px;
        font-family: var(--vscode-editor-font-family);
      }
      .members button {
        margin-right: 10px;
      }
    `,
  ];
  @property({ attribute: false }) result: ValueClusters | null = null;
  @property({ attribute: false }) names: readonly MemoryName[] = [];
  @state() private all = false;

  override render(): TemplateResult | typeof nothing {
    const { result } = this;
    if (result === null) return nothing;
    const { clusters, values, cohesion, method, notes } = result;
    return html`<h2>
        <span class="title">Clusters</span
        ><span class="what number"
          >${clusters.length} of ${count(values)} values; mean cosine with the centre ${figure(cohesion, 2)}</span
        >
      </h2>
      ${clusters.slice(0, this.all ? undefined : FEW).map((cluster, index) => this.cluster(cluster, index))}
      ${
        this.all || clusters.length <= FEW
          ? nothing
          : html`<p>
              <button class="link" @click=${() => (this.all = true)}>Show all ${clusters.length} clusters</button>
            </p>`
      }
      <p class="quiet">Found by ${visible(method)}.</p>
      ${notes.map((note) => html`<p class="quiet">${visible(note)}</p>`)}`;
  }

  private cluster(
    { size, cohesion, layers, promoted, suppressed, members }: ValueCluster,
    index: number,
  ): TemplateResult {
    const words = (sign: string, label: string, all: readonly ScoredWord[]): TemplateResult | typeof nothing =>
      all.length === 0
        ? nothing
        : html`<p>
            <span class="quiet" title=${label}>${sign}</span>
            ${all.map(
              ({ token, score }) =>
                html`<bdi class="word" title="${visible(token)}, score ${precise(score)}">${readable(token)}</bdi>`,
            )}
          </p>`;
    const shares = Float32Array.from(layers, (own) => own / size);
    return html`<section aria-label="Cluster ${index + 1}">
      <p class="number">
        <strong>${count(size)}</strong>
        <span class="quiet">values, cosine ${figure(cohesion, 2)}; ${layersText(shares)}</span>
      </p>
      ${words('+', 'promotes', promoted)} ${words('−', 'suppresses', suppressed)}
      <p class="members number">
        ${members.map((memory) => {
          const { layer, neuron, cosine } = memory;
          const own = this.names.find((each) => sameNeuron(each, memory));
          return html`<button
            class="link"
            title="cosine with the centre ${precise(cosine)}. Show the memory"
            @click=${() => this.dispatchEvent(new CustomEvent('memory', { detail: { layer, neuron } }))}
          >
            ${neuronName(memory)}${own === undefined ? nothing : html` <bdi>${visible(own.name)}</bdi>`}
          </button>`;
        })}
      </p>
    </section>`;
  }
}
