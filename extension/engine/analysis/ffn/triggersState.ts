/** What a scan for triggers has found so far: it can be saved, gone on from, and put together with what others found. */
import type { TextRange } from '../../../protocol/engine';
import type { NeuronRef, NeuronTriggers, TriggersResult, TriggersState, TriggerText } from '../../../protocol/ffn';
import { neuronName } from '../../../protocol/format';
import type { Fields } from '../../requests/fields';
import { fieldsOf, listOf, namesOf, numberOf, numbers, skippedOf, unfit, wholeNumber } from '../attention/headState';
import { joinScans, readDone } from '../corpora/scan';
import { addHistogram, newHistogram } from './histogram';

export type NeuronState = TriggersState['neurons'][number];
/** What a scan is of. */
type What = Pick<TriggersState, 'model' | 'sources' | 'topK' | 'threshold'> & { neurons: readonly NeuronRef[] };

export function newTriggersState({ model, sources, topK, threshold, neurons }: What): TriggersState {
  return {
    ...{ model, sources: [...sources], topK, threshold, done: [], sentences: 0, tokens: 0, skipped: [] },
    neurons: neurons.map(({ layer, neuron }) => ({
      ...{ layer, neuron, largest: [], smallest: [] },
      sums: { min: Infinity, max: -Infinity, sum: 0, squares: 0, positive: 0, active: 0 },
      histogram: newHistogram(),
    })),
  };
}

/** Where a text stands among those of its end: the further out first, of equal ones the earlier in the corpus. */
export const isFurtherOut = (
  end: 'largest' | 'smallest',
  a: Pick<TriggerText, 'activation' | 'index'>,
  b: Pick<TriggerText, 'activation' | 'index'>,
): boolean => {
  const difference = end === 'largest' ? a.activation - b.activation : b.activation - a.activation;
  return difference > 0 || (difference === 0 && a.index < b.index);
};

export function putText(texts: TriggerText[], end: 'largest' | 'smallest', text: TriggerText, topK: number): void {
  const before = texts.findIndex((each) => isFurtherOut(end, text, each));
  texts.splice(before < 0 ? texts.length : before, 0, text);
  if (texts.length > topK) texts.pop();
}

/** Of shards of one corpus. Throws `bad-input` for states of different work, and for sentences that are in both. */
export function mergeTriggersStates(first: TriggersState, second: TriggersState): TriggersState {
  const a = readTriggersState(first);
  const b = readTriggersState(second, a);
  return {
    ...a,
    ...joinScans(a, b),
    neurons: a.neurons.map((own, index) => merged(own, b.neurons[index] as NeuronState, a.topK)),
  };
}

function merged(own: NeuronState, more: NeuronState, topK: number): NeuronState {
  for (const end of ['largest', 'smallest'] as const) for (const text of more[end]) putText(own[end], end, text, topK);
  addHistogram(own.histogram, more.histogram);
  const { sums } = own;
  return {
    ...own,
    sums: {
      min: Math.min(sums.min, more.sums.min),
      max: Math.max(sums.max, more.sums.max),
      sum: sums.sum + more.sums.sum,
      squares: sums.squares + more.sums.squares,
      positive: sums.positive + more.sums.positive,
      active: sums.active + more.sums.active,
    },
  };
}

/** A state from a file or another process. Throws `bad-input` when it is none, or one of something else than `what`. */
export function readTriggersState(value: TriggersState, what?: What): TriggersState {
  const state = value as unknown as Fields;
  const tokens = wholeNumber(state['tokens'], 'tokens');
  const read: TriggersState = {
    model: String(state['model']),
    sources: namesOf(state['sources']),
    topK: wholeNumber(state['topK'], 'topK'),
    threshold: numberOf(state['threshold'], 'threshold'),
    done: readDone(state['done']),
    sentences: wholeNumber(state['sentences'], 'sentences'),
    tokens,
    neurons: listOf(state['neurons'], 'neurons').map((each) => readNeuron(each, tokens)),
    skipped: skippedOf(state['skipped']),
  };
  if (what === undefined) return read;
  const told = ({ model, topK, threshold, neurons }: typeof what): Record<string, string> => ({
    model,
    'texts of each memory': String(topK),
    'the threshold': String(threshold),
    memories: neurons.map(neuronName).join(', '),
  });
  const [own, wanted] = [told(read), told(what)];
  for (const [name, is] of Object.entries(wanted))
    if (own[name] !== is) throw unfit(`${name}: it has ${own[name]}, and this is ${is}`);
  if (JSON.stringify(read.sources) !== JSON.stringify(what.sources)) throw unfit('it is of other files');
  return read;
}

const SUMS = ['min', 'max', 'sum', 'squares', 'positive', 'active'] as const;

function readNeuron(value: unknown, tokens: number): NeuronState {
  const each = fieldsOf(value, 'neurons');
  const [sums, histogram] = [fieldsOf(each['sums'], 'sums'), fieldsOf(each['histogram'], 'histogram')];
  // JSON has no infinity.
  const none = { min: Infinity, max: -Infinity, sum: 0, squares: 0, positive: 0, active: 0 };
  return {
    layer: wholeNumber(each['layer'], 'layer'),
    neuron: wholeNumber(each['neuron'], 'neuron'),
    largest: listOf(each['largest'], 'largest').map(readText),
    smallest: listOf(each['smallest'], 'smallest').map(readText),
    sums:
      tokens === 0
        ? none
        : (Object.fromEntries(SUMS.map((name) => [name, numberOf(sums[name], `sums.${name}`)])) as NeuronState['sums']),
    histogram: {
      exponent: numberOf(histogram['exponent'], 'histogram.exponent'),
      first: numberOf(histogram['first'], 'histogram.first'),
      counts: Float64Array.from(numbers(histogram['counts'], 'histogram.counts')),
    },
  };
}

function readText(value: unknown): TriggerText {
  const each = fieldsOf(value, 'texts');
  const tokens = listOf(each['tokens'], 'tokens').map((token) => {
    const { token: label, range } = fieldsOf(token, 'tokens');
    return { token: String(label), range: range === null ? null : readRange(range) };
  });
  return {
    ...(Object.fromEntries(
      (['index', 'source', 'token', 'line', 'column'] as const).map((name) => [name, wholeNumber(each[name], name)]),
    ) as Pick<TriggerText, 'index' | 'source' | 'token' | 'line' | 'column'>),
    text: String(each['text']),
    lines: listOf(each['lines'], 'lines').map((place) => {
      const { line, column, at } = fieldsOf(place, 'lines');
      return { line: wholeNumber(line, 'line'), column: wholeNumber(column, 'column'), at: wholeNumber(at, 'at') };
    }),
    range: readRange(each['range']),
    activation: numberOf(each['activation'], 'activation'),
    tokens,
    activations: Float32Array.from(numbers(each['activations'], 'activations', tokens.length)),
  };
}

function readRange(value: unknown): TextRange {
  const { start, end } = fieldsOf(value, 'range');
  return { start: wholeNumber(start, 'start'), end: wholeNumber(end, 'end') };
}

/** What is shown of a state. */
export function triggersResult(state: TriggersState, elapsed: number): TriggersResult {
  return {
    state,
    neurons: state.neurons.map(({ layer, neuron, largest, smallest, sums, histogram }): NeuronTriggers => {
      const tokens = Math.max(1, state.tokens);
      const mean = sums.sum / tokens;
      return {
        ...{ layer, neuron, largest, smallest },
        distribution: {
          tokens: state.tokens,
          min: state.tokens === 0 ? 0 : sums.min,
          max: state.tokens === 0 ? 0 : sums.max,
          mean,
          deviation: Math.sqrt(Math.max(0, sums.squares / tokens - mean ** 2)),
          positive: sums.positive / tokens,
          active: sums.active / tokens,
          histogram: { width: 2 ** histogram.exponent, first: histogram.first, counts: histogram.counts },
        },
      };
    }),
    rule: TRIGGER_RULE,
    elapsed,
  };
}

/** Geva et al. 2021 take prefixes, at whose last token a model that reads from left to right knows nothing else. */
const TRIGGER_RULE =
  'every token of a sentence but the special ones, each sentence by itself; a text stands where the memory fires most (or least) in it';
