/** The Attention view in every look, on patterns that are made by rules: like those of a trained model, the same every time. */
import type {
  AblationResult,
  AttentionMaps,
  AttentionOverview,
  AttentionSteps,
  AttentionToken,
  AttentionUnit,
  HeadCorpusResult,
  HeadRef,
  HeadRelationsResult,
  HeadStatisticsColumns,
  HeadType,
  HeadWeights,
  RelationExample,
} from '../../extension/protocol/attention';
import type { AttentionComparison, AttentionLook, AttentionState } from '../../extension/protocol/attentionView';
import type { Prediction } from '../../extension/protocol/engine';
import { headName } from '../../extension/protocol/format';
import { withIntervention, type Scale } from '../../extension/protocol/interventions';
import { wordIndices, wordText } from '../../extension/protocol/words';
import type { Answers, Shown } from './fakeHost';

const LAYERS = 12;
const HEADS = 12;
const MODEL = 'bert-base-cased';
const WIDTH = 64;

/** 0…1, from some whole numbers, always the same (a hash after Wang). */
function chance(...seeds: number[]): number {
  let hash = 61;
  for (const seed of seeds) {
    hash = Math.imul(hash ^ seed ^ (hash >>> 16), 0x27d4eb2d);
    hash = (hash ^ (hash >>> 15)) >>> 0;
  }
  return hash / 2 ** 32;
}

/** Tokens with their places in the text that they make. */
function tokensOf(...texts: string[][]): AttentionToken[] {
  const tokens: AttentionToken[] = [];
  texts.forEach((pieces, text) => {
    let end = 0;
    for (const token of pieces) {
      const special = /^\[(CLS|SEP)\]$/.test(token);
      const glued = token.startsWith('##') || /^[.,]$/.test(token);
      const start = end + (glued || end === 0 ? 0 : 1);
      if (!special) end = start + token.replace(/^##/, '').length;
      const range = special ? null : { start, end };
      tokens.push({
        index: tokens.length,
        id: 100 + token.length,
        token,
        range,
        special,
        text: text === 0 ? 0 : 1,
        word: 0,
      });
    }
  });
  const words = wordIndices(tokens);
  return tokens.map((token, index) => ({ ...token, word: words[index] ?? 0 }));
}

const SENTENCE = tokensOf(
  '[CLS] The official language of Mau ##rit ##ius is [MASK] , not the French . [SEP]'.split(' '),
);
const PAIR = tokensOf(
  '[CLS] Mark Twain wrote the novel . [SEP]'.split(' '),
  'He hated its first cover . [SEP]'.split(' '),
);
const PARAGRAPH = (
  'The river rises in the hills north of the town , runs through a wide valley and turns east . ' +
  'Its water was used by mills , which are ruins now , and the rail ##way follows it to the sea .'
).split(' ');
const long = (words: readonly string[], length = 512): AttentionToken[] =>
  tokensOf(['[CLS]', ...Array.from({ length: length - 2 }, (_, index) => words[index % words.length] ?? ''), '[SEP]']);

const KINDS: HeadType[][] = [
  ['broad', 'local block', 'next token', 'previous token', 'same token', 'mixed'],
  ['previous token', 'next token', 'broad', 'mixed', 'special tokens', 'same token'],
  ['special tokens', 'mixed', 'previous token', 'local block', 'punctuation', 'next token'],
  ['special tokens', 'special tokens', 'mixed', 'punctuation', 'special tokens', 'mixed'],
  ['punctuation', 'mixed', 'special tokens', 'broad', 'punctuation', 'mixed'],
];
const kindOf = (layer: number, head: number): HeadType => {
  const era = KINDS[Math.min(KINDS.length - 1, Math.floor((layer * KINDS.length) / LAYERS))] as HeadType[];
  return era[Math.floor(chance(layer, head, 1) * era.length)] ?? 'mixed';
};

/** What a head of this kind likes: before the softmax. */
function liking(
  kind: HeadType,
  tokens: readonly AttentionToken[],
  query: number,
  key: number,
  strength: number,
): number {
  const token = tokens[key];
  const of = (wanted: boolean): number => (wanted ? strength : 0);
  switch (kind) {
    case 'previous token':
      return of(key === query - 1 || (query === 0 && key === 0));
    case 'next token':
      return of(key === query + 1 || (query === tokens.length - 1 && key === query));
    case 'same token':
      return of(token?.id === tokens[query]?.id && token?.token === tokens[query]?.token);
    case 'special tokens':
      return of(token?.special === true) * (token?.token === '[SEP]' ? 1 : 0.8);
    case 'punctuation':
      return of(/^[.,]$/.test(token?.token ?? ''));
    case 'local block':
      return of(Math.abs(key - query) < 5) * 0.6;
    case 'broad':
      return 0;
    case 'mixed':
      return of(chance(tokens[query]?.id ?? 0, token?.id ?? 0, key, 7) > 0.86) * 0.8;
  }
}

/** One row of a head [T], into `row`. */
function fillRow(
  row: Float32Array,
  tokens: readonly AttentionToken[],
  layer: number,
  head: number,
  query: number,
): void {
  const kind = kindOf(layer, head);
  const strength = (3.5 + 2.5 * chance(layer, head, 3)) * (1 + Math.log(tokens.length / 16) / 4);
  let sum = 0;
  for (let key = 0; key < row.length; key++) {
    const noise = kind === 'broad' ? 0.6 : 1.6;
    const weight = Math.exp(liking(kind, tokens, query, key, strength) + noise * chance(layer, head, query, key));
    row[key] = weight;
    sum += weight;
  }
  for (let key = 0; key < row.length; key++) row[key]! /= sum;
}

function matrixOf(tokens: readonly AttentionToken[], { layer, head }: HeadRef): Float32Array {
  const size = tokens.length;
  const matrix = new Float32Array(size * size);
  for (let query = 0; query < size; query++)
    fillRow(matrix.subarray(query * size, (query + 1) * size), tokens, layer, head, query);
  return matrix;
}

/** Statistics and small pictures of all heads, a row at a time. */
function overviewOf(tokens: readonly AttentionToken[], more: Partial<AttentionOverview> = {}): AttentionOverview {
  const count = LAYERS * HEADS;
  const length = tokens.length;
  const size = Math.min(64, length);
  const data = new Uint8Array(count * size * size);
  const column = (): Float32Array => new Float32Array(count);
  const statistics: HeadStatisticsColumns = {
    ...{
      previous: column(),
      next: column(),
      same: column(),
      special: column(),
      punctuation: column(),
      local: column(),
    },
    ...{ entropy: column(), types: [] },
  };
  const row = new Float32Array(length);
  for (let index = 0; index < count; index++) {
    const [layer, head] = [Math.floor(index / HEADS), index % HEADS];
    statistics.types.push(kindOf(layer, head));
    for (let query = 0; query < length; query++) {
      fillRow(row, tokens, layer, head, query);
      const at = (index * size + Math.floor((query * size) / length)) * size;
      for (let key = 0; key < length; key++) {
        const weight = row[key]!;
        const cell = at + Math.floor((key * size) / length);
        data[cell] = Math.max(data[cell]!, Math.round(255 * weight));
        const part = weight / length;
        if (key === query - 1) statistics.previous[index]! += part;
        if (key === query + 1) statistics.next[index]! += part;
        if (key === query) statistics.same[index]! += part;
        if (tokens[key]?.special === true) statistics.special[index]! += part;
        if (/^[.,]$/.test(tokens[key]?.token ?? '')) statistics.punctuation[index]! += part;
        if (Math.abs(key - query) < 5) statistics.local[index]! += part;
        statistics.entropy[index]! -= part * Math.log(weight);
      }
    }
  }
  return {
    ...{ model: MODEL, tokens: [...tokens], layers: LAYERS, heads: HEADS, causal: false, statistics },
    window: { range: { start: 0, end: 60 }, tokens: length, truncatedStart: false, truncatedEnd: false },
    ...{ thumbnails: { size, data }, missing: [], notes: [], elapsed: 41 },
    ...more,
  };
}

const unitsOf = (tokens: readonly AttentionToken[], words: boolean): AttentionUnit[] => {
  const groups: AttentionToken[][] = [];
  for (const token of tokens)
    if (words && groups.at(-1)?.[0]?.word === token.word) groups.at(-1)?.push(token);
    else groups.push([token]);
  return groups.map((group): AttentionUnit => {
    const [first, last] = [group[0] as AttentionToken, group.at(-1) as AttentionToken];
    return {
      label: first.special ? first.token : wordText(group.map(({ token }) => token)),
      range: first.range && last.range && { start: first.range.start, end: last.range.end },
      ...{ special: first.special, text: first.text, tokens: group.map(({ index }) => index) },
    };
  });
};

function mapsOf(tokens: readonly AttentionToken[], look: AttentionLook): AttentionMaps {
  const wanted = look.heads.length > 0 ? look.heads : [{ layer: look.layer, head: 0 }];
  const kept = unitsOf(tokens, look.words).filter(({ special }) => look.specials === 'show' || !special);
  const merged = wanted.map((ref) => {
    const full = matrixOf(tokens, ref);
    const out = new Float32Array(kept.length ** 2);
    kept.forEach((from, row) => {
      let sum = 0;
      kept.forEach((to, column) => {
        let value = 0;
        for (const query of from.tokens) for (const key of to.tokens) value += full[query * tokens.length + key]!;
        value /= from.tokens.length;
        out[row * kept.length + column] = value;
        sum += value;
      });
      if (look.specials !== 'renormalise' || sum === 0) return;
      for (let column = 0; column < kept.length; column++) out[row * kept.length + column]! /= sum;
    });
    return out;
  });
  const each = look.combine === 'each' || wanted.length === 1;
  const pictures = each
    ? merged
    : [
        merged[0]!.map((_, at) => {
          const values = merged.map((matrix) => matrix[at]!);
          return look.combine === 'max' ? Math.max(...values) : values.reduce((a, b) => a + b, 0) / values.length;
        }),
      ];
  const data = new Float32Array(pictures.length * kept.length ** 2);
  pictures.forEach((picture, at) => data.set(picture, at * kept.length ** 2));
  return {
    ...{ model: MODEL, tokens: [...tokens], units: kept, data, elapsed: 9 },
    window: { range: { start: 0, end: 60 }, tokens: tokens.length, truncatedStart: false, truncatedEnd: false },
    maps: each
      ? wanted.map((ref) => ({ label: headName(ref), heads: [ref] }))
      : [{ label: `${look.combine} of ${wanted.map(headName).join(', ')}`, heads: wanted }],
    rowsSumToOne: look.specials !== 'hide' && look.combine !== 'max',
    mixing: null,
    note: 'Attention weights: where a head looks, not what it takes from there.',
  };
}

function stepsOf(tokens: readonly AttentionToken[], { layer, head }: HeadRef, query: number): AttentionSteps {
  const length = tokens.length;
  const wave = (seed: number, at: number): number =>
    3 * (chance(seed, at, layer, head) - 0.5) + Math.sin(at / 5 + seed);
  const queryVector = Float32Array.from({ length: WIDTH }, (_, at) => wave(query, at));
  const keyVectors = Float32Array.from({ length: length * WIDTH }, (_, at) =>
    wave(Math.floor(at / WIDTH) + 3, at % WIDTH),
  );
  const products = Float32Array.from({ length }, (_, key) =>
    queryVector.reduce((sum, value, at) => sum + value * keyVectors[key * WIDTH + at]!, 0),
  );
  const scores = products.map((value) => value / 8);
  const most = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  const sum = scores.reduce((total, score) => total + Math.exp(score - most), 0);
  const pattern = scores.map((score) => Math.exp(score - most) / sum);
  const valueNorms = Float32Array.from({ length }, (_, key) => 1 + 2 * chance(key, layer, head, 11));
  const weightedNorms = pattern.map((weight, key) => weight * valueNorms[key]!);
  return {
    ...{ model: MODEL, tokens: [...tokens], layer, head, query, queryVector, keyVectors, products, scale: 0.125 },
    ...{ bias: new Float32Array(length), scores, pattern, valueNorms, weightedNorms },
    writtenNorms: weightedNorms.map((value) => value * 0.8),
    ...{ z: new Float32Array(WIDTH), written: null, writtenNorm: 0.86, attnOutNorm: 4.31, shareOfAttnOut: 0.137 },
    ...{ residPreNorm: 15.2, notes: [] },
  };
}

const predictions = (...words: [text: string, prob: number][]): Prediction[] =>
  words.map(([text, prob], id) => ({ id, token: text, text, prob, logprob: Math.log(prob) }));

function ablationOf(tokens: AttentionToken[]): AblationResult {
  const before = predictions(
    ['French', 0.391],
    ['English', 0.188],
    ['Creole', 0.061],
    ['Arabic', 0.03],
    ['Spanish', 0.024],
  );
  return {
    ...{ model: MODEL, tokens, target: { position: 9, id: 0, token: 'French' } },
    before: { logprob: before[0]!.logprob, predictions: before },
    ...{ after: null, notes: [], elapsed: 812 },
    effects: Array.from({ length: LAYERS * HEADS }, (_, index) => {
      const [layer, head] = [Math.floor(index / HEADS), index % HEADS];
      const size = chance(layer, head, 21) ** 9;
      const zero = (chance(layer, head, 22) < 0.75 ? -1.4 : 0.5) * size + 0.01 * (chance(layer, head, 23) - 0.5);
      return {
        ...{ layer, head, zero, mean: zero * 0.7, gradient: zero * 1.1 },
        importance: Math.min(1, Math.abs(zero) * 0.8 + 0.1 * chance(layer, head, 24)),
        changedTo: zero < -0.75 ? predictions(['English', 0.2])[0]! : null,
      };
    }),
  };
}

function togetherOf(tokens: AttentionToken[]): AblationResult {
  const after = predictions(
    ['English', 0.302],
    ['French', 0.214],
    ['Creole', 0.071],
    ['Dutch', 0.022],
    ['Arabic', 0.021],
  );
  const all = ablationOf(tokens);
  return { ...all, effects: [], after: { logprob: after[1]!.logprob, predictions: after } };
}

const weightsOf = (): HeadWeights => ({
  model: MODEL,
  expansion: [0.901, 0.74, 0.632, 0.679, 0.911, 0.989, 0.919, 0.905, null, 0.913, 0.932, 1.051],
  ov: Float32Array.from({ length: LAYERS * HEADS }, (_, index) => 1 + 3 * chance(index, 31)),
  qk: Float32Array.from({ length: LAYERS * HEADS }, (_, index) => 4 + 9 * chance(index, 32)),
  ...{ heads: HEADS, notes: ['Block 8: the output projection is quantised in a way that is not known.'] },
});

const RELATIONS: [relation: string, n: number, best: HeadRef, accuracy: number, base: number, offset: number][] = [
  ['all', 22148, { layer: 7, head: 6 }, 0.347, 0.267, 1],
  ['punct', 3080, { layer: 4, head: 9 }, 0.281, 0.264, -1],
  ['case', 2032, { layer: 5, head: 2 }, 0.541, 0.402, 2],
  ['det', 1902, { layer: 8, head: 11 }, 0.943, 0.517, 1],
  ['nsubj', 2190, { layer: 8, head: 2 }, 0.585, 0.455, 1],
  ['amod', 1140, { layer: 4, head: 10 }, 0.756, 0.683, 1],
  ['obj', 1102, { layer: 8, head: 10 }, 0.868, 0.4, -2],
  ['aux', 801, { layer: 4, head: 10 }, 0.811, 0.715, 1],
  ['nmod:poss', 402, { layer: 7, head: 6 }, 0.805, 0.477, 1],
  ['advcl', 260, { layer: 5, head: 4 }, 0.295, 0.346, -3],
];
const relationsOf = (): HeadRelationsResult => ({
  state: {
    ...{
      model: MODEL,
      layers: LAYERS,
      heads: HEADS,
      done: [],
      sentences: 2001,
      words: 25148,
      relations: [],
      coreference: null,
    },
    skipped: [{ name: 'broken.conllu', why: 'line 17: a sentence whose heads form a circle' }],
  },
  table: RELATIONS.map(([relation, n, best, accuracy, base, offset]) => ({
    ...{ relation, n, baseline: { offset, accuracy: base } },
    best: { ...best, accuracy, direction: chance(n, 5) < 0.5 ? 'dependent→head' : 'head→dependent' },
    accuracies: Float32Array.from({ length: LAYERS * HEADS }, (_, index) =>
      index === best.layer * HEADS + best.head ? accuracy : accuracy * 0.7 * chance(index, n) ** 2,
    ),
  })),
  coreference: { n: 402, nearest: 0.27, best: [{ layer: 5, head: 4, accuracy: 0.65 }] },
  elapsed: 60_000,
});

function examplesOf(): RelationExample[] {
  const sentence = (text: string, from: number, expected: number, predicted: number, line: number): RelationExample => {
    let at = 0;
    const words = text.split(' ').map((form) => {
      const start = text.indexOf(form, at);
      at = start + form.length;
      return { form, range: { start, end: at } };
    });
    return {
      source: 'en_ewt-dev.conllu',
      line,
      text,
      words,
      from,
      expected,
      predicted,
      weight: 0.4 + chance(line) / 2,
    };
  };
  return [
    sentence('The old bridge over the river was closed last week .', 0, 2, 2, 118),
    sentence('She gave her brother a letter that nobody had read .', 4, 5, 5, 342),
    sentence('All the rooms that face the garden are quiet .', 1, 2, 6, 977),
  ];
}

function corpusOf(): HeadCorpusResult {
  const { statistics } = overviewOf(SENTENCE);
  const row = (...values: number[]): Float32Array => Float32Array.from(values);
  return {
    state: {
      ...{ model: MODEL, layers: LAYERS, heads: HEADS, packing: { kind: 'pairs', tokens: 128 }, done: [] },
      ...{ documents: 100, tokens: 12_800, sums: {}, distances: null },
      skipped: [{ name: 'scan.txt', why: 'not UTF-8 at byte 212' }],
    },
    statistics,
    blocks: {
      separator: row(0.025, 0.05, 0.075, 0.21, 0.491, 0.55, 0.535, 0.574, 0.574, 0.478, 0.061, 0.069),
      punctuation: row(0.07, 0.109, 0.087, 0.085, 0.05, 0.045, 0.048, 0.055, 0.053, 0.082, 0.512, 0.577),
      separatorToSeparator: row(0.156, 0.139, 0.105, 0.472, 0.898, 0.908, 0.894, 0.908, 0.874, 0.368, 0.065, 0.104),
      entropy: row(3.6, 2.86, 2.54, 2.73, 2.42, 1.92, 1.92, 1.75, 2.2, 2.51, 2.79, 2.81),
    },
    map: Float32Array.from({ length: 2 * LAYERS * HEADS }, (_, at) => {
      const index = at >> 1;
      const type = KINDS.flat().indexOf(kindOf(Math.floor(index / HEADS), index % HEADS));
      const angle = type + (at % 2 === 0 ? 0 : -Math.PI / 2);
      return 2 * Math.cos(angle) + chance(index, at % 2, 41) - 0.5;
    }),
    elapsed: 90_000,
  };
}

const L7H9 = { layer: 7, head: 9 };
const LOOK: AttentionLook = {
  ...{ layer: 7, heads: [L7H9], method: 'weight', combine: 'each', words: false, specials: 'show', page: 'heads' },
  ...{ drawing: 'matrix', threshold: { kind: 'weight', value: 0 }, direction: 'from', filter: 'all', target: 9 },
  ...{ sort: 'layer', type: null },
};

const base = (overview: AttentionOverview | null): AttentionState => ({
  status: 'ready',
  model: { id: MODEL, kind: 'masked', state: 'ready' },
  subject: { document: 'facts.md', line: 14, context: 'sentence', windowStart: 0, stale: false },
  ...{ pinned: false, look: LOOK, interventions: [], overview, work: null, workError: null, inDocument: false },
  revision: { overview: 1, maps: 1, steps: 1, comparison: 1, effects: 1, corpus: 1, relations: 1 },
  comparable: [
    { kind: 'heads', label: 'Another head', detail: 'On the same text', enabled: true },
    { kind: 'masked', label: 'Masked', detail: 'The same text with the target masked', enabled: true },
    { kind: 'interventions', label: 'Without interventions', detail: 'No head is changed', enabled: false },
    { kind: 'texts', label: 'The kept text', detail: 'Keep one first', enabled: false },
    { kind: 'models', label: 'bert-base-uncased', detail: 'Of the same tokens', enabled: true },
  ],
});

interface Setting {
  tokens?: AttentionToken[];
  look?: Partial<AttentionLook>;
  state?: Partial<AttentionState>;
  overview?: Partial<AttentionOverview>;
  aligned?: boolean;
}

/** A state, and a host that answers as VS Code's does: the look is kept, a head's change is a chip. */
function shown({
  tokens = SENTENCE,
  look = {},
  state: more = {},
  overview: parts = {},
  aligned = true,
}: Setting): Shown {
  const { thumbnails, ...overview } = overviewOf(tokens, parts);
  let state: AttentionState = { ...base(null), overview: overview, ...more };
  state = { ...state, look: { ...LOOK, target: Math.min(9, tokens.length - 1), ...look } };
  const change = (next: Partial<AttentionState>): AttentionState => (state = { ...state, ...next });
  const comparison = (): AttentionComparison => {
    const other = aligned ? tokens : PAIR;
    return {
      ...{ kind: 'heads', labels: ['L7H9', aligned ? 'L4H3' : 'L7H9 on the kept text'], aligned },
      maps: [
        mapsOf(tokens, state.look),
        mapsOf(other, { ...state.look, heads: aligned ? [{ layer: 4, head: 3 }] : [L7H9] }),
      ],
    };
  };
  const answers: Answers = {
    thumbnails: () => thumbnails,
    maps: () => mapsOf(tokens, state.look),
    steps: () => stepsOf(tokens, state.look.heads[0] ?? { layer: state.look.layer, head: 0 }, state.look.target ?? 0),
    comparison,
    effects: () => ({
      effects: ablationOf(tokens),
      together: state.interventions.length > 0 ? togetherOf(tokens) : null,
      weights: weightsOf(),
    }),
    corpus: corpusOf,
    relations: relationsOf,
    examples: examplesOf,
    look: (params) => {
      const next = { ...state.look, ...(params as Partial<AttentionLook>) };
      const { maps, steps } = state.revision;
      change({ look: next, revision: { ...state.revision, maps: maps + 1, steps: steps + 1 } });
      return null;
    },
    intervene: (params) => {
      change({ interventions: withIntervention(state.interventions, params as Scale) });
      return null;
    },
  };
  return { state: () => state, answers };
}

const empty = (state: Partial<AttentionState>): Shown => ({
  state: () => ({
    ...base(null),
    revision: { overview: 0, maps: 0, steps: 0, comparison: 0, effects: 0, corpus: 0, relations: 0 },
    ...{ subject: null, comparable: [] },
    ...state,
  }),
  answers: {},
});

const HOSTILE = '<img src=x onerror=alert(1)>';
const several: HeadRef[] = [
  { layer: 1, head: 0 },
  { layer: 7, head: 9 },
  { layer: 10, head: 3 },
];
const interventions = [
  { layer: 7, head: 9, scale: 0 },
  { layer: 3, head: 4, scale: 2 },
];
const rtl = tokensOf('[CLS] השפה הרשמית של ##ה المدينة is اللغة עברית and [MASK] . [SEP]'.split(' '));

export const ATTENTION_STATES: Record<string, () => Shown> = {
  heads: () => shown({}),
  'heads-sorted': () => shown({ look: { sort: 'type' } }),
  'heads-filtered': () => shown({ look: { type: 'previous token' }, state: { interventions } }),
  'heads-128': () => shown({ tokens: long(PARAGRAPH, 128) }),
  'heads-512': () => shown({ tokens: long(PARAGRAPH) }),
  'heads-missing': () =>
    shown({
      overview: {
        missing: [3, 4].map((layer) => ({
          layer,
          why: 'the fused operator MultiHeadAttention does not give its weights in this form',
        })),
        notes: ['10 of 12 blocks can be read.'],
      },
    }),
  head: () => shown({ look: { page: 'head' } }),
  'head-lines': () =>
    shown({ look: { page: 'head', drawing: 'lines', threshold: { kind: 'weight', value: 0.05 }, target: null } }),
  'head-several': () => shown({ look: { page: 'head', heads: several } }),
  'head-several-lines': () => shown({ look: { page: 'head', heads: several, drawing: 'lines' } }),
  'head-pair': () => shown({ tokens: PAIR, look: { page: 'head', target: null, filter: 'B→A' } }),
  'head-words': () => shown({ look: { page: 'head', words: true, specials: 'renormalise', target: null } }),
  'head-512': () => shown({ tokens: long(PARAGRAPH), look: { page: 'head', target: null } }),
  'head-512-lines': () => shown({ tokens: long(PARAGRAPH), look: { page: 'head', drawing: 'lines', target: null } }),
  'head-one': () => shown({ tokens: tokensOf(['Hello']), look: { page: 'head' } }),
  'head-same': () => shown({ tokens: long(['the']), look: { page: 'head', heads: [{ layer: 0, head: 4 }] } }),
  'head-rtl': () => shown({ tokens: rtl, look: { page: 'head', drawing: 'lines' } }),
  steps: () => shown({ look: { page: 'steps' } }),
  compare: () => shown({ look: { page: 'compare' } }),
  'compare-unaligned': () => shown({ look: { page: 'compare' }, aligned: false }),
  effects: () => shown({ look: { page: 'effects' }, state: { interventions } }),
  relations: () => shown({ look: { page: 'relations' } }),
  corpus: () =>
    shown({
      look: { page: 'corpus' },
      state: { work: { what: 'corpus', progress: { message: 'Document 100 of 312', fraction: 0.32 } } },
    }),
  hostile: () =>
    shown({
      tokens: tokensOf(['[CLS]', HOSTILE, '</svg><script>alert(1)</script>', '"\'&amp;\u202e]]>', '[SEP]']),
      look: { page: 'head', target: 1 },
      state: { model: { id: HOSTILE, kind: 'unknown', state: 'ready' } },
      overview: { notes: [HOSTILE] },
    }),
  stale: () => shown({ state: { subject: { ...base(null).subject!, stale: true } } }),
  loading: () => shown({ state: { status: 'loading', progress: { message: 'Reading 12 blocks…', fraction: 0.4 } } }),
  empty: () => empty({ status: 'empty' }),
  error: () =>
    empty({
      status: 'error',
      error: {
        code: 'model-unsupported',
        message: 'No attention pattern can be read in this model: its operators are fused in a form that is not known.',
        hint: 'Export the model without fused operators, or look at its anatomy to see what is there.',
      },
    }),
};
