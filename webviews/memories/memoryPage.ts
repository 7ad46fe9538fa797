/** One memory: its name, the words of its value, the texts that fire it, and those that are like it. */
import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { ActivationDistribution, ScoredWord, SimilarMemories, ValueWords } from '../../extension/protocol/ffn';
import {
  count,
  counted,
  neuronName,
  percent,
  precise,
  readable,
  signed,
  visible,
} from '../../extension/protocol/format';
import type { NeuronRef } from '../../extension/protocol/interventions';
import type { ShownTriggers, TriggerScope } from '../../extension/protocol/memoriesView';
import '../common/barList';
import type { BarRow } from '../common/barList';
import '../common/status';
import './bars';
import type { BarsPicture } from './bars';
import { changeOf, figure, memoryTitle, nameOf, Page } from './page';
import './triggerList';

const SHOWN = 15;
/** Texts that are shown at first. */
const FEW = 10;
const SCOPES: { scope: TriggerScope; label: string }[] = [
  { scope: 'workspace', label: 'Workspace' },
  { scope: 'folder', label: 'Folder…' },
  { scope: 'files', label: 'Files…' },
  { scope: 'included', label: 'Included Texts' },
];

@customElement('lens-memory-page')
export class MemoryPage extends Page {
  static override styles = [
    Page.styles,
    css`
      .head {
        display: flex;
        flex-wrap: wrap;
        align-items: baseline;
        gap: 2px 10px;
      }
      .head strong {
        font-size: 1.15em;
      }
      .sides {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(min(100%, 260px), 1fr));
        gap: 0 40px;
      }
      .switch {
        margin: 4px 0;
      }
      .similar button {
        margin-right: 10px;
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
  @property({ attribute: false }) result: ValueWords | null = null;
  @property({ attribute: false }) triggers: ShownTriggers | null = null;
  @property({ attribute: false }) similar: SimilarMemories | null = null;

  @state() private all = false;

  override render(): TemplateResult {
    const { memory } = this.look;
    if (memory === null)
      return html`<p class="quiet">
        Choose a memory on another page: here are the words that it writes and the texts that fire it.
      </p>`;
    const { result } = this;
    return html`${this.head(memory)}
      <div class="columns">
        <div>${this.firing(memory)}</div>
        <div>
          ${result === null ? nothing : this.words(result)}
          ${this.similar === null ? nothing : this.likes(this.similar)}
        </div>
      </div>`;
  }

  private head(memory: NeuronRef): TemplateResult {
    const own = nameOf(this.state, memory);
    const change = changeOf(this.state.interventions, memory);
    const { result } = this;
    return html`<p class="head">
      <strong class="number" title=${memoryTitle(memory)}>${neuronName(memory)}</strong>
      ${own === undefined ? nothing : html`<bdi>${visible(own.name)}</bdi>`}
      ${own?.tags.map((tag) => html`<bdi class="quiet">#${visible(tag)}</bdi>`)}
      ${change === '' ? nothing : html`<span>${change}</span>`}
      <button class="link" @click=${() => this.host.ask('name', memory)}>
        ${own === undefined ? 'Name…' : 'Rename…'}
      </button>
      <button class="link" @click=${() => this.host.ask('intervene', { ...memory, scale: 0 })}>Switch Off</button>
      ${
        result === null
          ? nothing
          : html`<button
              class="link"
              @click=${() =>
                this.host.look({
                  ...{ page: 'search', direction: 'promote' },
                  search: result.promoted.slice(0, 3).map(({ id, token }) => ({ id, token })),
                })}
            >
              Which Others Write Its Words
            </button>`
      }
    </p>`;
  }

  private firing(memory: NeuronRef): TemplateResult {
    const { corpus, running, error } = this.state.triggers;
    const { triggers } = this;
    const { end } = this.look;
    return html`<h2>
        <span class="title">Texts</span
        ><span class="what"
          >${corpus === null ? 'that fire it' : html`of <bdi>${visible(corpus)}</bdi> that fire it`}</span
        >
      </h2>
      <div class="row controls" role="group" aria-label="Where texts are looked for">
        ${SCOPES.map(
          ({ scope, label }) =>
            html`<button class="bordered" @click=${() => this.host.ask('scan', { scope })}>${label}</button>`,
        )}
      </div>
      ${
        running === null
          ? nothing
          : html`<lens-progress .progress=${running} @cancel=${() => this.host.ask('stopScan', null)}></lens-progress>`
      }
      ${
        error === null
          ? nothing
          : html`<lens-error .error=${error} @log=${() => this.host.ask('showLog', null)}></lens-error>`
      }
      ${
        triggers === null
          ? corpus !== null || running !== null
            ? nothing
            : html`<p class="quiet">
                Sentences go through the model one by one, unmasked; the texts where the memory fires most are kept.
                What is chosen here is read for the next memories too.
              </p>`
          : html`<p class="quiet">
                ${counted(triggers.sentences, 'sentence')}, ${count(triggers.tokens)} tokens.
                ${
                  triggers.complete || running !== null
                    ? nothing
                    : html`<button class="link" @click=${() => this.host.ask('goOn', null)}>Go On</button>`
                }
              </p>
              <span class="switch" role="group" aria-label="Which end"
                >${(['largest', 'smallest'] as const).map(
                  (each) =>
                    html`<button aria-pressed=${String(each === end)} @click=${() => this.host.look({ end: each })}>
                      ${each} m
                    </button>`,
                )}</span
              >
              <lens-trigger-list
                .texts=${triggers[end].slice(0, this.all ? undefined : FEW)}
                .sources=${triggers.sources}
                label="Texts with the ${end} activations of ${neuronName(memory)}"
                @choose=${(event: CustomEvent<number>) => this.host.ask('openTrigger', { end, index: event.detail })}
              ></lens-trigger-list>
              ${
                this.all || triggers[end].length <= FEW
                  ? nothing
                  : html`<p>
                      <button class="link" @click=${() => (this.all = true)}>
                        Show all ${triggers[end].length} texts
                      </button>
                    </p>`
              }
              ${this.distribution(triggers)}
              <p class="quiet">Looked at: ${visible(triggers.rule)}.</p>
              ${triggers.skipped.map(
                ({ name, why }) => html`<p class="quiet">Left out: ${visible(name)}: ${visible(why)}</p>`,
              )}`
      }`;
  }

  private distribution({ distribution, threshold }: ShownTriggers): TemplateResult {
    const { min, max, mean, deviation, positive, active } = distribution;
    return html`<h2>
        <span class="title">Activations</span><span class="what">tokens by m, on a logarithmic scale</span>
      </h2>
      <lens-bars .picture=${histogramOf(distribution)} label="Distribution of the activations"></lens-bars>
      <p class="quiet number">
        m from ${signed(min)} to ${signed(max)}, mean ${signed(mean)}, deviation ${signed(deviation)}; above 0 at
        ${percent(positive)}, |m| above ${threshold} at ${percent(active)} of the tokens
      </p>`;
  }

  private words({ promoted, suppressed, norm, method }: ValueWords): TemplateResult {
    const most = Math.max(...[...promoted, ...suppressed].map(({ score }) => Math.abs(score)), 0);
    const side = (title: string, words: readonly ScoredWord[]): TemplateResult =>
      html`<div>
        <h2><span class="title">${title}</span><span class="fill"></span><span class="column">score</span></h2>
        <lens-bar-list
          label=${title}
          .columns=${['score']}
          .rows=${words.slice(0, SHOWN).map(({ token, score }): BarRow => ({
            label: readable(token),
            fraction: Math.abs(score) / (most || 1),
            numbers: [figure(score)],
            title: `${token}, score ${precise(score)}`,
          }))}
        ></lens-bar-list>
      </div>`;
    return html`<div class="sides">${side('Promotes', promoted)} ${side('Suppresses', suppressed)}</div>
      <p class="quiet number">‖v‖ ${signed(norm, 3)}. Words: ${visible(method)}.</p>`;
  }

  private likes({ keys, linear, values, keyValue, method, notes }: SimilarMemories): TemplateResult {
    const list = (title: string, memories: SimilarMemories['values'] | null): TemplateResult | typeof nothing =>
      memories === null
        ? nothing
        : html`<p class="similar number">
            <span class="quiet">${title}</span>
            ${memories.map((memory) => {
              const own = nameOf(this.state, memory);
              return html`<button
                class="link"
                title="cosine ${precise(memory.cosine)}: show it"
                @click=${() => this.host.look({ memory: { layer: memory.layer, neuron: memory.neuron } })}
              >
                ${neuronName(memory)}${own === undefined ? nothing : html` <bdi>${visible(own.name)}</bdi>`}
                ${figure(memory.cosine, 2)}
              </button>`;
            })}
          </p>`;
    return html`<h2><span class="title">Most alike</span><span class="what">cosine, all layers</span></h2>
      ${list('keys', keys)} ${list('linear', linear)} ${list('values', values)}
      <p class="quiet number">
        ${keyValue === null ? nothing : html`Its own key with its value: ${figure(keyValue, 2)}.`} ${visible(method)}
      </p>
      ${notes.map((note) => html`<p class="quiet">${visible(note)}</p>`)}`;
  }
}

function histogramOf({ histogram: { width, first, counts } }: ActivationDistribution): BarsPicture {
  const edge = (bin: number): string => signed((first + bin) * width, width < 0.1 ? 2 : 1);
  return {
    values: Array.from(counts, (tokens) => (tokens === 0 ? null : Math.log1p(tokens))),
    label: edge,
    say: (bin) => `m from ${edge(bin)} to ${edge(bin + 1)}: ${counted(counts[bin] ?? 0, 'token')}`,
    what: 'tokens by m',
  };
}
