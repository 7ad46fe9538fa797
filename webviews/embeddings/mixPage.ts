/** A word with its layers mixed as the person sets it, and the mix that labelled examples want (ELMo, Peters et al. 2018). */
import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { LearnMixResult, WordMixResult } from '../../extension/protocol/embeddings';
import { count, counted, precise, readable, visible } from '../../extension/protocol/format';
import { equalMix, settingOf, softmaxOf, type MixSetting } from '../../extension/protocol/mix';
import '../common/barList';
import type { BarRow } from '../common/barList';
import { palette } from '../common/colors';
import { shapeIcon } from '../common/shapes';
import { cosineText, Page } from './page';
import './pointCloud';
import type { CloudPicture } from './pointCloud';

/** Of w: e^±6 leaves nothing of a layer, or of the others. */
const WIDEST = 6;
const LARGEST_GAMMA = 4;
/** w of one layer that is to stand alone. */
const ALONE = 2 * WIDEST;
const MOST_WORDS = 8;
const GROUPS = ['the word', 'the same word', 'other words'];

@customElement('lens-mix-page')
export class MixPage extends Page {
  static override styles = [
    Page.styles,
    css`
      .weights {
        display: grid;
        grid-template-columns: auto minmax(60px, 1fr) 44px;
        align-items: center;
        column-gap: 8px;
        row-gap: 2px;
      }
      .weights input {
        width: 100%;
      }
      .weights .number {
        text-align: right;
      }
      .weights label {
        display: contents;
      }
      .last {
        margin-top: 6px;
      }
      @media (min-width: 820px) {
        .columns {
          display: grid;
          grid-template-columns: minmax(0, 2fr) minmax(0, 3fr);
          grid-template-rows: auto 1fr;
          column-gap: 40px;
        }
        .mixed {
          grid-column: 2;
          grid-row: 1 / 3;
        }
      }
    `,
  ];
  @property({ attribute: false }) result: WordMixResult | null = null;
  @property({ attribute: false }) learned: LearnMixResult | null = null;
  @state() private near: number | null = null;
  /** Set, and not sent yet: one question at a time, so that an answer comes while a slider is still moved. */
  @state() private waiting: MixSetting | null = null;

  override updated(): void {
    const { waiting, state } = this;
    if (waiting === null || state.status === 'loading') return;
    this.waiting = null;
    this.host.look({ mix: waiting });
  }

  override render(): TemplateResult {
    return html`<div class="columns">
      <div>${this.weights()}</div>
      <div class="mixed">
        ${
          this.result === null
            ? html`<p class="quiet">
                Put the caret on a word: what it is near to with its layers mixed. The mix is γ·Σ
                s<sub>k</sub>·h<sub>k</sub>, s = softmax(w), over all hidden states.
              </p>`
            : this.mixed(this.result)
        }
      </div>
      <div>${this.learning()}</div>
    </div>`;
  }

  private get setting(): MixSetting {
    return this.waiting ?? this.look.mix ?? equalMix(this.state.layers ?? 0);
  }

  private set(change: MixSetting): void {
    this.waiting = change;
  }

  private weights(): TemplateResult {
    const { setting } = this;
    const { logits, gamma } = setting;
    const shares = softmaxOf(logits);
    const last = logits.length - 1;
    const numberOf = (event: Event): number => Number((event.target as HTMLInputElement).value);
    return html`<h2><span class="title">Mix</span><span class="what">s = softmax of the sliders</span></h2>
      <div class="weights">
        ${logits.map(
          (logit, layer) =>
            html`<label
              ><span class="quiet number">${layer}</span>
              <input
                type="range"
                min=${-WIDEST}
                max=${WIDEST}
                step="0.05"
                .value=${String(Math.max(-WIDEST, Math.min(WIDEST, logit)))}
                aria-label="Weight of layer ${layer}"
                aria-valuetext=${cosineText(shares[layer])}
                @input=${(event: Event) =>
                  this.set({ gamma, logits: logits.map((each, at) => (at === layer ? numberOf(event) : each)) })}
              />
              <span class="number" title="s = ${precise(shares[layer] ?? 0)}">${cosineText(shares[layer])}</span></label
            >`,
        )}
        <label
          ><span class="quiet">γ</span>
          <input
            type="range"
            min="0.05"
            max=${LARGEST_GAMMA}
            step="0.05"
            .value=${String(Math.min(LARGEST_GAMMA, gamma))}
            aria-label="γ"
            aria-valuetext=${gamma.toFixed(2)}
            @input=${(event: Event) => this.set({ logits, gamma: numberOf(event) })}
          />
          <span class="number" title=${precise(gamma)}>${gamma.toFixed(2)}</span></label
        >
      </div>
      <div class="row controls last">
        <button class="bordered" @click=${() => this.set(equalMix(last))}>All Alike</button>
        <button
          class="bordered"
          @click=${() => this.set({ gamma: 1, logits: logits.map((_, at) => (at === last ? ALONE : -ALONE)) })}
        >
          Last Only
        </button>
        <label
          ><input
            type="checkbox"
            .checked=${this.look.centre}
            @change=${(event: Event) => this.host.look({ centre: (event.target as HTMLInputElement).checked })}
          />Less the mean vector</label
        >
      </div>`;
  }

  private mixed(result: WordMixResult): TemplateResult {
    const { words, cosines, neighbours, norm, rank, explained } = result;
    const { categories } = palette();
    const nearest = words
      .map((word, index) => ({ ...word, cosine: cosines[index] as number }))
      .filter(({ own, cosine }) => !own && !Number.isNaN(cosine))
      .sort((a, b) => b.cosine - a.cosine)
      .slice(0, MOST_WORDS);
    return html`<p class="quiet number">
        <strong>${visible(result.word.text)}</strong>: norm
        ${norm.toFixed(1)}${rank === null ? '' : `; its own row of the table is at rank ${count(rank)}`}
      </p>
      <h2><span class="title">Words of the text</span><span class="what">principal components of the mix</span></h2>
      <lens-point-cloud
        .picture=${this.pictureOf(result)}
        label="Words of the text; Enter shows one in the editor"
        @point=${(event: CustomEvent<number | null>) => (this.near = event.detail)}
        @choose=${(event: CustomEvent<number>) => this.reveal(words[event.detail]?.range)}
      ></lens-point-cloud>
      <div class="readout">
        ${this.near === null ? nothing : html`<strong>${cosineText(cosines[this.near])}</strong> ${visible(words[this.near]?.label ?? '')}`}
      </div>
      <div class="legend quiet">
        ${GROUPS.map((name, index) => html`<span>${shapeIcon(index, categories[index] ?? '')} ${name}</span>`)}
        <span class="number"
          >axes: ${explained.map((value) => `${Math.round(100 * value)} %`).join(', ')} of the variance</span
        >
      </div>
      <h2><span class="title">Nearest words of the text</span><span class="what">cosine</span></h2>
      <lens-bar-list
        active
        label="Nearest words of the text"
        .columns=${['cosine']}
        .rows=${nearest.map(({ label, cosine, same }): BarRow => bar(visible(label), cosine, same ? 'same word' : undefined))}
        @choose=${(event: CustomEvent<number>) => this.reveal(nearest[event.detail]?.range)}
      ></lens-bar-list>
      ${
        neighbours.length === 0
          ? nothing
          : html`<h2><span class="title">Nearest rows of the table</span><span class="what">cosine</span></h2>
              <lens-bar-list
                label="Nearest rows of the embedding table"
                .columns=${['cosine']}
                .rows=${neighbours.map(({ token, cosine }): BarRow => bar(readable(token), cosine))}
              ></lens-bar-list>`
      }
      <p class="quiet">γ changes lengths, and no cosine.</p>
      ${result.notes.map((note) => html`<p class="quiet">${visible(note)}</p>`)}`;
  }

  private reveal(range: WordMixResult['word']['range'] | undefined): void {
    if (range !== undefined) this.host.ask('reveal', { range });
  }

  private drawn: { result: WordMixResult; picture: CloudPicture } | null = null;

  private pictureOf(result: WordMixResult): CloudPicture {
    if (this.drawn?.result === result) return this.drawn.picture;
    const { words } = result;
    const picture: CloudPicture = {
      ...{ places: turned(result.places, this.drawn?.picture.places), axes: 2, named: true },
      category: (index) => (words[index]?.own === true ? 0 : words[index]?.same === true ? 1 : 2),
      label: (index) => visible(words[index]?.label ?? ''),
    };
    this.drawn = { result, picture };
    return picture;
  }

  private learning(): TemplateResult {
    const { learned } = this;
    return html`<h2><span class="title">Learn the mix</span><span class="what">which layers a task wants</span></h2>
      <p class="quiet">
        From lines of text, tab, label (or .csv, .jsonl, or words of a .conllu treebank): a linear classifier on the
        mix, and the weights that it wants.
      </p>
      <p><button class="bordered" @click=${() => this.host.ask('learnMix', null)}>Learn from File…</button></p>
      ${learned === null ? nothing : this.learnedMix(learned)}`;
  }

  private learnedMix(learned: LearnMixResult): TemplateResult {
    const { mix, single, accuracy, trainAccuracy, majority, train, test, folds, labels, seed } = learned;
    const most = Math.max(...mix.weights);
    const alone = (layer: unknown): number | undefined => single.find((each) => each.layer === layer)?.accuracy;
    const fixed = alone('static');
    const best = single.reduce((a, b) => (b.accuracy > a.accuracy ? b : a));
    const accuracies: [name: string, value: number | undefined][] = [
      ['the mix', accuracy],
      [`best layer, ${best.layer}`, best.accuracy],
      ['static row', fixed],
      [`always “${visible(majority.label)}”`, majority.accuracy],
      ['the mix, in training', trainAccuracy],
    ];
    return html`<h2>
        <span class="title">Learned weights</span><span class="what">s of each layer; accuracy of it alone</span>
      </h2>
      <lens-bar-list
        label="Learned weights of layers"
        .columns=${['weight', 'accuracy alone']}
        .rows=${mix.weights.map((weight, layer): BarRow => {
          const own = alone(layer);
          return {
            ...{ label: `layer ${layer}`, fraction: weight / most },
            numbers: [cosineText(weight), own === undefined ? '–' : percent(own)],
            title: `s = ${precise(weight)}; accuracy ${own === undefined ? 'not known' : precise(own)}`,
          };
        })}
      ></lens-bar-list>
      <p class="quiet number">γ ${mix.gamma.toFixed(3)}</p>
      <p>
        <button class="bordered" @click=${() => this.set(settingOf(mix))}>Put on the Sliders</button>
      </p>
      <h2><span class="title">Accuracy</span><span class="what">of examples that were not learned from</span></h2>
      <lens-bar-list
        long
        label="Accuracy"
        .columns=${['accuracy']}
        .rows=${accuracies.flatMap(([label, value]): BarRow[] =>
          value === undefined ? [] : [{ label, fraction: value, numbers: [percent(value)], title: precise(value) }],
        )}
      ></lens-bar-list>
      <p class="quiet number">
        ${counted(train, 'example')} of ${labels.length} classes;
        ${folds === 0 ? `tested on ${counted(test, 'other example')}` : `cross-validated in ${folds} parts`}, seed
        ${seed}. The best layer was chosen by looking at these accuracies, so that its own is a little too high.
      </p>`;
  }
}

const percent = (value: number): string => `${(100 * value).toFixed(1)} %`;

const bar = (label: string, cosine: number, remark?: string): BarRow => ({
  ...{ label, fraction: Math.max(0, cosine), numbers: [cosineText(cosine)], title: precise(cosine) },
  ...(remark === undefined ? {} : { remark }),
});

/** An axis has no sign of its own: each is turned towards that of the picture before, so that points stay on their side. */
function turned(places: Float32Array, before: Float32Array | undefined): Float32Array {
  if (before?.length !== places.length) return places;
  const likeness = [0, 0];
  places.forEach((value, at) => (likeness[at % 2] = (likeness[at % 2] ?? 0) + value * (before[at] ?? 0)));
  return places.map((value, at) => ((likeness[at % 2] ?? 0) < 0 ? -value : value));
}
