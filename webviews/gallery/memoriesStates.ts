/** The Memories view in every look, on numbers that are made by rules: like those of a trained model, the same every time. */
import type { AttentionToken } from '../../extension/protocol/attention';
import type { Prediction } from '../../extension/protocol/engine';
import type {
  LensPlace,
  LogitLens,
  LogitLensTable,
  MemoryGroups,
  MemoryMeasure,
  ScoredWord,
  SimilarMemories,
  TriggerText,
  TunedLensInfo,
  ValueClusters,
  ValueSearch,
  ValueWords,
  WatchedToken,
} from '../../extension/protocol/ffn';
import type {
  MemoriesLook,
  MemoriesState,
  ShownLens,
  ShownMemories,
  ShownTriggers,
} from '../../extension/protocol/memoriesView';
import { chances } from './chances';
import type { Shown } from './fakeHost';

const LAYERS = 12;
const NEURONS = 3072;
const VOCABULARY = 28_996;
const TEXT = 'The native language of Marcel Proust is French .';
const HOSTILE = '<img src=x onerror=alert(1)> </script> "&amp;\u202e]]>';
const MODEL = 'bert-base-cased';

const WORDS = [
  ...['English', 'Maltese', 'French', 'Welsh', 'Norse', 'Hebrew', 'Latvian', 'Russian', 'Polish', 'Vietnamese'],
  ...['Swedish', 'Finnish', 'Icelandic', 'Spanish', 'Italian', 'Gaelic', 'Scots', 'Yiddish', 'works', 'gravel'],
  ...['##ian', 'thor', 'unknown', 'Paris', 'left', 'the', '##ness', 'Latin', 'German', 'Arabic'],
];
const idOf = (word: string): number => 1000 + WORDS.indexOf(word);

function inputOf(text: string): NonNullable<MemoriesState['input']> {
  const tokens: AttentionToken[] = [];
  const add = (token: string, range: AttentionToken['range']): void => {
    const index = tokens.length;
    const id = range === null ? 101 : idOf(token);
    tokens.push({ index, id, token, range, special: range === null, text: 0, word: index });
  };
  add('[CLS]', null);
  let at = 0;
  for (const word of text.split(' ')) {
    add(word, { start: at, end: at + word.length });
    at += word.length + 1;
  }
  add('[SEP]', null);
  return {
    tokens,
    mask: '[MASK]',
    window: {
      range: { start: 0, end: text.length },
      ...{ tokens: tokens.length, truncatedStart: false, truncatedEnd: false },
    },
  };
}

const predictionOf = (word: string, prob: number): Prediction => ({
  ...{ id: idOf(word), token: word, text: word.replace(/^##/, '') },
  ...{ prob, logprob: Math.log(prob) },
});
const ANSWERS = [
  predictionOf('French', 0.784),
  predictionOf('English', 0.044),
  predictionOf('Italian', 0.027),
  predictionOf('unknown', 0.019),
  predictionOf('Latin', 0.012),
];

const scored = (from: number, count: number, sign: number): ScoredWord[] =>
  Array.from({ length: count }, (_, index) => {
    const token = WORDS[(from * 7 + index * 3) % WORDS.length] as string;
    const score = sign * (0.92 - 0.07 * index);
    return { id: idOf(token), token, text: token.replace(/^##/, ''), score };
  });

const METHOD = {
  logit: 'along the residual stream, norms with the scale of this run, BERT’s transform by its gradient',
  words: 'W_U·(t(v) − t(0)): what the value adds to what the head makes of nothing',
};

function memories(by: MemoryMeasure, layer: number | null, text = TEXT): ShownMemories {
  const random = chances(11);
  const input = inputOf(text);
  const target = input.tokens.length - 3;
  const measured = by === 'logit' || by === 'ablation';
  return {
    ...{ model: MODEL, tokens: input.tokens, window: input.window, by, method: METHOD, notes: [], elapsed: 12 },
    target: { position: target, read: target, id: idOf('French'), token: 'French', logprob: -0.243 },
    predictions: ANSWERS,
    layers: Array.from({ length: LAYERS }, (_, index) => ({
      layer: index,
      norm: 8 + 7 * random() + (index === 10 ? 9 : 0),
      active: 0.02 + 0.1 * random(),
      logit: measured ? (index < 6 ? 0.3 * random() - 0.2 : 1.4 * random() - 0.2) : null,
      missing: null,
    })),
    memories: Array.from({ length: 30 }, (_, index) => {
      const activation = (index % 5 === 3 ? -0.17 : 1) * (3.2 - 0.07 * index);
      return {
        layer: layer ?? 11 - (index % 5),
        neuron: Math.floor(random() * NEURONS),
        activation,
        norm: Math.abs(activation) * 1.05,
        logit: measured ? 0.94 / (index + 1) ** 0.7 : null,
        ablation: by === 'ablation' ? -0.21 / (index + 1) : null,
        changedTo: by === 'ablation' && index === 1 ? predictionOf('English', 0.41) : null,
        promoted: scored(index, 8, 1),
        suppressed: scored(index + 4, 8, -1),
      };
    }),
  };
}

const PLACES: LensPlace[] = [
  { layer: 0, part: 'input' },
  ...Array.from({ length: LAYERS }, (_, layer): LensPlace[] => [
    { layer, part: 'attention' },
    { layer, part: 'ffn' },
  ]).flat(),
];

function watched(word: string, ranks: number[]): WatchedToken {
  const logprobs = Float32Array.from(ranks, (rank, state) => -Math.log(rank) * 1.1 - 0.4 - 3 / (state + 1));
  const first = ranks.indexOf(1);
  const last = ranks.findLastIndex((rank) => rank !== 1);
  const steps = { attention: new Float32Array(LAYERS), ffn: new Float32Array(LAYERS) };
  PLACES.forEach(({ layer, part }, state) => {
    if (part !== 'input') steps[part][layer] = (logprobs[state] ?? 0) - (logprobs[state - 1] ?? 0);
  });
  return {
    ...{ id: idOf(word), token: word, text: word, logits: logprobs.map((each) => each + 20), logprobs },
    ranks: Int32Array.from(ranks),
    appears: first < 0 ? null : first,
    saturates: last === ranks.length - 1 ? null : last + 1,
    lost: ranks.flatMap((rank, state) => (state > 0 && ranks[state - 1] === 1 && rank !== 1 ? [state] : [])),
    steps,
  };
}

/** `late`: the answer comes up that many states later. */
function lens(watch: boolean, late = 0): LogitLens {
  const input = inputOf(TEXT);
  const random = chances(5);
  const falling = (end: number, from: number): number[] =>
    PLACES.map((_, state) =>
      Math.max(1, Math.round(from ** (1 - Math.min(1, state / end)) * (state < end ? 1 + random() : 1))),
    );
  const english = falling(15, 9_000).map((rank, state) => (state > 19 ? 2 : state === 17 ? 3 : rank));
  return {
    ...{ model: MODEL, tokens: input.tokens, window: input.window, notes: [], elapsed: 30 },
    target: { position: 8, id: idOf('French'), token: 'French' },
    states: PLACES.map((place, state) => ({
      ...place,
      predictions: Array.from({ length: 5 }, (_, index) =>
        state >= 20 + late
          ? (ANSWERS[index] as Prediction)
          : predictionOf(
              WORDS[(state * 3 + index * 5) % WORDS.length] as string,
              (0.05 + 0.02 * state) / (index + 1) ** 1.6,
            ),
      ),
      entropy: 8.6 - 0.3 * state + random(),
    })),
    watched: [
      watched('French', falling(20 + late, 12_000)),
      ...(watch ? [watched('German', falling(40, 6_000))] : []),
      watched('English', english),
      watched('the', falling(60, 300)),
    ],
    head: 'MLM transform (dense, gelu, norm), then the decoder',
    tuned: null,
  };
}

const TUNED: TunedLensInfo = {
  ...{ model: MODEL, sources: ['gum-wikinews.conllu'], tokens: 4123, heldOut: 256, steps: 63, batch: 64, rate: 2e-4 },
  ...{ seed: 0, notes: [], skipped: [], seconds: 240 },
  rule: 'each sentence by itself; 15 % of its tokens, drawn by the seed, are masked; every 5th sentence is held out',
  states: PLACES.filter(({ part }) => part !== 'attention')
    .slice(0, -1)
    .map((place, state) => ({
      ...place,
      plain: 6.05 / (state + 1) ** 0.6,
      tuned: (state === 11 ? 6.05 : 3.57) / (state + 1) ** 0.6,
      used: state !== 11,
    })),
};

/** The states between attention and FFN left out. */
function throughTuned(result: ShownLens): ShownLens {
  const kept = PLACES.flatMap(({ part }, state) => (part === 'attention' ? [] : [state]));
  const of = (values: Float32Array): Float32Array => Float32Array.from(kept, (state) => values[state] ?? NaN);
  return {
    ...result,
    tuned: TUNED,
    states: kept.flatMap((state) => result.states[state] ?? []),
    watched: result.watched.map((word) => {
      const logprobs = of(word.logprobs);
      return {
        ...word,
        ...{ logits: of(word.logits), logprobs, appears: null, saturates: null, lost: [] },
        ranks: Int32Array.from(kept, (state) => word.ranks[state] ?? 1),
        steps: {
          attention: new Float32Array(LAYERS).fill(NaN),
          ffn: logprobs.map((each, at) => each - (logprobs[at - 1] ?? 0)).slice(1),
        },
      };
    }),
  };
}

function table(between: boolean): LogitLensTable {
  const input = inputOf(TEXT);
  const places = between ? PLACES : PLACES.filter(({ part }) => part !== 'attention');
  const count = places.length * input.tokens.length;
  const random = chances(9);
  const at = (index: number): { state: number; column: number } => ({
    state: Math.floor(index / input.tokens.length),
    column: index % input.tokens.length,
  });
  const done = (index: number): number => Math.min(1, at(index).state / (places.length - 3));
  const top = Int32Array.from({ length: count }, (_, index) => {
    const { state, column } = at(index);
    return 1000 + ((done(index) === 1 ? column : column * 3 + state) % WORDS.length);
  });
  return {
    ...{ model: MODEL, tokens: input.tokens, window: input.window, places, predicts: 'itself', notes: [], elapsed: 80 },
    top,
    probs: Float32Array.from({ length: count }, (_, index) => 0.02 + 0.9 * done(index) ** 3 * (0.7 + 0.3 * random())),
    ranks: Int32Array.from({ length: count }, (_, index) => Math.round(VOCABULARY ** (0.9 * (1 - done(index))))),
    entropies: Float32Array.from({ length: count }, (_, index) => 9 * (1 - done(index)) + 0.4),
    words: [...new Set(top)].map((id) => ({ id, token: WORDS[id - 1000] as string, text: '' })),
    head: 'MLM transform (dense, gelu, norm), then the decoder',
    tuned: null,
  };
}

function search(words: readonly string[], direction: ValueSearch['direction'], count: number): ValueSearch {
  const random = chances(3);
  const sign = direction === 'promote' ? 1 : -1;
  return {
    ...{ model: MODEL, direction, total: count === 0 ? 0 : 412, of: 50, method: METHOD.words, elapsed: 300 },
    words: words.map((token) => ({ id: idOf(token), token, text: token })),
    hits: Array.from({ length: count }, (_, index) => ({
      ...{ layer: 11 - (index % 4), neuron: Math.floor(random() * NEURONS) },
      words: words.map((_, place) =>
        place > 0 && index > 6 ? null : { rank: 1 + Math.floor(index / 2) + place, score: sign * (1.9 - 0.05 * index) },
      ),
      first: scored(index, 8, sign),
    })),
  };
}

const value = (): ValueWords => ({
  ...{ model: MODEL, layer: 10, neuron: 1518, norm: 1.057, method: METHOD.words },
  promoted: scored(0, 30, 1),
  suppressed: scored(4, 30, -1),
});

const SENTENCES = [
  'He spoke Breton and a little French, and his mother only Welsh.',
  'In Ireland the Gaelic of the west is not the Gaelic of the schools.',
  'Nothing was said of the treaty, though it had been translated into Latin, into Greek and at last into Arabic by the clerks.',
  'The works of the poet are read in Russian.',
];

function triggers(complete: boolean, text?: string): ShownTriggers {
  const random = chances(21);
  const texts = (sign: number): TriggerText[] =>
    (text === undefined ? SENTENCES : [text]).flatMap((sentence, index) =>
      [0, 1, 2].map((round): TriggerText => {
        const tokens: TriggerText['tokens'] = [{ token: '[CLS]', range: null }];
        for (const match of sentence.matchAll(/\w+|[^\w\s]/g))
          tokens.push({ token: match[0], range: { start: match.index, end: match.index + match[0].length } });
        const token = 2 + ((index * 3 + round * 4) % (tokens.length - 2));
        const most = sign * (4.2 - 0.6 * index - 0.2 * round);
        return {
          ...{ index, source: index % 2, text: sentence, token, tokens },
          ...{ line: 12 + index, column: 0, lines: [{ line: 12 + index, column: 0, at: 0 }] },
          range: tokens[token]?.range ?? { start: 0, end: 0 },
          activation: most,
          activations: Float32Array.from(tokens, (_, place) => (place === token ? most : most * 0.7 * random() ** 2)),
        };
      }),
    );
  return {
    ...{ layer: 10, neuron: 1518, largest: texts(1), smallest: texts(-0.04), complete },
    distribution: {
      ...{ tokens: 18_432, min: -0.17, max: 4.2, mean: -0.03, deviation: 0.21, positive: 0.094, active: 0.011 },
      histogram: {
        ...{ width: 0.125, first: -2 },
        counts: Float64Array.from({ length: 36 }, (_, bin) => (bin < 2 ? 8_000 : Math.round(900 / (bin - 1) ** 1.9))),
      },
    },
    ...{ sentences: 812, tokens: 18_432, threshold: 0.3, sources: ['notes/languages.md', 'gum-wikinews.conllu'] },
    skipped: complete ? [{ name: 'photo.txt', why: 'it is binary' }] : [],
    rule: 'every token of the sentence, special ones left out; nothing is masked',
  };
}

const similar = (): SimilarMemories => {
  const random = chances(31);
  const some = (most: number): SimilarMemories['values'] =>
    Array.from({ length: 10 }, (_, index) => ({
      ...{ layer: 11 - (index % 4), neuron: Math.floor(random() * NEURONS), cosine: most - 0.03 * index },
    }));
  return {
    ...{ model: MODEL, layer: 10, neuron: 1518, keys: some(0.52), linear: null, values: some(0.71), keyValue: -0.13 },
    ...{ method: 'Cosines of columns of W_in and of rows of W_out.', notes: [], elapsed: 40 },
  };
};

const NAMES: MemoriesState['names'] = {
  names: [
    { layer: 10, neuron: 620, name: 'Celtic and Germanic languages', tags: ['language'] },
    { layer: 10, neuron: 1518, name: 'native languages', tags: ['language', 'names'] },
    { layer: 11, neuron: 2713, name: 'Nordic', tags: ['places'] },
  ],
  ...{ others: 4, file: '.vscode/onnx-lens-memories.tsv', error: null, notes: [] },
};

function groupsOf(count: number): MemoryGroups {
  const { tokens, window } = inputOf(TEXT);
  return {
    ...{
      model: MODEL,
      tokens,
      window,
      error: 0.437,
      elapsed: 310,
      notes: ['1,284 memories with m above 0.3 at some token.'],
    },
    method:
      'non-negative factorisation of max(m, 0) by alternating non-negative least squares, seed 0; special tokens are left out',
    groups: Array.from({ length: count }, (_, group) => ({
      share: [0.41, 0.28, 0.2, 0.11][group] ?? 0,
      tokens: Float32Array.from(tokens, ({ special }, token) =>
        special ? 0 : Math.max(0, Math.cos((token - 2 * group) / 1.4)),
      ),
      layers: Float32Array.from({ length: 12 }, (_, layer) => (layer === 9 - 2 * group ? 0.45 : 0.05)),
      members: Array.from({ length: 12 }, (_, member) => ({
        layer: (9 + 12 - 2 * group - (member % 3)) % 12,
        neuron: (1518 * (member + 1) * (group + 1)) % 3072,
        weight: 3.2 - 0.2 * member,
      })),
    })),
  };
}

function clustersOf(count: number): ValueClusters {
  const word = (at: number): ScoredWord => {
    const token = WORDS[at % WORDS.length] as string;
    return { id: idOf(token), token, text: token, score: 1.2 - 0.1 * (at % 8) };
  };
  return {
    ...{ model: MODEL, values: 36_864, cohesion: 0.31, notes: [], elapsed: 42_000 },
    method:
      'spherical k-means of the values’ directions, seed 0; words of a centre, as long as a value is on average, W_U·(t(v) − t(0))',
    clusters: Array.from({ length: count }, (_, at) => ({
      size: 900 - 8 * at,
      cohesion: 0.42 - 0.002 * at,
      layers: Int32Array.from({ length: 12 }, (__, layer) => Math.max(0, 300 - 60 * Math.abs(layer - (at % 12)))),
      promoted: Array.from({ length: 8 }, (__, index) => word(at + index)),
      suppressed: Array.from({ length: 8 }, (__, index) => word(at + 9 + index)),
      members: Array.from({ length: 12 }, (__, member) => ({
        ...{ layer: (at + member) % 12, neuron: (1518 * (member + 1) * (at + 1)) % 3072, cosine: 0.8 - 0.02 * member },
      })),
    })),
  };
}

interface Parts {
  look?: Partial<MemoriesLook>;
  state?: Partial<MemoriesState>;
  text?: string;
  memories?: ShownMemories | null;
  lens?: ShownLens | null;
  table?: LogitLensTable | null;
  groups?: MemoryGroups | null;
  clusters?: ValueClusters | null;
  search?: ValueSearch | null;
  memory?: ValueWords | null;
  triggers?: ShownTriggers | null;
  similar?: SimilarMemories | null;
}

/** A host that keeps the look. */
function shown({ look = {}, state = {}, text = TEXT, ...results }: Parts): Shown {
  const { memories: list = null, lens: states = null, table: along = null, search: found = null } = results;
  const { groups = null, clusters = null, memory: one = null, triggers: texts = null, similar: like = null } = results;
  const input = inputOf(text);
  let present: MemoriesState = {
    status: 'ready',
    model: { id: MODEL, kind: 'masked', state: 'ready' },
    subject: { document: 'proust.md', line: 3, context: 'sentence', windowStart: 0, stale: false },
    input,
    target: input.tokens.length - 3,
    look: {
      ...{ page: 'memories', by: 'norm', layer: null, count: 30, mask: true, word: null, watch: [], chart: 'rank' },
      ...{
        steps: null,
        colour: 'probability',
        between: false,
        tuned: false,
        groups: 4,
        search: [],
        direction: 'promote',
        memory: null,
        end: 'largest',
      },
      ...look,
    },
    interventions: [],
    names: NAMES,
    triggers: { corpus: texts === null ? null : 'the workspace', running: null, error: null },
    tuned: { lens: null, unfinished: null, running: null, error: null },
    inDocument: false,
    revision: {
      ...{ memories: Number(list !== null), lens: Number(states !== null), text: Number(along !== null) },
      ...{
        groups: Number(groups !== null),
        clusters: Number(clusters !== null),
        search: Number(found !== null),
        memory: Number(one !== null),
      },
      ...{ triggers: Number(texts !== null), similar: Number(like !== null) },
    },
    ...state,
  };
  return {
    state: () => present,
    answers: {
      ...{ memories: () => list, lens: () => states, text: () => along, search: () => found, memory: () => one },
      ...{ groups: () => groups, clusters: () => clusters, triggers: () => texts, similar: () => like },
      look: (change) => {
        present = { ...present, look: { ...present.look, ...(change as Partial<MemoriesLook>) } };
        return null;
      },
    },
  };
}

const empty = { status: 'empty', input: null, subject: null, target: null } as const;
const wordOf = (token: string): MemoriesLook['word'] => ({ id: idOf(token), token });
const named = (): ShownMemories => {
  const result = memories('norm', null);
  const [first, second] = result.memories;
  Object.assign(first ?? {}, { layer: 10, neuron: 1518 });
  Object.assign(second ?? {}, { layer: 10, neuron: 620 });
  return result;
};

export const MEMORIES_STATES: Record<string, () => Shown> = {
  memories: () =>
    shown({
      memories: named(),
      state: { interventions: [{ layer: 10, neuron: 620, scale: 0, position: 8 }] },
    }),
  'memories-layer': () => shown({ memories: memories('activation', 9), look: { by: 'activation', layer: 9 } }),
  'memories-logit': () => shown({ memories: memories('logit', null), look: { by: 'logit' } }),
  'memories-ablation': () =>
    shown({ memories: memories('ablation', null), look: { by: 'ablation', word: wordOf('French') } }),
  'memories-encoder': () => {
    const result = memories('norm', null);
    return shown({
      memories: {
        ...result,
        target: { ...result.target, id: null, token: null, logprob: null },
        predictions: [],
        memories: result.memories.map((each) => ({ ...each, promoted: [], suppressed: [] })),
        method: { logit: '', words: '' },
        layers: result.layers.map((each) =>
          each.layer === 3 ? { ...each, norm: 0, active: 0, missing: 'the feed-forward network was not found' } : each,
        ),
        notes: ['This model predicts no words, so its values have none.'],
      },
      state: {
        model: { id: 'all-MiniLM-L6-v2', kind: 'encoder', state: 'ready' },
        input: { ...inputOf(TEXT), mask: null },
      },
    });
  },
  'memories-empty': () => shown({ state: empty }),
  lens: () => shown({ look: { page: 'lens', watch: [wordOf('German')!] }, lens: { ...lens(true), before: null } }),
  'lens-changed': () =>
    shown({
      look: { page: 'lens', watch: [wordOf('German')!] },
      lens: { ...lens(true, 3), before: lens(true) },
      state: { interventions: [{ layer: 10, neuron: 1518, scale: 0 }] },
    }),
  'lens-logprob': () =>
    shown({ look: { page: 'lens', chart: 'logprob', steps: idOf('English') }, lens: { ...lens(false), before: null } }),
  'lens-tuned': () =>
    shown({
      look: { page: 'lens', tuned: true, steps: idOf('English') },
      lens: throughTuned({ ...lens(false), before: null }),
      state: { tuned: { lens: TUNED, unfinished: null, running: null, error: null } },
    }),
  'lens-training': () =>
    shown({
      look: { page: 'lens' },
      lens: { ...lens(false), before: null },
      state: {
        tuned: {
          ...{ lens: null, unfinished: null, error: null },
          running: { message: '1,344 of 4,096 tokens, mean KL 1.62 nats', fraction: 0.33 },
        },
      },
    }),
  text: () => shown({ look: { page: 'text' }, table: table(false) }),
  'text-tuned': () =>
    shown({
      look: { page: 'text', tuned: true },
      table: { ...table(false), tuned: TUNED },
      state: {
        tuned: { lens: TUNED, unfinished: { names: ['corpus'], tokens: 8192, done: 2112 }, running: null, error: null },
      },
    }),
  groups: () => shown({ look: { page: 'groups' }, groups: groupsOf(4) }),
  'search-clusters': () => shown({ look: { page: 'search' }, clusters: clustersOf(30) }),
  'text-rank': () => shown({ look: { page: 'text', colour: 'rank', between: true }, table: table(true) }),
  'text-entropy': () => shown({ look: { page: 'text', colour: 'entropy' }, table: table(false) }),
  search: () =>
    shown({ look: { page: 'search', search: [wordOf('French')!] }, search: search(['French'], 'promote', 40) }),
  'search-several': () =>
    shown({
      look: { page: 'search', direction: 'suppress', search: [wordOf('French')!, wordOf('Italian')!] },
      search: search(['French', 'Italian'], 'suppress', 12),
    }),
  'search-none': () =>
    shown({ look: { page: 'search', search: [wordOf('thor')!] }, search: search(['thor'], 'promote', 0) }),
  'search-empty': () => shown({ look: { page: 'search' }, state: empty }),
  memory: () =>
    shown({
      look: { page: 'memory', memory: { layer: 10, neuron: 1518 } },
      ...{ memory: value(), triggers: triggers(true), similar: similar() },
    }),
  'memory-stopped': () =>
    shown({
      look: { page: 'memory', memory: { layer: 10, neuron: 1518 }, end: 'smallest' },
      ...{ memory: value(), triggers: triggers(false) },
      state: { inDocument: true, interventions: [{ layer: 10, neuron: 1518, scale: 2 }] },
    }),
  'memory-running': () =>
    shown({
      look: { page: 'memory', memory: { layer: 10, neuron: 1518 } },
      ...{ memory: value(), triggers: triggers(false) },
      state: {
        triggers: {
          ...{ corpus: 'the workspace', error: null },
          running: { message: '812 sentences, 18,432 tokens', fraction: 0.4 },
        },
      },
    }),
  'memory-hostile': () =>
    shown({
      look: { page: 'memory', memory: { layer: 10, neuron: 1518 } },
      ...{ memory: value(), triggers: { ...triggers(true, HOSTILE), sources: [HOSTILE, HOSTILE] } },
    }),
  'memory-words': () => shown({ look: { page: 'memory', memory: { layer: 10, neuron: 1518 } }, memory: value() }),
  'memory-empty': () => shown({ look: { page: 'memory' }, state: empty }),
  names: () => shown({ look: { page: 'names' } }),
  'names-conflict': () =>
    shown({
      look: { page: 'names' },
      state: {
        names: {
          ...{ names: [], others: 0, file: NAMES.file, notes: [] },
          error: {
            code: 'bad-input',
            message: '.vscode/onnx-lens-memories.tsv, line 4: a mark of a merge that was not finished.',
            hint: 'Mend the line there and save the file; it is not changed until then.',
          },
        },
      },
    }),
  'names-empty': () =>
    shown({
      look: { page: 'names' },
      state: { names: { names: [], others: 0, file: null, error: null, notes: [] } },
    }),
  hostile: () => {
    const result = memories('norm', null, `${HOSTILE} says French .`);
    const [first] = result.memories;
    Object.assign(first ?? {}, { layer: 10, neuron: 1518 });
    for (const word of first?.promoted ?? []) Object.assign(word, { token: HOSTILE, text: HOSTILE });
    return shown({
      memories: { ...result, notes: [HOSTILE] },
      text: `${HOSTILE} says French .`,
      state: {
        model: { id: HOSTILE, kind: 'masked', state: 'ready' },
        names: { ...NAMES, names: [{ layer: 10, neuron: 1518, name: HOSTILE, tags: [HOSTILE] }] },
      },
    });
  },
  stale: () =>
    shown({
      memories: memories('norm', null),
      state: { subject: { document: 'proust.md', line: 3, context: 'sentence', windowStart: 0, stale: true } },
    }),
  loading: () =>
    shown({
      look: { page: 'search', search: [wordOf('French')!] },
      state: { status: 'loading', progress: { message: 'Words of layer 4', fraction: 0.37 } },
    }),
  error: () =>
    shown({
      state: {
        status: 'error',
        error: {
          code: 'no-lm-head',
          message: 'all-MiniLM-L6-v2 predicts no words, so its memories add to none.',
          hint: 'Rank them by activation or by norm.',
        },
      },
    }),
};
