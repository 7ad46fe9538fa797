/** At the word that is looked at: what each layer wrote, and the memories that wrote it. */
import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { LayerWrites, Memory, MemoryMeasure } from '../../extension/protocol/ffn';
import { count, neuronName, precise, probability, readable, signed, visible } from '../../extension/protocol/format';
import { isNeuronScale } from '../../extension/protocol/interventions';
import type { ShownMemories } from '../../extension/protocol/memoriesView';
import type { MenuItem } from '../common/menu';
import type { Picture } from '../common/pictureFiles';
import './bars';
import { barsExtent, drawBars, type BarsPicture } from './bars';
import './memoryList';
import type { MemoryAction, MemoryRow } from './memoryList';
import { changeOf, figure, nameOf, Page, sameNeuron } from './page';
import './wordField';

const MEASURES: Record<MemoryMeasure, { label: string; column: string; title: string }> = {
  norm: { label: '|m|·‖v‖', column: '|m|·‖v‖', title: 'Length of what the memory writes' },
  activation: { label: 'activation', column: '|m|·‖v‖', title: 'Length of what the memory writes' },
  logit: {
    label: 'logit',
    column: 'logit',
    title: 'What it adds to the logit of the word along the residual stream, all else held',
  },
  ablation: {
    label: 'ablation',
    column: 'Δ log p',
    title: 'Change of log p of the word when the memory is switched off at this token, by running the model again',
  },
};
const ITEMS: readonly MenuItem[] = [
  { name: 'off', label: 'Switch Off Here' },
  { name: 'offEverywhere', label: 'Switch Off Everywhere' },
  { name: 'double', label: 'Double Here' },
  { name: 'restore', label: 'As It Was' },
  { name: 'name', label: 'Name…' },
  { name: 'open', label: 'What Fires It' },
  { name: 'where', label: 'Which Others Write Its Words' },
];
const MORE = [30, 100, 300];
const SEARCHED = 3;
const PICTURE_WIDTH = 480;

@customElement('lens-memories-page')
export class MemoriesPage extends Page {
  static override styles = [
    Page.styles,
    css`
      .filter {
        width: 110px;
        padding: 0 4px;
      }
      .said {
        font-family: var(--vscode-editor-font-family);
        margin-right: 8px;
      }
      .said[aria-pressed='true'] {
        font-weight: 600;
        color: inherit;
        background: none;
        border: 0 !important;
      }
      .said .number {
        font-family: var(--vscode-font-family);
        color: var(--vscode-descriptionForeground);
      }
      .bars {
        margin-top: 6px;
      }
    `,
  ];
  @property({ attribute: false }) result: ShownMemories | null = null;
  @state() private filter = '';

  override render(): TemplateResult | typeof nothing {
    const { result, look } = this;
    if (result === null) return nothing;
    const measure = MEASURES[result.by];
    const rows = this.rows(result);
    const { token, logprob } = result.target;
    return html`${this.said(result)} ${this.controls()}
      <h2>
        <span class="title">Layers</span
        ><span class="what"
          >${result.by === 'logit' ? 'what their memories add to the logit' : 'length of what each wrote'}; choose
          one</span
        >
      </h2>
      <lens-bars
        choosable
        class="bars"
        .picture=${barsOf(result.layers, result.by)}
        .chosen=${look.layer}
        label="What each layer wrote; Enter shows only its memories"
        @choose=${(event: CustomEvent<number | null>) => this.host.look({ layer: event.detail })}
      ></lens-bars>
      <h2>
        <span class="title">Memories</span
        ><span class="what"
          >${look.layer === null ? 'of all layers' : `of layer ${look.layer}`}, by
          ${measure.label}${
            (result.by === 'logit' || result.by === 'ablation') && token !== null
              ? html` of <bdi class="mono">${readable(token)}</bdi>`
              : nothing
          }</span
        >
      </h2>
      ${
        rows.length === 0
          ? html`<p class="quiet">None of the ${result.memories.length} has such a word or name.</p>`
          : html`<lens-memory-list
              .rows=${rows}
              .columns=${[
                { label: 'm', title: 'Activation' },
                { label: measure.column, title: measure.title },
              ]}
              .lists=${result.method.words === '' ? [] : ['promotes', 'suppresses']}
              .items=${ITEMS}
              .marked=${new Set(result.target.id === null ? [] : [result.target.id])}
              label="Memories"
              @act=${(event: CustomEvent<MemoryAction>) => this.act(event.detail, result)}
            ></lens-memory-list>`
      }
      ${this.more(result)} ${logprob === null ? nothing : html`<p class="quiet">Words: ${result.method.words}.</p>`}
      ${result.method.logit === '' ? nothing : html`<p class="quiet">Logit: ${result.method.logit}.</p>`}
      ${result.layers
        .filter(({ missing }) => missing !== null)
        .map(({ layer, missing }) => html`<p class="quiet">Layer ${layer}: ${visible(missing ?? '')}</p>`)}
      ${result.notes.map((note) => html`<p class="quiet">${visible(note)}</p>`)}`;
  }

  /** What the model says there; a word is measured when it is clicked. */
  private said({ predictions, target }: ShownMemories): TemplateResult | typeof nothing {
    if (predictions.length === 0) return nothing;
    return html`<p>
      <span class="quiet">says</span>
      ${predictions
        .slice(0, 5)
        .map(
          ({ id, token, prob, logprob }, index) =>
            html`<button
              class="link said"
              aria-pressed=${String(id === target.id)}
              title="log p ${precise(logprob)}; measure what memories do for it"
              @click=${() => this.host.look({ word: index === 0 ? null : { id, token } })}
            >
              ${readable(token)} <span class="number">${probability(prob)}</span>
            </button>`,
        )}
    </p>`;
  }

  private controls(): TemplateResult {
    const { look } = this;
    const measured = look.by === 'logit' || look.by === 'ablation';
    // A model without words has none whose logit could be asked for.
    const predicts = this.result?.target.id !== null;
    return html`<div class="row controls">
      <label
        >By
        <select
          @change=${(event: Event) => this.host.look({ by: (event.target as HTMLSelectElement).value as MemoryMeasure })}
        >
          ${Object.entries(MEASURES)
            .filter(([name]) => predicts || name === 'norm' || name === 'activation')
            .map(
              ([name, { label, title }]) =>
                html`<option value=${name} title=${title} ?selected=${name === look.by}>${label}</option>`,
            )}
        </select></label
      >
      ${
        measured
          ? html`<lens-word-field
              label="of"
              button="Measure"
              hint=${readable(look.word?.token ?? this.result?.target.token ?? '')}
              @word=${(event: CustomEvent<string>) => this.host.ask('addWord', { text: event.detail, to: 'word' })}
            ></lens-word-field>`
          : nothing
      }
      <label
        >Word or name
        <input
          class="filter"
          type="search"
          .value=${this.filter}
          @input=${(event: Event) => (this.filter = (event.target as HTMLInputElement).value)}
      /></label>
    </div>`;
  }

  private rows(result: ShownMemories): MemoryRow[] {
    const wanted = this.filter.trim().toLowerCase();
    return result.memories
      .map((memory): MemoryRow => {
        const own = nameOf(this.state, memory);
        const value = result.by === 'activation' ? memory.norm : measureOf(memory, result.by);
        const { changedTo } = memory;
        return {
          ...{ layer: memory.layer, neuron: memory.neuron, name: own?.name ?? '', tags: own?.tags ?? [] },
          numbers: [
            { text: figure(memory.activation, 2), title: `m = ${precise(memory.activation)}` },
            { text: figure(value), title: value === null ? 'not known' : precise(value) },
          ],
          lists:
            result.method.words === ''
              ? []
              : [
                  { sign: '+', words: memory.promoted },
                  { sign: '−', words: memory.suppressed },
                ],
          change: changeOf(this.state.interventions, memory),
          ...(changedTo === null ? {} : { remark: `off: ${readable(changedTo.token)} ${probability(changedTo.prob)}` }),
        };
      })
      .filter(
        ({ name, tags, lists }) =>
          wanted === '' ||
          [name, ...tags, ...lists.flatMap(({ words }) => words.map(({ token }) => readable(token)))].some((text) =>
            text.toLowerCase().includes(wanted),
          ),
      );
  }

  private more({ memories, by }: ShownMemories): TemplateResult | typeof nothing {
    const next = MORE.find((each) => each > this.look.count);
    if (next === undefined || memories.length < this.look.count || by === 'ablation') return nothing;
    return html`<p>
      <button class="link" @click=${() => this.host.look({ count: next })}>Show ${count(next)} memories</button>
    </p>`;
  }

  private act({ memory, action }: MemoryAction, { target, memories }: ShownMemories): void {
    const { host } = this;
    const here = { ...memory, position: target.read };
    switch (action) {
      case 'open':
        host.look({ page: 'memory', memory });
        return;
      case 'name':
        host.ask('name', memory);
        return;
      case 'off':
        host.ask('intervene', { ...here, scale: 0 });
        return;
      case 'offEverywhere':
        host.ask('intervene', { ...memory, scale: 0 });
        return;
      case 'double':
        host.ask('intervene', { ...here, scale: 2 });
        return;
      case 'restore':
        // Wherever it was changed: here, elsewhere, everywhere.
        for (const each of this.state.interventions)
          if (isNeuronScale(each) && sameNeuron(each, memory)) host.ask('intervene', { ...each, scale: 1 });
        return;
      case 'where': {
        const words = memories.find(
          ({ layer, neuron }) => layer === memory.layer && neuron === memory.neuron,
        )?.promoted;
        const search = (words ?? []).slice(0, SEARCHED).map(({ id, token }) => ({ id, token }));
        host.look({ page: 'search', direction: 'promote', search });
      }
    }
  }

  override picture(): Picture | null {
    const { result, look } = this;
    if (result === null) return null;
    const bars = barsOf(result.layers, result.by);
    const { width, height } = barsExtent(bars, PICTURE_WIDTH);
    return {
      title: `${result.model}: ${bars.what} at token ${result.target.read}`,
      ...{ width, height },
      draw: (surface, theme) => drawBars(surface, bars, PICTURE_WIDTH, { chosen: look.layer, near: null }, theme),
      notes: result.notes,
      table: {
        columns: ['memory', 'm', MEASURES[result.by].column],
        rows: result.memories.map((memory) => [
          neuronName(memory),
          memory.activation,
          measureOf(memory, result.by) ?? '',
        ]),
      },
    };
  }
}

const measureOf = (memory: Memory, by: MemoryMeasure): number | null => memory[by];

function barsOf(layers: readonly LayerWrites[], by: MemoryMeasure): BarsPicture {
  const isLogit = by === 'logit';
  const values = layers.map(({ norm, logit, missing }) => (missing !== null ? null : isLogit ? logit : norm));
  const what = isLogit ? 'adds to the logit' : '‖FFN‖';
  return {
    values,
    label: (index) => String(layers[index]?.layer ?? index),
    say: (index) => {
      const value = values[index];
      return `layer ${layers[index]?.layer ?? index}: ${value == null ? 'cannot be read' : `${what} ${signed(value, 2)}`}`;
    },
    what: `${what} by layer`,
  };
}

/** For the screen reader: the result in a sentence. */
export function memoriesSaid({ memories, target }: ShownMemories): string {
  const [first] = memories;
  return first === undefined
    ? ''
    : `${count(memories.length)} memories at token ${target.read}, first ${neuronName(first)}.`;
}
