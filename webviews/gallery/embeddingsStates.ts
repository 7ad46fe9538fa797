/** The Embeddings view in every look, on numbers that are made by rules: like those of a trained model, the same every time. */
import type {
  CompareModelsResult,
  ContextualityResult,
  CorpusNeighboursResult,
  OccurrenceLayer,
  LearnMixResult,
  OccurrencesResult,
  StoredIndex,
  WordMixResult,
  WordResult,
} from '../../extension/protocol/embeddings';
import type {
  EmbeddingsLook,
  EmbeddingsState,
  SentenceComparison,
  StaticAnswers,
  StaticScores,
} from '../../extension/protocol/embeddingsView';
import { chances } from './chances';
import type { Shown } from './fakeHost';

const LAYERS = 12;
const TEXT = 'She sat on the bank of the river and thought of the bank that kept her money .';
const HOSTILE = '<img src=x onerror=alert(1)>';
const CHANGED = { interventions: [{ layer: 7, head: 9, scale: 0 }] };

const NEAR: readonly (readonly string[])[] = [
  ['banks', 'Bank', 'banking', '##bank', 'banker'],
  ['banks', 'Bank', 'shore', 'banking', 'river'],
  ['banks', 'shore', 'river', 'slope', 'hillside'],
  ['river', 'shore', 'shoreline', 'fish', 'freshwater'],
];

function word(text = TEXT): WordResult {
  const words: WordResult['words'] = [];
  let at = 0;
  for (const label of text.split(' ')) {
    const range = { start: at, end: at + label.length };
    words.push({ label, range, own: false, same: false });
    at += label.length + 1;
  }
  const own = words.findIndex(({ label }) => label === 'bank');
  const mine = words[Math.max(own, 0)]!;
  mine.own = true;
  for (const each of words) each.same = !each.own && each.label === mine.label;
  const random = chances(3);
  const layers = ['static' as const, ...Array.from({ length: LAYERS + 1 }, (_, layer) => layer)];
  return {
    model: 'bert-base-cased',
    word: { text: mine.label, range: mine.range, pieces: [mine.label] },
    window: {
      range: { start: 0, end: text.length },
      tokens: words.length + 2,
      truncatedStart: false,
      truncatedEnd: false,
    },
    layers: layers.map((layer, index) => ({
      layer,
      name: layer === 'static' ? 'static' : `layer.${layer}`,
      norm: layer === 'static' ? 1.19 : layer === LAYERS ? 14.9 : 20 + layer * 0.8,
      toStatic: layer === 'static' ? 1 : 0.95 * Math.exp(-layer / 6),
      toPrevious: layer === 'static' || layer === 0 ? null : layer === LAYERS ? 0.86 : 0.85 + layer * 0.009,
      rank: index < 9 ? 1 : (index - 8) ** 3,
      neighbours: (NEAR[Math.min(3, Math.floor(index / 4))] ?? []).map((token, place) => ({
        ...{ id: 100 + place, token, text: token },
        cosine: 0.7 * Math.exp(-index / 8) - 0.05 * place,
      })),
    })),
    words,
    cosines: Float32Array.from({ length: layers.length * words.length }, (_, place) => {
      const [layer, index] = [Math.floor(place / words.length), place % words.length];
      if (words[index]!.same) return layer === 0 ? 1 : 0.98 - 0.02 * layer;
      return 0.1 + 0.04 * layer + 0.2 * random();
    }),
    notes: [],
    elapsed: 120,
  };
}

const SENSES = [
  ['bank (river)', 'They walked along the bank until the stream bent.'],
  ['bank (money)', 'The bank refused the loan without a reason.'],
  ['bank (row)', 'A bank of switches stood against the wall.'],
] as const;

function occurrences(count: number, axes: 2 | 3, labelled: boolean): OccurrencesResult {
  const random = chances(7);
  const normal = (): number => random() + random() + random() - 1.5;
  const sense = (index: number): number => (index % 7 < 3 ? 0 : index % 7 < 6 ? 1 : 2);
  const layers = ['static' as const, ...Array.from({ length: LAYERS + 1 }, (_, layer) => layer)];
  return {
    model: 'bert-base-cased',
    word: 'bank',
    sources: ['senses.tsv', 'notes/river.md'],
    occurrences: Array.from({ length: count }, (_, index) => {
      const [label, sentence] = SENSES[sense(index)]!;
      const start = sentence.indexOf('bank');
      return {
        ...{ source: index % 5 === 0 ? 1 : 0, line: index + 1, column: start, sentence },
        range: { start, end: start + 4 },
        label: labelled ? label : null,
      };
    }),
    layers: layers.map((layer, at): OccurrenceLayer => {
      const apart = layer === 'static' ? 0 : Math.min(1, layer / 6) * (layer > 9 ? 0.8 : 1);
      const centres = [
        [3, 1, 0],
        [-3, 0.5, 1],
        [0, -3, -2],
      ];
      const places = new Float32Array(count * axes);
      for (let index = 0; index < count; index++)
        for (let axis = 0; axis < axes; axis++)
          places[index * axes + axis] =
            layer === 'static' ? 0 : apart * (centres[sense(index)]?.[axis] ?? 0) + (layer === 0 ? 0.6 : 1) * normal();
      return {
        ...{ layer, name: layer === 'static' ? layer : `layer.${layer}`, places },
        explained: [0.2 + 0.2 * apart, 0.1 + 0.08 * apart, 0.06].slice(0, axes),
        clusters: Int32Array.from({ length: count }, (_, index) => (apart < 0.4 ? index % 2 : sense(index))),
        silhouette: layer === 'static' ? 0 : 0.1 + 0.3 * apart,
        rand: labelled ? (layer === 'static' ? 0 : Math.max(0, apart * 0.95 - (at % 3) * 0.03)) : null,
        selfSimilarity: layer === 'static' ? 1 : 0.95 - 0.03 * layer,
      };
    }),
    truncated: false,
    skipped: [],
    notes: ['Each sentence went into the model by itself.'],
    elapsed: 900,
  };
}

function neighbours(): CorpusNeighboursResult {
  const found = [
    ['They tied the boat at the bank and slept in the grass.', 'bank', 'NOUN'],
    ['The river had left its banks in the night, and nobody knew how far the water would come.', 'banks', 'NOUN'],
    ['Willows grew on the shore.', 'shore', 'NOUN'],
    ['She would bank the fire before she slept.', 'bank', 'VERB'],
    [`${HOSTILE} on the bank \u202e]]>`, 'bank', null],
  ] as const;
  return {
    ...{ model: 'bert-base-cased', word: 'bank', layer: 8, pool: 'word', sameWord: 3, searched: 11.6, elapsed: 150 },
    neighbours: Array.from({ length: 15 }, (_, index) => {
      const [sentence, word, tag] = found[index % found.length]!;
      const start = sentence.indexOf(word);
      return {
        ...{ sentence, word, tag, range: { start, end: start + word.length }, cosine: 0.82 - 0.021 * index },
        ...{ source: 'notes/river.md', file: '/notes/river.md', line: 3 * index + 1, column: start },
      };
    }),
    tags: [
      { name: 'NOUN', count: 9 },
      { name: 'VERB', count: 3 },
    ],
    index: {
      ...{ words: 48_210, files: 312, built: 2, removed: 0, bytes: 151_000_000 },
      skipped: [{ name: 'photo.txt', why: 'it is binary' }],
    },
  };
}

function mix(text = TEXT): WordMixResult {
  const { model, word: own, window, words, cosines, layers } = word(text);
  const size = words.length;
  const random = chances(9);
  const weights = Array.from({ length: LAYERS + 1 }, () => 1 / (LAYERS + 1));
  return {
    ...{ model, word: own, window, words, mix: { weights, gamma: 1 }, norm: 12.4, rank: 3 },
    neighbours: layers[6]?.neighbours ?? [],
    cosines: cosines.slice(6 * size, 7 * size),
    places: Float32Array.from({ length: 2 * size }, () => random() - 0.5),
    ...{ explained: [0.31, 0.18], notes: [], elapsed: 40 },
  };
}

function staticAnswers(words: string[], missing = false): StaticAnswers {
  const answer = (
    names: readonly string[],
    size: number,
    width: number,
  ): StaticAnswers['tables'][number]['answer'] => ({
    ...{ words: size, width, skipped: 0, told: [] },
    neighbours: names.map((each, index) => ({ word: each, cosine: 0.78 - 0.06 * index })),
  });
  return {
    ...{ words, exclude: words.length === 1 },
    tables: [
      {
        name: 'glove.6B.300d.txt',
        answer: answer(['queen', 'king', 'princess', HOSTILE, 'throne'], 400_000, 300),
        why: null,
      },
      missing
        ? { name: 'bert-base-cased', answer: null, why: 'The table has no word “kingx”.' }
        : { name: 'bert-base-cased', answer: answer(['Queen', 'queen', 'princess'], 21_128, 768), why: null },
    ],
  };
}

const scores = (kind: 'rated' | 'analogies'): StaticScores => ({
  file: kind === 'rated' ? 'wordsim353.tsv' : 'questions-words.txt',
  tables: ['glove.6B.300d.txt', 'bert-base-cased'].map((name, index) => ({
    ...{ name, why: null },
    rated:
      kind === 'rated'
        ? { pairs: 353, covered: 353 - index * 20, spearman: 0.609 - 0.2 * index, pearson: 0.597 }
        : null,
    analogies:
      kind === 'analogies'
        ? {
            ...{ words: 30_000, skipped: 0, elapsed: 60_000 },
            sections: ['capital-common-countries', 'family', 'gram1-adjective-to-adverb'].map((section, at) => ({
              ...{ section, questions: 506, covered: 400 + at, right: 380 - 90 * at, rightWithInputs: 90 },
            })),
          }
        : null,
  })),
});

function learned(folds: number): LearnMixResult {
  const weights = Array.from({ length: LAYERS + 1 }, (_, layer) => Math.exp(-((layer - 5) ** 2) / 9));
  const sum = weights.reduce((a, b) => a + b);
  return {
    ...{
      model: 'bert-base-cased',
      labels: ['bank (money)', 'bank (river)', HOSTILE],
      train: 240,
      test: 60,
      folds,
      seed: 0,
    },
    mix: { weights: weights.map((weight) => weight / sum), gamma: 1.312 },
    ...{ loss: 0.2, accuracy: 0.942, trainAccuracy: 0.991, elapsed: 9_000 },
    single: [
      { layer: 'static', name: 'static', accuracy: 0.5 },
      ...weights.map((weight, layer) => ({ layer, name: `layer.${layer}`, accuracy: 0.6 + 0.3 * weight })),
    ],
    majority: { label: HOSTILE, accuracy: 0.5 },
  };
}

const passages = (): CorpusNeighboursResult => ({
  ...neighbours(),
  ...{ word: 'The river had risen over its banks in the night.', layer: 12, pool: 'mean', sameWord: 0, tags: [] },
});

const stored = (layer: number, finished = true): StoredIndex => ({
  ...{ folder: `/index/${layer}`, model: { id: 'bert-base-cased', folder: '/models/bert-base-cased' } },
  ...{ fingerprint: '00', layer, pool: 'word', bytes: 151_000_000, finished },
});

function sentences(count: number): SentenceComparison {
  const texts = [
    'The river had risen over its banks in the night.',
    'Water stood in the fields as far as one could see.',
    'The bank raised its rates for the third time this year.',
    'Nobody could remember a flood like this one.',
    'Borrowers will pay more from May on.',
    'A boat was tied to the door of the church.',
  ];
  const random = chances(5);
  const cosines = new Float32Array(count * count);
  for (let row = 0; row < count; row++)
    for (let column = 0; column <= row; column++) {
      const alike = (row % 6 === 2 || row % 6 === 4) === (column % 6 === 2 || column % 6 === 4);
      const value = row === column ? 1 : (alike ? 0.5 : 0) + 0.3 * random() - 0.1;
      cosines[row * count + column] = value;
      cosines[column * count + row] = value;
    }
  return {
    ...{ model: 'all-MiniLM-L6-v2', cosines, pooling: 'mean over all tokens, special ones too', layer: 'layer.6' },
    ...{ notes: [], elapsed: 80, document: 'flood.md', truncated: count > 50 },
    sentences: Array.from({ length: count }, (_, index) => ({ text: texts[index % 6]!, line: index + 1 })),
  };
}

function contextuality(): ContextualityResult {
  const self = [0.954, 0.921, 0.871, 0.823, 0.798, 0.781, 0.765, 0.744, 0.731, 0.754, 0.782, 0.839, 0.755];
  const anisotropy = [0.105, 0.168, 0.219, 0.245, 0.327, 0.377, 0.42, 0.398, 0.399, 0.484, 0.561, 0.675, 0.477];
  const size = self.length;
  return {
    ...{ model: 'bert-base-cased', sentences: 1000, tokens: 18192, pieces: 570, occurrences: 12777 },
    ...{ explainedPieces: 363, samples: 1000, skipped: [{ name: 'photo.txt', why: 'it is binary' }], elapsed: 60_000 },
    layers: self.map((selfSimilarity, layer) => ({
      ...{ layer, selfSimilarity, anisotropy: anisotropy[layer]! },
      ...{
        intraSentence: 0.43 + 0.03 * layer,
        explainable: selfSimilarity * 1.02,
        explainableBaseline: anisotropy[layer]!,
      },
    })),
    cka: Float32Array.from({ length: size * size }, (_, at) =>
      Math.exp(-Math.abs(Math.floor(at / size) - (at % size)) / 8),
    ),
  };
}

function compared(): CompareModelsResult {
  const layers: CompareModelsResult['layers'] = [
    Array.from({ length: LAYERS + 1 }, (_, layer) => layer),
    Array.from({ length: 7 }, (_, layer) => layer),
  ];
  return {
    ...{ models: ['bert-base-cased', HOSTILE], layers, unit: 'word', samples: 1000, sentences: 1000, skipped: [] },
    cka: Float32Array.from({ length: 13 * 7 }, (_, at) => Math.exp(-Math.abs(Math.floor(at / 7) - 2 * (at % 7)) / 6)),
    elapsed: 60_000,
  };
}

interface Parts {
  look?: Partial<EmbeddingsLook>;
  state?: Partial<EmbeddingsState>;
  word?: WordResult | null;
  occurrences?: OccurrencesResult | null;
  neighbours?: CorpusNeighboursResult | null;
  mix?: WordMixResult | null;
  learned?: LearnMixResult | null;
  static?: StaticAnswers | null;
  scores?: StaticScores | null;
  passages?: CorpusNeighboursResult | null;
  compared?: CompareModelsResult | null;
  sentences?: SentenceComparison | null;
  contextuality?: ContextualityResult | null;
}

/** A host that keeps the look. */
function shown({ look = {}, state = {}, ...results }: Parts): Shown {
  const kept = {
    ...{ word: null, occurrences: null, neighbours: null, mix: null, learned: null },
    ...{ sentences: null, contextuality: null, static: null, scores: null, passages: null, compared: null },
    ...results,
  };
  let present: EmbeddingsState = {
    status: 'ready',
    model: { id: 'bert-base-cased', kind: 'masked', state: 'ready' },
    interventions: [],
    subject: { document: 'flood.md', line: 3, context: 'sentence', windowStart: 0, stale: false },
    word: 'bank',
    look: {
      ...{ page: 'word', layer: null, centre: false, projection: 'pca', axes: 2, colour: 'cluster', pool: 'mean' },
      ...{ mix: null, question: null },
      ...look,
    },
    ...{ layers: LAYERS, table: null },
    index: { folder: null, files: 312, state: 'finished', stored: [stored(8), stored(12, false)] },
    revision: {
      word: Number(kept.word !== null),
      occurrences: Number(kept.occurrences !== null),
      neighbours: Number(kept.neighbours !== null),
      mix: Number(kept.mix !== null),
      learned: Number(kept.learned !== null),
      static: Number(kept.static !== null),
      scores: Number(kept.scores !== null),
      passages: Number(kept.passages !== null),
      compared: Number(kept.compared !== null),
      sentences: Number(kept.sentences !== null),
      contextuality: Number(kept.contextuality !== null),
    },
    ...state,
  };
  return {
    state: () => present,
    answers: {
      word: () => kept.word,
      occurrences: () => kept.occurrences,
      neighbours: () => kept.neighbours,
      mix: () => kept.mix,
      learned: () => kept.learned,
      static: () => kept.static,
      scores: () => kept.scores,
      passages: () => kept.passages,
      compared: () => kept.compared,
      sentences: () => kept.sentences,
      contextuality: () => kept.contextuality,
      look: (change) => {
        present = { ...present, look: { ...present.look, ...(change as Partial<EmbeddingsLook>) } };
        return null;
      },
    },
  };
}

const empty = { status: 'empty' } as const;

export const EMBEDDINGS_STATES: Record<string, () => Shown> = {
  word: () => shown({ word: word() }),
  'word-middle': () => shown({ word: word(), look: { layer: 6, centre: true } }),
  'word-changed': () => shown({ word: word(), state: CHANGED }),
  'word-empty': () => shown({ state: { ...empty, word: null, subject: null } }),
  occurrences: () => shown({ look: { page: 'occurrences' }, occurrences: occurrences(140, 2, true) }),
  'occurrences-label': () =>
    shown({ look: { page: 'occurrences', layer: 7, colour: 'label' }, occurrences: occurrences(140, 2, true) }),
  'occurrences-static': () =>
    shown({ look: { page: 'occurrences', layer: 'static' }, occurrences: occurrences(40, 2, false) }),
  'occurrences-3d': () => shown({ look: { page: 'occurrences', axes: 3 }, occurrences: occurrences(400, 3, false) }),
  'occurrences-20000': () =>
    shown({ look: { page: 'occurrences', layer: 8 }, occurrences: occurrences(20_000, 2, false) }),
  'occurrences-empty': () => shown({ look: { page: 'occurrences' }, state: empty }),
  neighbours: () => shown({ look: { page: 'neighbours', layer: 8 }, neighbours: neighbours() }),
  'neighbours-changed': () =>
    shown({ look: { page: 'neighbours', layer: 8 }, neighbours: neighbours(), state: CHANGED }),
  'neighbours-none': () =>
    shown({
      look: { page: 'neighbours', layer: 8 },
      state: { ...empty, index: { folder: null, files: 312, state: 'none', stored: [] } },
    }),
  'neighbours-building': () =>
    shown({
      look: { page: 'neighbours', layer: 8 },
      state: {
        status: 'loading',
        progress: { message: 'notes/river.md: 512 sentences at layer.8', fraction: 0.4 },
        index: { folder: '/texts/corpus', files: 312, state: 'begun', stored: [stored(8, false)] },
      },
    }),
  'neighbours-no-text': () =>
    shown({
      look: { page: 'neighbours' },
      state: { ...empty, word: null, index: { folder: null, files: 0, state: 'none', stored: [] } },
    }),
  mix: () => shown({ look: { page: 'mix' }, mix: mix() }),
  'mix-learned': () =>
    shown({
      look: { page: 'mix', mix: { logits: Array.from({ length: LAYERS + 1 }, (_, layer) => layer / 2 - 3), gamma: 2 } },
      ...{ mix: mix(`${HOSTILE} bank </script> bank`), learned: learned(5) },
    }),
  'mix-empty': () => shown({ look: { page: 'mix' }, learned: learned(0), state: { ...empty, word: null } }),
  static: () =>
    shown({
      look: { page: 'static', question: { words: ['man', 'king', 'woman'], exclude: false } },
      static: staticAnswers(['man', 'king', 'woman']),
      scores: scores('analogies'),
      state: {
        table: {
          ...{ name: 'glove.6B.300d.txt', words: 400_000, width: 300, skipped: 2 },
          told: [
            { line: 3_021, why: 'it has 299 numbers instead of 300' },
            { line: 9_400, why: `“${HOSTILE}” is there twice` },
          ],
        },
      },
    }),
  'static-word': () =>
    shown({
      look: { page: 'static', question: { words: ['kingx'], exclude: true } },
      ...{ static: staticAnswers(['kingx'], true), scores: scores('rated') },
    }),
  'static-changed': () => shown({ look: { page: 'static' }, state: { ...empty, ...CHANGED } }),
  'static-empty': () => shown({ look: { page: 'static' }, state: empty }),
  sentences: () => shown({ look: { page: 'sentences' }, sentences: sentences(6) }),
  'sentences-passages': () => shown({ look: { page: 'sentences' }, sentences: sentences(3), passages: passages() }),
  'sentences-changed': () =>
    shown({ look: { page: 'sentences' }, sentences: sentences(3), passages: passages(), state: CHANGED }),
  'sentences-60': () => shown({ look: { page: 'sentences' }, sentences: sentences(60) }),
  'sentences-empty': () => shown({ look: { page: 'sentences' }, state: empty }),
  contextuality: () => shown({ look: { page: 'contextuality' }, contextuality: contextuality(), compared: compared() }),
  'contextuality-changed': () =>
    shown({ look: { page: 'contextuality' }, contextuality: contextuality(), compared: compared(), state: CHANGED }),
  'contextuality-empty': () => shown({ look: { page: 'contextuality' }, state: empty }),
  hostile: () =>
    shown({
      word: { ...word(`${HOSTILE} bank </script> "&amp;\u202e]]> bank`), notes: [HOSTILE] },
      state: { model: { id: HOSTILE, kind: 'unknown', state: 'ready' }, word: HOSTILE },
    }),
  stale: () =>
    shown({
      word: word(),
      state: { subject: { document: 'flood.md', line: 3, context: 'sentence', windowStart: 0, stale: true } },
    }),
  loading: () =>
    shown({
      look: { page: 'occurrences' },
      occurrences: occurrences(140, 2, true),
      state: { status: 'loading', progress: { message: 'UMAP of 140 points', fraction: 0.4 } },
    }),
  error: () =>
    shown({
      state: {
        status: 'error',
        error: {
          code: 'model-unsupported',
          message: 'Hidden state 3 cannot be read: its operators are fused in a form that is not known.',
          hint: '“lens inspect” lists what was found in the model, and why the rest is missing.',
        },
      },
    }),
};
