/** All occurrences of a word as points: which lie together, at which layer they part. */
import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { OccurrenceLayer, OccurrencesResult } from '../../extension/protocol/embeddings';
import type { EmbeddingsLook, OccurrenceScope } from '../../extension/protocol/embeddingsView';
import { counted, share, visible } from '../../extension/protocol/format';
import { palette } from '../common/colors';
import '../common/lineChart';
import type { ChartPicture } from '../common/lineChart';
import { shapeIcon } from '../common/shapes';
import { cosineText, layerSlider, markedSentence, Page } from './page';
import './pointCloud';
import type { CloudPicture } from './pointCloud';

const SCOPES: { scope: OccurrenceScope; label: string }[] = [
  { scope: 'document', label: 'This Document' },
  { scope: 'workspace', label: 'Workspace' },
  { scope: 'files', label: 'Files…' },
];
const STEP_MS = 900;
const MOST_GROUPS = 8;

@customElement('lens-occurrences-page')
export class OccurrencesPage extends Page {
  static override styles = [
    Page.styles,
    css`
      .legend svg {
        vertical-align: -1px;
      }
      .sentence {
        min-height: 3.2em;
        overflow-wrap: anywhere;
      }
      @media (min-width: 820px) {
        .columns {
          display: grid;
          grid-template-columns: minmax(0, 3fr) minmax(0, 2fr);
          column-gap: 40px;
        }
      }
    `,
  ];
  @property({ attribute: false }) result: OccurrencesResult | null = null;
  @state() private near: number | null = null;
  @state() private playing = false;
  private timer: number | undefined;

  override disconnectedCallback(): void {
    this.stop();
    super.disconnectedCallback();
  }

  override render(): TemplateResult {
    const { result, state } = this;
    return html`<div class="row controls">
        ${state.word === null ? nothing : html`<span>Find <strong>${visible(state.word)}</strong> in</span>`}
        ${SCOPES.map(
          ({ scope, label }) =>
            html`<button
              class="bordered"
              ?disabled=${state.word === null}
              @click=${() => this.host.ask('find', { scope })}
            >
              ${label}
            </button>`,
        )}
      </div>
      ${
        result === null
          ? html`<p class="quiet">
              Every occurrence of the word under the caret becomes a point: what lies together is used alike. Each
              sentence goes into the model by itself. A .tsv file of sentence, tab, sense can be compared with the
              clusters.
            </p>`
          : this.results(result)
      }`;
  }

  private results(result: OccurrencesResult): TemplateResult {
    const at = layerAt(result, this.look.layer);
    const layer = result.layers[at] as OccurrenceLayer;
    const { occurrences, sources } = result;
    return html`<p class="quiet">
        <strong>${visible(result.word)}</strong>: ${counted(occurrences.length, 'occurrence')} in
        ${counted(sources.length, 'file')}${result.truncated ? html`, <span class="warning">and there are more</span>` : ''}
      </p>
      ${this.controls(result, at)}
      <div class="columns">
        <div>${this.cloud(result, layer)}</div>
        <div>${this.charts(result)}</div>
      </div>
      ${result.skipped.map(({ name, why }) => html`<p class="quiet">Left out: ${visible(name)}: ${visible(why)}</p>`)}
      ${result.notes.map((note) => html`<p class="quiet">${visible(note)}</p>`)}`;
  }

  private controls({ layers, occurrences }: OccurrencesResult, at: number): TemplateResult {
    const { look } = this;
    const labelled = occurrences.some(({ label }) => label !== null);
    const option = <T extends string | number>(value: T, label: string, now: T): TemplateResult =>
      html`<option value=${value} ?selected=${value === now}>${label}</option>`;
    const pick = (event: Event): string => (event.target as HTMLSelectElement).value;
    return html`<div class="row controls">
      ${layerSlider(
        layers.map(({ layer }) => layer),
        at,
        { event: 'input', choose: (index) => this.choose(index) },
      )}
      <button
        class="bordered"
        ?disabled=${layers.length < 2}
        aria-pressed=${String(this.playing)}
        @click=${() => (this.playing ? this.stop() : this.play(at))}
      >
        ${this.playing ? 'Stop' : 'Play Layers'}
      </button>
      <label
        >Colour
        <select @change=${(event: Event) => this.host.look({ colour: pick(event) as EmbeddingsLook['colour'] })}>
          ${option('cluster', 'cluster', look.colour)} ${option('file', 'file', look.colour)}
          ${labelled ? option('label', 'label', look.colour) : nothing}
        </select></label
      >
      <label
        >Places
        <select
          @change=${(event: Event) => this.host.look({ projection: pick(event) as EmbeddingsLook['projection'] })}
        >
          ${option('pca', 'PCA', look.projection)} ${option('umap', 'UMAP', look.projection)}
        </select></label
      >
      <label
        >Axes
        <select @change=${(event: Event) => this.host.look({ axes: pick(event) === '3' ? 3 : 2 })}>
          ${option('2', '2', String(look.axes))} ${option('3', '3', String(look.axes))}
        </select></label
      >
    </div>`;
  }

  private cloud(result: OccurrencesResult, layer: OccurrenceLayer): TemplateResult {
    const groups = groupsOf(result, layer, this.look.colour);
    const { categories } = palette();
    const picture = this.pictureOf(result, layer, groups);
    return html`<lens-point-cloud
        .picture=${picture}
        label="Occurrences of ${visible(result.word)}; Enter opens one"
        @point=${(event: CustomEvent<number | null>) => (this.near = event.detail)}
        @choose=${(event: CustomEvent<number>) => this.host.ask('openOccurrence', { index: event.detail })}
      ></lens-point-cloud>
      <div class="sentence">${this.sentence(result)}</div>
      <div class="legend quiet">
        ${groups.names.map((name, index) => html`<span>${shapeIcon(index, categories[index % categories.length] ?? '')} ${visible(name)}</span>`)}
      </div>
      <p class="quiet number">
        ${
          layer.explained.length === 0
            ? 'UMAP: near points are alike; distances between groups say little.'
            : `The axes hold ${layer.explained.map((value) => share(value)).join(', ')} of the variance.`
        }
      </p>`;
  }

  private drawn: { key: unknown[]; picture: CloudPicture } | null = null;

  /** The same object while nothing changes, so that points only move when they have new places. */
  private pictureOf(result: OccurrencesResult, layer: OccurrenceLayer, groups: Groups): CloudPicture {
    const key = [result, layer, this.look.colour];
    if (this.drawn === null || this.drawn.key.some((each, at) => each !== key[at])) {
      const axes = layer.places.length / result.occurrences.length === 3 ? 3 : 2;
      const picture: CloudPicture = {
        ...{ places: layer.places, axes, category: groups.of },
        label: (index) => {
          const { source, line } = result.occurrences[index] ?? { source: 0, line: 0 };
          return `${result.sources[source] ?? ''}:${line}`;
        },
      };
      this.drawn = { key, picture };
    }
    return this.drawn.picture;
  }

  private sentence({ occurrences, sources }: OccurrencesResult): TemplateResult | typeof nothing {
    const found = occurrences[this.near ?? -1];
    if (found === undefined) return html`<span class="quiet">Point at an occurrence to read its sentence.</span>`;
    const { sentence, range, source, line, label } = found;
    return html`${markedSentence(sentence, range)}
      <span class="quiet"
        >${visible(sources[source] ?? '')}:${line}${label === null ? '' : ` · ${visible(label)}`}</span
      >`;
  }

  private charts({ layers }: OccurrencesResult): TemplateResult | typeof nothing {
    const hidden = layers.filter(({ layer }) => layer !== 'static');
    const fixed = layers.find(({ layer }) => layer === 'static');
    if (hidden.length < 2) return nothing;
    const labelled = hidden.some(({ rand }) => rand !== null);
    const picture: ChartPicture = {
      series: [
        ...(labelled ? [{ label: 'adjusted Rand index', values: hidden.map(({ rand }) => rand) }] : []),
        { label: 'self-similarity', values: hidden.map(({ selfSimilarity }) => selfSimilarity) },
        { label: 'silhouette', values: hidden.map(({ silhouette }) => silhouette) },
      ],
      format: cosineText,
    };
    const { categories } = palette();
    return html`<h2><span class="title">By layer</span></h2>
      <lens-line-chart .picture=${picture} label="Occurrences by layer"></lens-line-chart>
      <div class="legend">
        ${picture.series.map(({ label }, index) => html`<span>${shapeIcon(index, categories[index] ?? '')} ${label}</span>`)}
      </div>
      <p class="quiet">
        Self-similarity: mean cosine of two occurrences. Silhouette: how well the clusters are
        apart.${labelled ? ' Adjusted Rand index: agreement of clusters with labels, 0 by chance, 1 the same.' : ''}
        ${fixed?.rand == null ? nothing : html`The static row, one vector for all, has ${cosineText(fixed.rand)}.`}
      </p>`;
  }

  private choose(index: number): void {
    const layer = this.result?.layers[index]?.layer;
    if (layer === 'static' || typeof layer === 'number') this.host.look({ layer });
  }

  private play(from: number): void {
    const last = (this.result?.layers.length ?? 1) - 1;
    let at = from >= last ? -1 : from;
    this.playing = true;
    this.timer = window.setInterval(() => {
      at += 1;
      this.choose(at);
      if (at >= last) this.stop();
    }, STEP_MS);
  }

  private stop(): void {
    window.clearInterval(this.timer);
    this.playing = false;
  }
}

interface Groups {
  names: string[];
  of: (index: number) => number;
}

/** What colours tell apart; all beyond the first few are one. */
function groupsOf(
  { occurrences, sources }: OccurrencesResult,
  { clusters }: OccurrenceLayer,
  colour: EmbeddingsLook['colour'],
): Groups {
  const labelOf = (index: number): string =>
    colour === 'cluster'
      ? `cluster ${(clusters[index] ?? 0) + 1}`
      : colour === 'file'
        ? (sources[occurrences[index]?.source ?? 0] ?? '')
        : (occurrences[index]?.label ?? 'no label');
  const sizes = new Map<string, number>();
  occurrences.forEach((_, index) => sizes.set(labelOf(index), (sizes.get(labelOf(index)) ?? 0) + 1));
  const names = [...sizes.keys()].sort((a, b) => (sizes.get(b) ?? 0) - (sizes.get(a) ?? 0) || (a < b ? -1 : 1));
  const places = new Map(names.map((name, place) => [name, Math.min(place, MOST_GROUPS - 1)]));
  return {
    names:
      names.length <= MOST_GROUPS
        ? names
        : [...names.slice(0, MOST_GROUPS - 1), `${names.length - MOST_GROUPS + 1} more`],
    of: (index) => places.get(labelOf(index)) ?? 0,
  };
}

function layerAt({ layers }: OccurrencesResult, layer: 'static' | number | null): number {
  const found = layers.findIndex((each) => each.layer === layer);
  return found < 0 ? layers.length - 1 : found;
}
