/** The host's side of the Attention view without VS Code: what is asked, what answers belong to, colours, exports, saved states. */
import assert from 'node:assert/strict';
import { attentionStep, coloredWords, stepFrom, unitAt, weightsOf } from '../../extension/editor/attentionScale';
import { Answer } from '../../extension/panels/answer';
import { attentionExport, type AttentionResults } from '../../extension/panels/attentionExport';
import {
  ablationOf,
  aligned,
  colorSelection,
  comparable,
  FIRST_LOOK,
  fitLook,
  nextHead,
  placeOf,
  requireSameTokens,
  tokenAt,
} from '../../extension/panels/attentionPlan';
import { csvPieces } from '../../extension/panels/export';
import type { AttentionMaps, AttentionToken } from '../../extension/protocol/attention';
import { LensError } from '../../extension/protocol/errors';
import { withIntervention, type Scale } from '../../extension/protocol/interventions';
import { readSavedAttention, type SavedAttention } from '../../extension/protocol/savedAttention';

const token = (index: number, text: string, start: number | null, word: number, of: 0 | 1 = 0): AttentionToken => ({
  index,
  id: 100 + index,
  token: text,
  range: start === null ? null : { start, end: start + text.replace('##', '').length },
  special: start === null,
  text: of,
  word,
});
/** [CLS] Ad ##ol sat [SEP] He [SEP], of “Adol sat” and “He”. */
const TOKENS = [
  token(0, '[CLS]', null, 0),
  token(1, 'Ad', 0, 1),
  token(2, '##ol', 2, 1),
  token(3, 'sat', 5, 2),
  token(4, '[SEP]', null, 3),
  token(5, 'He', 0, 4, 1),
  token(6, '[SEP]', null, 5, 1),
];
const DATA = Float32Array.of(0.5, 0.25, 0.25, 0.125, 0.75, 0.125, 0, 0.5, 0.5);
/** [CLS] Adol sat */
const MAPS: AttentionMaps = {
  model: 'm',
  tokens: TOKENS.slice(0, 4),
  window: { range: { start: 0, end: 8 }, tokens: 4, truncatedStart: false, truncatedEnd: false },
  units: [
    { label: '[CLS]', range: null, special: true, text: 0, tokens: [0] },
    { label: 'Adol', range: { start: 0, end: 4 }, special: false, text: 0, tokens: [1, 2] },
    { label: 'sat', range: { start: 5, end: 8 }, special: false, text: 0, tokens: [3] },
  ],
  maps: [{ label: 'L1H2', heads: [{ layer: 1, head: 2 }] }],
  data: DATA,
  rowsSumToOne: true,
  mixing: null,
  note: '',
  elapsed: 1,
};
const is = (code: string) => (error: unknown) => error instanceof LensError && error.code === code;

describe('an answer of the Attention view', () => {
  const held = () => {
    let end: (value: string) => void = () => undefined;
    let fail: (error: Error) => void = () => undefined;
    const result = new Promise<string>((resolve, reject) => ([end, fail] = [resolve, reject]));
    return { work: () => result, end, fail };
  };

  it('is asked for once, and known by a number that is not used again', async () => {
    const answer = new Answer<string>(() => undefined);
    assert.equal(answer.revision, 0);
    let asked = 0;
    const work = async (): Promise<string> => `answer ${(asked += 1)}`;
    await Promise.all([answer.want('a', work), answer.want('a', work)]);
    await answer.want('a', work);
    assert.deepEqual(
      [asked, answer.result, answer.resultOf('a'), answer.resultOf('b')],
      [1, 'answer 1', 'answer 1', null],
    );
    const first = answer.revision;
    answer.clear();
    assert.equal(answer.revision, 0);
    await answer.want('a', work);
    assert.equal(answer.result, 'answer 2');
    assert.notEqual(answer.revision, first);
    answer.forget();
    await answer.want('a', work);
    assert.equal(answer.result, 'answer 3');
  });

  it('stays while a newer one is computed, and goes when that fails or is cancelled', async () => {
    const answer = new Answer<string>(() => undefined);
    await answer.want('a', async () => 'old');
    const failing = held();
    const asked = answer.want('b', failing.work);
    assert.deepEqual([answer.loading, answer.result, answer.resultOf('b')], [true, 'old', null]);
    failing.fail(new LensError('memory', 'no memory'));
    await asked;
    assert.deepEqual([answer.loading, answer.result, answer.error?.code], [false, null, 'memory']);
    await answer.want('b', async () => 'new');
    assert.deepEqual([answer.result, answer.error], ['new', null]);
    const slow = held();
    const cancelled = answer.want('c', slow.work);
    answer.cancel();
    slow.end('too late');
    await cancelled;
    assert.deepEqual([answer.loading, answer.result, answer.error], [false, null, null]);
  });

  it('drops an older one that comes after a newer', async () => {
    const answer = new Answer<string>(() => undefined);
    const [older, newer] = [held(), held()];
    const first = answer.want('a', older.work);
    const second = answer.want('b', newer.work);
    newer.end('newer');
    await second;
    older.end('older');
    await first;
    assert.deepEqual([answer.result, answer.resultOf('b')], ['newer', 'newer']);
  });
});

describe('what the Attention view asks for', () => {
  it('finds tokens at places of both texts, and the word around a token', () => {
    assert.equal(tokenAt(TOKENS, { text: 0, range: { start: 3, end: 3 } }), 2);
    assert.equal(tokenAt(TOKENS, { text: 0, range: { start: 0, end: 4 } }), 1);
    assert.equal(tokenAt(TOKENS, { text: 1, range: { start: 0, end: 2 } }), 5);
    assert.equal(tokenAt(TOKENS, { text: 1, range: { start: 5, end: 8 } }), null);
    assert.deepEqual(placeOf(TOKENS, 2, true), { text: 0, range: { start: 0, end: 4 } });
    assert.deepEqual(placeOf(TOKENS, 2, false), { text: 0, range: { start: 2, end: 4 } });
    assert.equal(placeOf(TOKENS, 0, true), null);
  });

  it('steps through heads and around, and forgets heads that a model lacks', () => {
    const size = { layers: 2, heads: 3 };
    const at = (layer: number, head: number) => ({ ...FIRST_LOOK, layer, heads: [{ layer, head }] });
    assert.deepEqual(nextHead(at(0, 2), size, 1), { layer: 1, head: 0 });
    assert.deepEqual(nextHead(at(1, 2), size, 1), { layer: 0, head: 0 });
    assert.deepEqual(nextHead(at(0, 0), size, -1), { layer: 1, head: 2 });
    assert.deepEqual(nextHead({ ...FIRST_LOOK, layer: 1 }, size, 1), { layer: 1, head: 0 });
    assert.deepEqual(nextHead({ ...FIRST_LOOK, layer: 1 }, size, -1), { layer: 1, head: 2 });
    const look = {
      ...at(5, 1),
      heads: [
        { layer: 5, head: 1 },
        { layer: 1, head: 2 },
      ],
    };
    assert.deepEqual(fitLook(look, size), { ...look, layer: 1, heads: [{ layer: 1, head: 2 }] });
    assert.equal(fitLook(at(1, 1), size).heads.length, 1);
  });

  it('keeps one change a head, in order, and takes it back at 1', () => {
    const one = withIntervention([], { layer: 1, head: 0, scale: 0 });
    const two = withIntervention(one, { layer: 0, head: 5, scale: 2 });
    assert.deepEqual(two, [
      { layer: 0, head: 5, scale: 2 },
      { layer: 1, head: 0, scale: 0 },
    ]);
    assert.deepEqual(withIntervention(two, { layer: 1, head: 0, scale: 0.5 })[1]?.scale, 0.5);
    assert.deepEqual(withIntervention(one, { layer: 1, head: 0, scale: 1 }), []);
  });

  it('keeps what holds at one token beside what holds everywhere, and neurons beside heads', () => {
    const all = [
      { layer: 1, neuron: 2, scale: 0 },
      { layer: 1, head: 2, scale: 2, position: 3 },
      { layer: 1, head: 2, scale: 0 },
    ].reduce<Scale[]>(withIntervention, []);
    assert.deepEqual(all, [
      { layer: 1, head: 2, scale: 0 },
      { layer: 1, head: 2, scale: 2, position: 3 },
      { layer: 1, neuron: 2, scale: 0 },
    ]);
    assert.deepEqual(withIntervention(all, { layer: 1, head: 2, scale: 1 }), all.slice(1));
    assert.deepEqual(withIntervention(all, { layer: 1, head: 2, scale: 1, position: 3 }), [all[0], all[2]]);
  });

  it('measures the word at the target where the model has to predict it', () => {
    assert.deepEqual(ablationOf('masked', TOKENS, 3), {
      target: { position: 3, token: 103 },
      masked: [{ start: 5, end: 8 }],
    });
    const mask = { ...token(3, '[MASK]', 5, 2), special: true };
    assert.deepEqual(ablationOf('masked', [...TOKENS.slice(0, 3), mask], 3), { target: { position: 3 } });
    assert.deepEqual(ablationOf('causal', TOKENS, 3), { target: { position: 3, token: 103 } });
    assert.deepEqual(ablationOf('masked', TOKENS, null), {});
    for (const index of [0, 5, 99]) assert.throws(() => ablationOf('masked', TOKENS, index), is('bad-input'));
  });

  it('colours by one picture of words', () => {
    const look = { ...FIRST_LOOK, words: false, combine: 'each' as const };
    assert.deepEqual([colorSelection(look).words, colorSelection(look).combine], [true, 'mean']);
    assert.equal(colorSelection({ ...look, combine: 'max' }).combine, 'max');
  });

  it('compares only what has the same rows and columns, and models with the same tokens', () => {
    const other = { ...MAPS, units: MAPS.units.map((unit, at) => (at === 2 ? { ...unit, label: '[MASK]' } : unit)) };
    assert.equal(aligned(MAPS, MAPS, true), true);
    assert.equal(aligned(MAPS, other, true), false);
    assert.equal(aligned(MAPS, other, false), true);
    assert.equal(aligned(MAPS, { ...MAPS, units: MAPS.units.slice(1) }, false), false);
    requireSameTokens(MAPS, MAPS);
    const cut = { ...MAPS, model: 'n', tokens: MAPS.tokens.slice(0, 3) };
    assert.throws(() => requireSameTokens(MAPS, cut), /position 3 one has “sat”, the other nothing more/);
  });

  it('says what could be compared, and what is missing for the rest', () => {
    const facts = { look: FIRST_LOOK, kept: null, target: null, masks: true, interventions: [], others: ['gpt2'] };
    const enabled = (more: Partial<typeof facts> | object) =>
      comparable({ ...facts, ...more }).flatMap(({ kind, enabled: on }) => (on ? [kind] : []));
    assert.deepEqual(enabled({}), ['models']);
    assert.deepEqual(enabled({ kept: 'a.txt:3', look: { ...FIRST_LOOK, heads: [{ layer: 0, head: 0 }] } }), [
      'heads',
      'texts',
      'models',
    ]);
    const target = { text: 0 as const, range: { start: 0, end: 2 } };
    assert.deepEqual(enabled({ target, others: [] }), ['masked']);
    assert.deepEqual(enabled({ target, masks: false, others: [] }), []);
    assert.deepEqual(enabled({ interventions: [{ layer: 0, head: 1, scale: 0 }] }), ['interventions', 'models']);
    for (const { detail, enabled: on } of comparable(facts)) assert.ok(on || detail.length > 0);
  });
});

describe('attention as colours', () => {
  it('reads a row for what a word attends to, a column for what attends to it', () => {
    assert.deepEqual([...weightsOf(MAPS, 1, 'from')], [0.125, 0.75, 0.125]);
    assert.deepEqual([...weightsOf(MAPS, 1, 'to')], [0.25, 0.75, 0.5]);
  });

  it('gives the strongest word the last step, none to nothing, and counts special tokens apart', () => {
    const { words, strongest, elsewhere } = coloredWords(MAPS, 1, 'from');
    assert.deepEqual(
      words.map(({ unit, weight, step }) => [unit.label, weight, step]),
      [
        ['Adol', 0.75, 7],
        ['sat', 0.125, 2],
      ],
    );
    assert.deepEqual([strongest, elsewhere], [0.75, 0.125]);
    for (const weight of [0, Number.NaN, -1]) assert.equal(attentionStep(weight, 1), 0);
    for (let step = 1; step <= 7; step += 1) {
      assert.equal(attentionStep(stepFrom(step, 0.3) * 1.001, 0.3), step);
      assert.equal(attentionStep(stepFrom(step, 0.3) * 0.999, 0.3), step - 1);
    }
  });

  it('finds the word at a caret, also at its end', () => {
    assert.equal(unitAt(MAPS.units, 0, { start: 4, end: 4 }), 1);
    assert.equal(unitAt(MAPS.units, 0, { start: 5, end: 8 }), 2);
    assert.equal(unitAt(MAPS.units, 1, { start: 5, end: 8 }), -1);
  });
});

describe('exports of attention', () => {
  const none: AttentionResults = {
    ...{ overview: null, maps: null, steps: null, comparison: null, effects: null },
    ...{ together: null, weights: null, corpus: null, relations: null },
  };
  it('has a row a query and a column a key', () => {
    const { rows } = attentionExport('head', { ...none, maps: MAPS });
    assert.equal(
      [...csvPieces(rows)].join(''),
      'map,index,query,0 [CLS],1 Adol,2 sat\r\nL1H2,0,[CLS],0.5,0.25,0.25\r\nL1H2,1,Adol,0.125,0.75,0.125\r\nL1H2,2,sat,0,0.5,0.5\r\n',
    );
  });
  it('names the rows of both pictures of a comparison', () => {
    const comparison = { kind: 'heads', labels: ['L1H2', 'L0H0'], maps: [MAPS, MAPS], aligned: true } as const;
    const rows = [
      ...attentionExport('compare', {
        ...none,
        comparison: { ...comparison, labels: ['L1H2', 'L0H0'], maps: [MAPS, MAPS] },
      }).rows,
    ];
    assert.deepEqual(
      rows.map(([first]) => first),
      ['picture', 'L1H2', 'L1H2', 'L1H2', 'L0H0', 'L0H0', 'L0H0'],
    );
  });
  it('says that there is nothing yet', () => {
    for (const page of ['heads', 'head', 'steps', 'compare', 'effects', 'relations', 'corpus'] as const)
      assert.throws(() => attentionExport(page, none), is('bad-input'));
  });
});

describe('a saved state of attention', () => {
  const { target: _, ...look } = FIRST_LOOK;
  const SAVED: SavedAttention = {
    format: 'onnx-lens/attention',
    version: 1,
    model: { id: 'bert', file: 'model.onnx', architecture: 'bert', parameters: 10 },
    document: { path: 'story.txt', context: 'sentence', start: 12, pairStart: null },
    text: 'Adol sat',
    pair: null,
    around: { start: 5, end: 8 },
    target: { text: 0, range: { start: 5, end: 8 } },
    look: { ...look, page: 'head', heads: [{ layer: 1, head: 2 }] },
    interventions: [{ layer: 0, head: 0, scale: 0 }],
  };

  it('comes back as it was', () => {
    assert.deepEqual(readSavedAttention(JSON.stringify(SAVED)), SAVED);
    const pair: SavedAttention = {
      ...SAVED,
      pair: 'He',
      around: null,
      document: { ...SAVED.document, pairStart: 40 },
      target: { text: 1, range: { start: 0, end: 2 } },
    };
    assert.deepEqual(readSavedAttention(JSON.stringify(pair)), pair);
  });

  it('says where a damaged one is wrong', () => {
    for (const [wrong, where] of [
      ['{', /not JSON/],
      ['[]', /the file/],
      [{ ...SAVED, format: 'x' }, /format/],
      [{ ...SAVED, version: 2 }, /version/],
      [{ ...SAVED, model: { id: 1 } }, /model\.id/],
      [{ ...SAVED, target: { text: 1, range: { start: 0, end: 2 } } }, /target\.range/],
      [{ ...SAVED, around: { start: 6, end: 5 } }, /around/],
      [{ ...SAVED, look: { ...SAVED.look, method: 'magic' } }, /look\.method/],
      [{ ...SAVED, look: { ...SAVED.look, heads: [{ layer: -1, head: 0 }] } }, /look\.heads\[0\]\.layer/],
      [{ ...SAVED, interventions: [{ layer: 0, head: 0, scale: null }] }, /interventions\[0\]\.scale/],
    ] as const) {
      const json = typeof wrong === 'string' ? wrong : JSON.stringify(wrong);
      assert.throws(
        () => readSavedAttention(json),
        (error) => is('bad-input')(error) && where.test((error as Error).message),
      );
    }
  });
});
