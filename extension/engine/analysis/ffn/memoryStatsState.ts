/** What statistics of memories over a corpus have found so far: counts that can be saved, gone on from, and added. */
import type { MemoryStatsLayer, MemoryStatsResult, MemoryStatsState } from '../../../protocol/ffn';
import type { Fields } from '../../requests/fields';
import { addTo, listOf, namesOf, numberOf, numbers, skippedOf, unfit, wholeNumber } from '../attention/headState';
import { joinScans, readDone } from '../corpora/scan';

/** What the statistics are of. */
type What = Pick<MemoryStatsState, 'model' | 'sources' | 'threshold' | 'seed' | 'layers' | 'neurons'>;
/** What the model alone tells. */
type Known = Pick<MemoryStatsState, 'first' | 'split' | 'rule' | 'notes'>;

const PER_LAYER = ['positive', 'active', 'composed', 'composedOfActive', 'lostByAttention', 'lostByFfn'] as const;
const TARGETS = ['itself', 'next'] as const;

export const newMemoryStats = (
  { model, sources, threshold, seed, layers, neurons }: What,
  known: Known,
): MemoryStatsState => ({
  ...{ model, sources: [...sources], threshold, seed, layers, neurons, ...known },
  ...{ done: [], sentences: 0, tokens: 0, predictions: 0, skipped: [] },
  ...(Object.fromEntries(PER_LAYER.map((name) => [name, new Float64Array(layers)])) as Pick<
    MemoryStatsState,
    (typeof PER_LAYER)[number]
  >),
  saturated: new Float64Array(layers + 1),
  largest: new Float32Array(layers * neurons),
  itself: new Int32Array(layers * neurons).fill(-1),
  next: new Int32Array(layers * neurons).fill(-1),
});

/** A state from a file or another process. Throws `bad-input` when it is none, or one of something else than `what`. */
export function readMemoryStats(value: MemoryStatsState, what?: What): MemoryStatsState {
  const state = value as unknown as Fields;
  const shape = {
    model: String(state['model']),
    threshold: numberOf(state['threshold'], 'threshold'),
    seed: wholeNumber(state['seed'], 'seed'),
    layers: wholeNumber(state['layers'], 'layers'),
    neurons: wholeNumber(state['neurons'], 'neurons'),
  };
  const sources = namesOf(state['sources']);
  for (const name of ['model', 'threshold', 'seed', 'layers', 'neurons'] as const)
    if (what !== undefined && shape[name] !== what[name])
      throw unfit(`its ${name} is ${shape[name]}, and this is ${what[name]}`);
  if (what !== undefined && JSON.stringify(sources) !== JSON.stringify(what.sources))
    throw unfit('it is of other files');
  const { layers, neurons } = shape;
  const column = (name: string, length: number): Float64Array => Float64Array.from(numbers(state[name], name, length));
  return {
    ...shape,
    sources,
    first: Int32Array.from(numbers(state['first'], 'first', layers * neurons)),
    split: Array.from(numbers(state['split'], 'split')),
    rule: String(state['rule']),
    notes: listOf(state['notes'], 'notes').map(String),
    done: readDone(state['done']),
    sentences: wholeNumber(state['sentences'], 'sentences'),
    tokens: wholeNumber(state['tokens'], 'tokens'),
    predictions: wholeNumber(state['predictions'], 'predictions'),
    ...(Object.fromEntries(PER_LAYER.map((name) => [name, column(name, layers)])) as Pick<
      MemoryStatsState,
      (typeof PER_LAYER)[number]
    >),
    saturated: column('saturated', layers + 1),
    largest: Float32Array.from(numbers(state['largest'], 'largest', layers * neurons)),
    itself: Int32Array.from(numbers(state['itself'], 'itself', layers * neurons)),
    next: Int32Array.from(numbers(state['next'], 'next', layers * neurons)),
    skipped: skippedOf(state['skipped']),
  };
}

/** Of shards of one corpus. Throws `bad-input` for states of different work, and for sentences that are in both. */
export function mergeMemoryStats(first: MemoryStatsState, second: MemoryStatsState): MemoryStatsState {
  const a = readMemoryStats(first);
  const b = readMemoryStats(second, a);
  const scan = joinScans(a, b);
  for (const name of [...PER_LAYER, 'saturated'] as const) addTo(a[name], b[name]);
  b.largest.forEach((m, memory) => {
    if (m <= (a.largest[memory] as number)) return;
    a.largest[memory] = m;
    for (const target of TARGETS) a[target][memory] = b[target][memory] as number;
  });
  return {
    ...a,
    ...scan,
    predictions: a.predictions + b.predictions,
  };
}

/** Shares of what was looked at. */
export function memoryStatsResult(state: MemoryStatsState, elapsed: number): MemoryStatsResult {
  const { layers, neurons, first } = state;
  const perToken = (sum: number): number => sum / Math.max(1, state.tokens);
  const split = new Set(state.split);
  const perPrediction = (sum: number): number => sum / Math.max(1, state.predictions);
  const perLayer = Array.from({ length: layers }, (_, layer): MemoryStatsLayer => {
    const at = (column: Float64Array): number => column[layer] as number;
    const part = (column: Int32Array): Int32Array => column.subarray(layer * neurons, (layer + 1) * neurons);
    const words = part(first);
    const next = agreement(words, part(state.next));
    const itself = agreement(words, part(state.itself));
    return {
      layer,
      positive: perToken(at(state.positive)),
      active: perToken(at(state.active)),
      agreement: {
        memories: neurons,
        ...{ next: next.share, nextByChance: next.chance, itself: itself.share, itselfByChance: itself.chance },
      },
      composed: perPrediction(at(state.composed)),
      composedOfActive: perPrediction(at(state.composedOfActive)),
      saturated: perPrediction(state.saturated[layer + 1] as number),
      lostByAttention: split.has(layer) ? perPrediction(at(state.lostByAttention)) : null,
      lostByFfn: split.has(layer) ? perPrediction(at(state.lostByFfn)) : null,
    };
  });
  return { state, layers: perLayer, saturatedAtInput: perPrediction(state.saturated[0] as number), elapsed };
}

/** How often a memory's word is the token at its trigger, and how often it would be if triggers were dealt at random. */
function agreement(words: Int32Array, targets: Int32Array): { share: number; chance: number } {
  const counts = new Map<number, number>();
  let same = 0;
  targets.forEach((target, memory) => {
    if (target < 0) return;
    counts.set(target, (counts.get(target) ?? 0) + 1);
    if (target === words[memory]) same++;
  });
  const chance = words.reduce((sum, word) => sum + (counts.get(word) ?? 0), 0);
  return { share: same / words.length, chance: chance / words.length ** 2 };
}
