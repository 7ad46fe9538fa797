/** What the pages of the view share. */
import { html, LitElement, type CSSResultGroup, type TemplateResult } from 'lit';
import { property } from 'lit/decorators.js';
import { tunedLabel, type LensPlace, type LogitLens } from '../../extension/protocol/ffn';
import { neuronName, percent, readable, scaleText, signed } from '../../extension/protocol/format';
import { isNeuronScale, type NeuronRef, type Scale } from '../../extension/protocol/interventions';
import type { MemoriesLook, MemoriesMethods, MemoriesState, MemoryName } from '../../extension/protocol/memoriesView';
import { pageStyles } from '../common/pageStyles';
import type { Picture } from '../common/pictureFiles';
import { base } from '../common/styles';

export interface Host {
  ask<K extends keyof MemoriesMethods>(method: K, params: MemoriesMethods[K][0]): void;
  /** Shown at once, and kept by the host. */
  look(change: Partial<MemoriesLook>): void;
}

export abstract class Page extends LitElement {
  static override styles: CSSResultGroup = [base, pageStyles];
  @property({ attribute: false }) host!: Host;
  @property({ attribute: false }) state!: MemoriesState;
  @property({ attribute: false }) look!: MemoriesLook;

  /** Above what can be read through it. */
  protected tunedLens(): TemplateResult {
    return html`<lens-tuned-lens .host=${this.host} .state=${this.state} .look=${this.look}></lens-tuned-lens>`;
  }

  /** What is exported of the page as a picture; null where there is none. */
  picture(): Picture | null {
    return null;
  }
}

/** Three places, without a leading zero; – where there is none. */
export const figure = (value: number | null | undefined, digits = 3): string =>
  value == null || Number.isNaN(value) ? '–' : signed(value, digits).replace(/^(\u2212?)0\./u, '$1.');

/** What the state stands after, short and in words. */
export const placeLabel = ({ layer, part }: LensPlace): string =>
  part === 'input' ? 'input' : `${layer} ${part === 'attention' ? 'att' : 'FFN'}`;
export const placeWords = ({ layer, part }: LensPlace): string =>
  part === 'input' ? 'the input' : `after the ${part === 'attention' ? 'attention' : 'FFN'} of layer ${layer}`;

/** What the states went through. */
export const headText = ({ head, tuned }: Pick<LogitLens, 'head' | 'tuned'>): string =>
  tuned === null ? head : `${tunedLabel(tuned)}, then ${head}`;

export const sameNeuron = (one: NeuronRef, other: NeuronRef): boolean =>
  one.layer === other.layer && one.neuron === other.neuron;

export const nameOf = ({ names }: MemoriesState, memory: NeuronRef): MemoryName | undefined =>
  names.names.find((each) => sameNeuron(each, memory));

/** off, ×2: what is changed of it now, anywhere; empty where nothing is. */
export const changeOf = (interventions: readonly Scale[], memory: NeuronRef): string =>
  interventions
    .filter((each) => isNeuronScale(each) && sameNeuron(each, memory))
    .map(({ scale }) => scaleText(scale))
    .join(' ');

/** For people: “French”, with the piece's own form where that differs. */
export const wordTitle = (token: string, score: number): string => {
  const text = readable(token);
  return `${text === token ? token : `${text} (${token})`} ${signed(score, 3)}`;
};

export const memoryTitle = (memory: NeuronRef): string =>
  `${neuronName(memory)}: neuron ${memory.neuron} of layer ${memory.layer}, from 0`;

/** Layers that are named: the rest has less. */
const NAMED_LAYERS = 3;

/** Where most of something is, from its share in each layer [L]. */
export function layersText(shares: Float32Array): string {
  const order = [...shares.keys()]
    .filter((layer) => (shares[layer] as number) > 0)
    .sort((one, other) => (shares[other] as number) - (shares[one] as number));
  const named = order.slice(0, NAMED_LAYERS).map((layer) => `layer ${layer} ${percent(shares[layer] as number)}`);
  return named.join(', ');
}
