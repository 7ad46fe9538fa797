/** The memories whose values write a word, or several. */
import { html, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import type { ValueClusters, ValueSearch } from '../../extension/protocol/ffn';
import { count, precise, readable, visible } from '../../extension/protocol/format';
import type { NeuronRef } from '../../extension/protocol/interventions';
import '../common/chips';
import './clusterList';
import './memoryList';
import type { MemoryAction, MemoryRow } from './memoryList';
import { changeOf, figure, nameOf, Page } from './page';
import './wordField';

const DIRECTIONS = { promote: 'promote', suppress: 'suppress' } as const;
const ITEMS = [
  { name: 'open', label: 'What Fires It' },
  { name: 'offEverywhere', label: 'Switch Off Everywhere' },
  { name: 'name', label: 'Name…' },
] as const;

@customElement('lens-search-page')
export class SearchPage extends Page {
  @property({ attribute: false }) result: ValueSearch | null = null;
  @property({ attribute: false }) clusters: ValueClusters | null = null;

  override render(): TemplateResult {
    const { look, result } = this;
    return html`<div class="row controls">
        <lens-word-field
          label="Values that"
          hint="a word"
          button="Find"
          @word=${(event: CustomEvent<string>) => this.host.ask('addWord', { text: event.detail, to: 'search' })}
        ></lens-word-field>
        <span class="switch" role="group" aria-label="What the values do"
          >${(['promote', 'suppress'] as const).map(
            (direction) =>
              html`<button
                aria-pressed=${String(direction === look.direction)}
                @click=${() => this.host.look({ direction })}
              >
                ${DIRECTIONS[direction]}
              </button>`,
          )}</span
        >
      </div>
      <lens-chips
        label="Words"
        .chips=${look.search.map(({ id, token }) => ({ name: String(id), label: readable(token), title: visible(token) }))}
        @remove=${(event: CustomEvent<string>) =>
          this.host.look({ search: look.search.filter(({ id }) => String(id) !== event.detail) })}
      ></lens-chips>
      ${
        look.search.length === 0
          ? html`<p class="quiet">
                Which memories of all layers write a word: give one or several. The first time, the words of every value
                are computed and kept on disk, which takes a minute or so and can be stopped and gone on with.
              </p>
              ${
                this.clusters === null
                  ? html`<p class="quiet">
                      Without a word: values of all layers that point the same way, in
                      <button class="link" @click=${() => this.host.ask('findClusters', null)}>clusters</button>, which
                      takes a minute or so, too.
                    </p>`
                  : html`<lens-cluster-list
                      .result=${this.clusters}
                      .names=${this.state.names.names}
                      @memory=${(event: CustomEvent<NeuronRef>) =>
                        this.host.look({ page: 'memory', memory: event.detail })}
                    ></lens-cluster-list>`
              }`
          : result === null
            ? nothing
            : this.hits(result)
      }`;
  }

  private hits(result: ValueSearch): TemplateResult {
    const { words, hits, total, of, direction, method } = result;
    const several = words.length > 1;
    const rows = hits.map((hit): MemoryRow => {
      const own = nameOf(this.state, hit);
      return {
        ...{ layer: hit.layer, neuron: hit.neuron, name: own?.name ?? '', tags: own?.tags ?? [] },
        numbers: hit.words.map((word) => ({
          text: word === null ? '–' : several ? count(word.rank) : figure(word.score),
          title: word === null ? 'not among its first words' : `rank ${word.rank}, score ${precise(word.score)}`,
        })),
        lists: [{ sign: direction === 'promote' ? '+' : '−', words: hit.first }],
        change: changeOf(this.state.interventions, hit),
      };
    });
    return html`<h2>
        <span class="title">Values</span
        ><span class="what"
          >${count(total)} of all layers have ${several ? 'one of them' : 'it'} among the ${of} words that they
          ${direction}
          most${several ? ', most of them first' : ''}${
            hits.length < total ? `; the first ${count(hits.length)}` : ''
          }</span
        >
      </h2>
      ${
        hits.length === 0
          ? html`<p class="quiet">There is none.</p>`
          : html`<lens-memory-list
              .rows=${rows}
              .columns=${words.map(({ token }) => ({
                label: several ? readable(token) : 'score',
                title: several ? `Rank of ${readable(token)} among the value's words` : `Score of ${readable(token)}`,
              }))}
              .lists=${[direction === 'promote' ? 'promotes' : 'suppresses']}
              .items=${ITEMS}
              .marked=${new Set(words.map(({ id }) => id))}
              label="Values that ${direction} ${words.map(({ token }) => readable(token)).join(', ')}"
              @act=${(event: CustomEvent<MemoryAction>) => this.act(event.detail)}
            ></lens-memory-list>`
      }
      <p class="quiet">Words: ${visible(method)}.</p>`;
  }

  private act({ memory, action }: MemoryAction): void {
    if (action === 'open') this.host.look({ page: 'memory', memory });
    else if (action === 'name') this.host.ask('name', memory);
    else this.host.ask('intervene', { ...memory, scale: 0 });
  }
}
