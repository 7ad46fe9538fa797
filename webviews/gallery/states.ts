/** Made-up but plausible states of the views: every look that a person can meet. */
import type { CandidateScore, FillMaskResult, MaskResult, Prediction } from '../../extension/protocol/engine';
import type { Scale } from '../../extension/protocol/interventions';
import type { ClozeState, ObjectivesState } from '../../extension/protocol/view';

/** Every token has one id, whatever list it stands in. */
const VOCABULARY: string[] = [];
const idOf = (token: string): number => {
  if (!VOCABULARY.includes(token)) VOCABULARY.push(token);
  return 1000 + VOCABULARY.indexOf(token);
};

const predictions = (...words: [token: string, prob: number][]): Prediction[] =>
  words.map(([token, prob]) => ({
    id: idOf(token),
    token,
    text: token.replace(/^##/, ''),
    prob,
    logprob: Math.log(prob),
  }));

const LANGUAGES = predictions(
  ['French', 0.391],
  ['English', 0.188],
  ['Creole', 0.061],
  ['Arabic', 0.03],
  ['Spanish', 0.024],
  ['Dutch', 0.019],
  ['Hindi', 0.012],
  ['##ian', 0.004],
  ['Portuguese', 0.003],
  ['Tamil', 0.00002],
);

const MALTA = predictions(
  ['Maltese', 0.452],
  ['English', 0.271],
  ['Italian', 0.092],
  ['Arabic', 0.041],
  ['French', 0.022],
);

function tokens(pieces: string[], masks: number[]): FillMaskResult['tokens'] {
  let at = 0;
  return pieces.map((token, index) => {
    const special = index === 0 || index === pieces.length - 1;
    const text = token.replace(/^##/, '');
    if (!token.startsWith('##') && index > 1 && token !== '.') at += 1;
    const range = special ? null : { start: at, end: at + text.length };
    if (!special) at += text.length;
    const mask = masks.indexOf(index);
    return { index, id: 100 + index, token, range, special, mask: mask < 0 ? null : mask };
  });
}

const mask = (position: number, target: number, list: Prediction[], actual: number | null): MaskResult => ({
  position,
  target,
  predictions: list,
  entropy: 1.92,
  actual: actual === null ? null : { ...(list[actual] as Prediction), rank: actual + 1 },
});

const SINGLE: FillMaskResult = {
  model: 'bert-base-cased',
  kind: 'masked',
  tokens: tokens(
    ['[CLS]', 'The', 'official', 'language', 'of', 'Mau', '##rit', '##ius', 'is', '[MASK]', '.', '[SEP]'],
    [9],
  ),
  window: { range: { start: 0, end: 46 }, tokens: 12, truncatedStart: false, truncatedEnd: false },
  targets: [{ range: { start: 38, end: 45 }, text: 'English', masks: 1, maskIndices: [0], fit: 'tokens' }],
  masks: [mask(9, 0, LANGUAGES, 1)],
  joint: [],
  actualLogprob: Math.log(0.188),
  candidates: [],
  vocabSize: 28996,
  elapsed: 41,
};

const SEVERAL: FillMaskResult = {
  ...SINGLE,
  tokens: tokens(['[CLS]', 'He', 'moved', 'to', '[MASK]', '[MASK]', 'last', 'year', '.', '[SEP]'], [4, 5]),
  window: { range: { start: 0, end: 34 }, tokens: 10, truncatedStart: true, truncatedEnd: true },
  targets: [{ range: { start: 12, end: 23 }, text: 'Los Angeles', masks: 2, maskIndices: [0, 1], fit: 'tokens' }],
  masks: [
    mask(4, 0, predictions(['New', 0.31], ['Los', 0.18], ['San', 0.12], ['the', 0.08]), 1),
    mask(5, 0, predictions(['York', 0.42], ['Angeles', 0.21], ['Francisco', 0.09], ['States', 0.01]), 1),
  ],
  joint: [
    {
      texts: ['New York'],
      tokens: [['New', 'York']],
      ids: [[1, 2]],
      logprob: -0.21,
      logprobs: [-0.1, -0.11],
      independent: true,
    },
    {
      texts: ['Los Angeles'],
      tokens: [['Los', 'Angeles']],
      ids: [[3, 4]],
      logprob: -0.34,
      logprobs: [-0.2, -0.14],
      independent: false,
    },
  ],
  actualLogprob: -0.34,
};

/** Two words masked, one token each. */
const TWO_PLACES: FillMaskResult = {
  ...SEVERAL,
  targets: [
    { range: { start: 12, end: 15 }, text: 'Los', masks: 1, maskIndices: [0], fit: 'tokens' },
    { range: { start: 16, end: 23 }, text: 'Angeles', masks: 1, maskIndices: [1], fit: 'tokens' },
  ],
  masks: SEVERAL.masks.map((each, target) => ({ ...each, target })),
};

const HOSTILE = '<img src=x onerror=alert(1)>';

const CLOZE: ClozeState = {
  status: 'ready',
  model: { id: 'bert-base-cased', kind: 'masked', state: 'ready' },
  interventions: [],
  subject: { document: 'languages.md', line: 14, context: 'sentence', windowStart: 0, stale: false },
  result: SINGLE,
  pinned: null,
  compared: null,
  comparable: [],
  follow: false,
  masks: 'auto',
  candidates: [],
  topK: 10,
  history: { index: 1, length: 3 },
  canInsert: true,
};

/** A head off, a memory doubled at one token, and one turned round. */
const CHANGES: Scale[] = [
  { layer: 7, head: 9, scale: 0 },
  { layer: 9, neuron: 1234, scale: 2, position: 7 },
  { layer: 10, neuron: 2038, scale: -0.5 },
];
/** French and English change places with Creole. */
const AFTER = predictions(['Creole', 0.41], ['French', 0.2], ['English', 0.074], ['Arabic', 0.031], ['Dutch', 0.012]);
const logprobIn = (list: readonly Prediction[], id: number): number =>
  list.find((each) => each.id === id)?.logprob ?? -11.5;
const candidate = (text: string, list: readonly Prediction[]): CandidateScore => {
  const logprob = logprobIn(list, idOf(text));
  return { text, tokens: [text], logprob, meanLogprob: logprob, rank: 2, share: 0.5 };
};
const CHANGED: FillMaskResult = {
  ...SINGLE,
  masks: [mask(9, 0, AFTER, 2)],
  candidates: ['English', 'French'].map((text) => candidate(text, AFTER)),
  unchanged: {
    masks: [
      {
        ...mask(9, 0, LANGUAGES, 1),
        logprobs: AFTER.map(({ id }) => logprobIn(LANGUAGES, id)),
        after: LANGUAGES.map(({ id }) => logprobIn(AFTER, id)),
      },
    ],
    candidates: ['English', 'French'].map((text) => candidate(text, LANGUAGES)),
    actualLogprob: Math.log(0.188),
  },
};

const causal: FillMaskResult = {
  ...SINGLE,
  model: 'gpt2-a-model-with-a-rather-long-name',
  kind: 'causal',
  masks: [
    mask(9, 0, predictions(['English', 0.12], ['the', 0.09], ['French', 0.07], ['a', 0.05], ['Creole', 0.01]), 0),
  ],
};

/** The same text to a model that reads “Los Angeles” as three tokens. */
const causalSeveral: FillMaskResult = {
  ...SEVERAL,
  model: causal.model,
  kind: 'causal',
  targets: [{ range: { start: 12, end: 23 }, text: 'Los Angeles', masks: 3, maskIndices: [0, 1, 2], fit: 'tokens' }],
  masks: [
    mask(4, 0, predictions(['the', 0.21], ['Los', 0.11], ['London', 0.07]), 1),
    mask(5, 0, predictions(['Ange', 0.88], ['Al', 0.04], ['G', 0.01]), 0),
    mask(6, 0, predictions(['les', 0.97], ['los', 0.01], ['ls', 0.005]), 0),
  ],
};

export const CLOZE_STATES: Record<string, ClozeState> = {
  ready: CLOZE,
  followed: { ...CLOZE, follow: true, candidates: ['French'], history: { index: 0, length: 1 } },
  empty: { ...CLOZE, status: 'empty', result: null, subject: null, history: { index: 0, length: 0 } },
  loading: { ...CLOZE, status: 'loading', progress: { message: 'Loading bert-base-cased (110 MB)', fraction: 0.4 } },
  'loading-first': { ...CLOZE, status: 'loading', result: null, progress: { message: 'Predicting…' } },
  error: {
    ...CLOZE,
    status: 'error',
    result: null,
    error: {
      code: 'external-data',
      message: 'The weights file model.onnx_data is too short: needs 94269440 bytes, the file has 133.',
      hint: 'It was probably not downloaded whole; get the file again.',
    },
  },
  oldest: { ...CLOZE, history: { index: 0, length: 3 } },
  stale: { ...CLOZE, canInsert: false, subject: CLOZE.subject && { ...CLOZE.subject, stale: true } },
  several: { ...CLOZE, result: SEVERAL, masks: 2 },
  candidates: {
    ...CLOZE,
    candidates: ['French', 'Mauritian Creole'],
    result: {
      ...SINGLE,
      candidates: [
        { text: 'French', tokens: ['French'], logprob: -0.94, meanLogprob: -0.94, rank: 1, share: 0.99 },
        {
          text: 'Mauritian Creole',
          tokens: ['Mau', '##rit', '##ian', 'Creole'],
          logprob: -7.31,
          meanLogprob: -1.83,
          rank: null,
          share: 0.01,
        },
      ],
    },
  },
  compared: {
    ...CLOZE,
    pinned: {
      label: 'The official language of Malta is ____.',
      result: { ...SINGLE, masks: [mask(9, 0, MALTA, 1)] },
    },
    comparable: ['gpt2', causal.model],
    compared: { model: { id: causal.model, kind: 'causal', state: 'ready' }, result: causal },
  },
  changed: { ...CLOZE, interventions: CHANGES, result: CHANGED, candidates: ['English', 'French'] },
  'changed-many': {
    ...CLOZE,
    interventions: Array.from({ length: 40 }, (_, neuron) => ({ layer: 9, neuron, scale: 1.5, position: 99 })),
    result: CHANGED,
  },
  'compared-several': {
    ...CLOZE,
    result: TWO_PLACES,
    comparable: [causal.model],
    compared: {
      model: { id: causal.model, kind: 'causal', state: 'ready' },
      result: { ...TWO_PLACES, model: causal.model, kind: 'causal' },
    },
  },
  'compared-unequal': {
    ...CLOZE,
    result: SEVERAL,
    comparable: [causal.model],
    compared: { model: { id: causal.model, kind: 'causal', state: 'ready' }, result: causalSeveral },
  },
  partial: {
    ...CLOZE,
    result: {
      ...SINGLE,
      targets: [
        {
          range: { start: 38, end: 41 },
          text: 'Eng',
          masks: 1,
          maskIndices: [0],
          fit: 'text',
          note: 'The selection ends inside the token English; the model sees [MASK]lish.',
        },
      ],
      masks: [mask(9, 0, LANGUAGES, null)],
    },
  },
  hostile: {
    ...CLOZE,
    model: { id: HOSTILE, kind: 'masked', state: 'failed' },
    subject: { document: HOSTILE, line: 1, context: 'window', windowStart: 0, stale: false },
    candidates: [HOSTILE],
    result: {
      ...SINGLE,
      tokens: tokens(['[CLS]', HOSTILE, '[MASK]', '\u202eevil', '[SEP]'], [2]),
      masks: [mask(2, 0, predictions([HOSTILE, 0.5], ['\u202eevil\n', 0.2]), 0)],
      candidates: [{ text: HOSTILE, tokens: [HOSTILE], logprob: -1, meanLogprob: -1, rank: 1, share: 1 }],
    },
  },
};

const OBJECTIVES: ObjectivesState = {
  status: 'ready',
  model: { id: 'bert-base-cased', kind: 'masked', state: 'ready' },
  interventions: [],
  subject: { document: 'languages.md', line: 14, context: 'window', windowStart: 0, stale: false },
  seed: 7,
  wholeWord: false,
  corrupt: {
    model: 'bert-base-cased',
    seed: 7,
    tokens: tokens(
      ['[CLS]', 'The', '[MASK]', 'language', 'potato', 'Mau', '##rit', '##ius', 'is', 'English', '.', '[SEP]'],
      [],
    ).map(({ mask: _mask, ...token }) => ({ ...token, chosen: { 2: 0, 4: 1, 9: 2 }[token.index] ?? null })),
    window: SINGLE.window,
    chosen: (
      [
        [2, 'official', '[MASK]', 'mask', 0],
        [4, 'of', 'potato', 'random', 0],
        [9, 'English', 'English', 'keep', 1],
      ] as const
    ).map(([position, original, replacement, action, rank]) => ({
      position,
      range: { start: 0, end: 1 },
      original: { id: 1, token: original },
      replacement: { id: 2, token: replacement },
      action,
      predictions: rank === 0 ? predictions([original, 0.7]) : LANGUAGES.slice(0, 3),
      actual: { ...(predictions([original, 0.7])[0] as Prediction), rank: rank + 1 },
      recovered: rank === 0,
    })),
    loss: 0.842,
    elapsed: 50,
  },
  nextSentence: {
    first: 'He bought a ticket at the station.',
    second: 'Then he boarded the train to Berlin.',
    result: {
      model: 'bert-base-cased',
      isNext: 0.987,
      notNext: 0.013,
      tokens: 20,
      notes: ['The next-sentence head is not Google’s: it was refitted.'],
    },
  },
};

export const OBJECTIVES_STATES: Record<string, ObjectivesState> = {
  ready: OBJECTIVES,
  changed: { ...OBJECTIVES, interventions: CHANGES },
  empty: { ...OBJECTIVES, status: 'empty', corrupt: null, nextSentence: null, subject: null },
  error: {
    ...OBJECTIVES,
    status: 'error',
    error: {
      code: 'no-nsp-head',
      message: 'gpt2 has no next-sentence head in its file.',
      hint: 'The included bert-base-cased has one.',
    },
  },
};
