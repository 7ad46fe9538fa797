/** The Probes view with a run over facts, as the host would send it. */
import type {
  ProbeFactDetails,
  ProbeRow,
  ProbesComparison,
  ProbesPage,
  ProbesState,
  ProbesSummary,
  RelationLine,
  ShownRun,
} from '../../extension/protocol/probesView';
import type { Shown } from './fakeHost';

const RUN: ShownRun = {
  id: 'a',
  title: 'lecture.cloze',
  model: 'bert-base-cased',
  changes: [],
  startedAt: Date.UTC(2026, 10, 25, 14, 30),
  ...{ state: 'finished', facts: 8, total: 8, p1: 0.4166, repeatable: true },
};
const OTHER: ShownRun = {
  ...RUN,
  id: 'b',
  model: 'gpt2',
  startedAt: RUN.startedAt - 86_400_000,
  p1: 0.25,
  repeatable: false,
};
const CANCELLED: ShownRun = { ...OTHER, id: 'c', title: 'trex', state: 'cancelled', facts: 1210, total: 34_039 };
const STATE: ProbesState = {
  ...{ status: 'ready', page: 'facts', run: 'a', other: null, models: ['bert-base-cased', 'gpt2'] },
  model: { id: 'bert-base-cased', kind: 'masked', state: 'ready' },
  interventions: [],
  runs: [RUN, OTHER, CANCELLED],
  revision: { rows: 1, summary: 1, comparison: 1 },
};

type Top = ProbeRow['top'];
const top = (...list: [string, number][]): Top => list.map(([text, logprob]) => ({ text, logprob }));
const fact = (relation: string, query: string, answer: string, rank: number, logprob: number, said: Top): ProbeRow => ({
  ...{ relation, query, answer, rank, logprob, top: said, why: null, place: null },
  status: rank === 1 ? 'right' : 'wrong',
});

const ROWS: ProbeRow[] = [
  fact(
    'place-of-birth',
    'Francesco Bartolomeo Conti was born in ____.',
    'Florence',
    2,
    -1.82,
    top(['Rome', -1.8], ['Florence', -1.82], ['Naples', -1.9], ['Milan', -2.4], ['Bologna', -2.5]),
  ),
  fact(
    'place-of-death',
    'Adolphe Adam died in ____.',
    'Paris',
    1,
    -0.52,
    top(['Paris', -0.52], ['London', -3.5], ['Vienna', -3.6], ['Berlin', -3.8], ['Brussels', -4.0]),
  ),
  fact(
    'language',
    'The official language of Mauritius is ____.',
    'English',
    1,
    -0.57,
    top(['English', -0.57], ['French', -1.2], ['Arabic', -3.9], ['Tamil', -4.2], ['Malayalam', -4.4]),
  ),
  fact(
    'position',
    'Patrick Oboya plays in ____ position.',
    'midfielder',
    11,
    -6.1,
    top(['centre', -2.0], ['center', -2.2], ['midfield', -2.3], ['forward', -2.4], ['midfielder', -2.4]),
  ),
  { ...fact('capital', 'The capital of Kazakhstan is ____.', 'Nur Sultan', 1, -7.4, []), status: 'joint', rank: null },
  {
    ...fact('capital', 'The capital of Myanmar is ____.', 'Naypyidaw', 1, -3, []),
    status: 'skipped',
    rank: null,
    logprob: null,
    why: 'answer is unknown to the tokenizer: “Naypyidaw” is read as [UNK]',
  },
  {
    ...fact(
      'notes.md',
      'You are likely to find a overflow in a ____.',
      '',
      1,
      -3,
      top(['sewer', -3.1], ['canal', -3.2]),
    ),
    status: 'open',
    rank: null,
    logprob: null,
  },
  fact(
    'religion',
    'The official religion of Oman is ____.',
    'Islam',
    1,
    -0.4,
    top(['Islam', -0.4], ['Christianity', -2.9], ['Hinduism', -4.9]),
  ),
];

const DETAILS: ProbeFactDetails = {
  place: { file: 'lecture.cloze', line: 7 },
  answers: [
    {
      ...{
        label: '',
        query: 'Francesco Bartolomeo Conti was born in ____.',
        answer: 'Florence',
        logprob: -1.82,
        rank: 2,
      },
      top: top(['Rome', -1.8], ['Florence', -1.82], ['Naples', -1.9], ['Milan', -2.4]).map((each, id) => ({
        ...{ id, token: each.text },
        ...each,
      })),
    },
  ],
};

const LAYERS = (n: number, p1: number): RelationLine['layers'] =>
  Array.from({ length: 13 }, (_, layer) => {
    const share = 1 / (1 + Math.exp(8 - layer));
    return { n, p1: p1 * share, mrr: (p1 + 0.1) * share, meanLogprob: -12 + 9 * share };
  });
const line = (relation: string, n: number, p1: number, majority: number, details: string[] = []): RelationLine => ({
  ...{ relation, template: '[X] was born in [Y].', n, p1, p10: Math.min(1, p1 + 0.3), mrr: p1 + 0.1 },
  intervals: {
    p1: { low: Math.max(0, p1 - 0.08), high: Math.min(1, p1 + 0.08) },
    p10: { low: p1, high: Math.min(1, p1 + 0.4) },
    mrr: { low: p1, high: p1 + 0.2 },
  },
  ...{ meanLogprob: -3.21, majority, details, layers: n === 0 ? null : LAYERS(n, p1) },
});
const SUMMARY: ProbesSummary = {
  relations: [
    line('place-of-birth', 944, 0.149, 0.095),
    line('capital', 233, 0.618, 0.02, [
      'negated P@1 40.00 %, same first prediction 71.00 %, overlap of the top 83.10 %',
      '2 facts left out: answer is unknown to the tokenizer',
    ]),
    line('official-language-of-a-place-with-a-very-long-name', 900, 0.552, 0.3),
    line('nothing', 0, 0, 0, ['3 facts left out: no usable template']),
  ],
  macro: (({ p1, p10, mrr, intervals }) => ({ p1, p10, mrr, intervals }))(line('', 0, 0.4166, 0)),
  ranking: 'vocabulary',
  notes: [
    'Of the 21,000 words of the vocabulary file 20,998 are one token of this model; answers are ranked among these.',
  ],
};
const COMPARISON: ProbesComparison = {
  ...{ first: 'lecture.cloze · gpt2', second: 'lecture.cloze · bert-base-cased', unpaired: 3 },
  relations: [
    {
      relation: 'place-of-birth',
      n: 944,
      first: 0.11,
      second: 0.149,
      gained: 60,
      lost: 23,
      right: 80,
      wrong: 781,
      p: 5.8e-5,
    },
    { relation: 'capital', n: 233, first: 0.6, second: 0.618, gained: 9, lost: 5, right: 135, wrong: 84, p: 0.424 },
  ],
  all: { n: 1177, first: 0.2073, second: 0.2421, gained: 69, lost: 28, right: 215, wrong: 865, p: 3.8e-5 },
  changes: [
    {
      relation: 'place-of-birth',
      subject: 'Francesco Bartolomeo Conti',
      answers: ['Florence'],
      change: 'gained',
      index: 0,
    },
    { relation: 'capital', subject: 'Australia', answers: ['Canberra'], change: 'lost', index: 4 },
  ],
};

const HOSTILE = '<img src=x onerror=alert(1)>\u202e' + 'long'.repeat(30);

/** A host of its own, which turns the pages. */
function host(change: Partial<ProbesState> = {}, rows: ProbeRow[] = ROWS): () => Shown {
  return () => {
    let state: ProbesState = { ...STATE, ...change };
    return {
      state: () => state,
      answers: {
        look: (params) => {
          state = { ...state, ...(params as { page: ProbesPage }) };
        },
        rows: () => rows,
        summary: () => SUMMARY,
        comparison: () => COMPARISON,
        details: () => DETAILS,
      },
    };
  };
}

const many = (): ProbeRow[] =>
  Array.from({ length: 5000 }, (_, index) => ({
    ...(ROWS[index % ROWS.length] as ProbeRow),
    relation: `P${index % 41}`,
  }));

export const PROBES_STATES: Record<string, () => Shown> = {
  facts: host(),
  relations: host({ page: 'relations' }),
  compare: host({ page: 'compare', other: 'b' }),
  'compare-empty': host({ page: 'compare' }),
  changed: host({
    ...{ page: 'compare', other: 'd', interventions: [{ layer: 7, head: 9, scale: 0 }] },
    runs: [RUN, OTHER, { ...RUN, id: 'd', changes: [{ layer: 9, neuron: 1234, scale: 2 }], repeatable: false }],
  }),
  layers: host({ page: 'layers' }),
  runs: host({ page: 'runs' }),
  empty: host({ status: 'empty', runs: [], run: null }),
  loading: host({
    status: 'loading',
    progress: { message: 'lecture.cloze: 3 of 8 facts', fraction: 0.375 },
    runs: [{ ...RUN, state: 'running', facts: 3, p1: null }],
  }),
  error: host({
    status: 'error',
    error: { code: 'bad-input', message: 'distilbert has no mask token.', hint: 'Select a masked language model.' },
  }),
  many: () => host({}, many())(),
  hostile: host(
    { model: { id: HOSTILE, kind: 'masked', state: 'ready' }, runs: [{ ...RUN, title: HOSTILE, model: HOSTILE }] },
    [fact(HOSTILE, HOSTILE, HOSTILE, 1, -0.1, top([HOSTILE, -0.1]))],
  ),
};
