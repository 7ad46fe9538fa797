/** Scales, details and exports as people see them, and scored text that follows edits. */
import assert from 'node:assert/strict';
import { ScoredText } from '../../extension/editor/scoredText';
import { surprisalStep } from '../../extension/editor/surprisalScale';
import { detailsOf } from '../../extension/models/details';
import { clozeRows, csvPieces, jsonPieces, tabPieces } from '../../extension/panels/export';
import type { FillMaskResult, ScoreColumns } from '../../extension/protocol/engine';

describe('the surprisal scale', () => {
  it('steps at 1, 2, 4, 6, 9 and 12 bits', () => {
    const step = (value: number): number => surprisalStep(-value * Math.LN2);
    assert.deepEqual([0, 0.99, 1.01, 2.01, 4.01, 6.01, 9.01, 12.01, 40].map(step), [0, 0, 1, 2, 3, 4, 5, 6, 6]);
  });
});

describe('details of a model', () => {
  it('are known in part before it is read', () => {
    assert.deepEqual(detailsOf({ ref: { id: 'a', folder: '/b/a' }, bundled: false, state: 'not-loaded' }), [
      { label: 'Folder', value: '/b/a' },
    ]);
  });
});

const RESULT: FillMaskResult = {
  model: 'm',
  kind: 'masked',
  tokens: [],
  window: { range: { start: 0, end: 9 }, tokens: 5, truncatedStart: false, truncatedEnd: false },
  targets: [{ range: { start: 2, end: 5 }, text: 'cat', masks: 1, maskIndices: [0], fit: 'tokens' }],
  masks: [
    {
      position: 2,
      target: 0,
      predictions: [{ id: 7, token: '=1+1', text: 'a "b", c', logprob: -0.1234567890123, prob: 0.25 }],
      entropy: 1,
      actual: { id: 8, token: '-', text: '-', logprob: -2.5, prob: 0.082, rank: 4 },
    },
  ],
  joint: [],
  actualLogprob: -2.5,
  candidates: [],
  vocabSize: 10,
  elapsed: 1,
};

describe('exports', () => {
  it('is CSV with quotes where needed, full precision, and no formulas', () => {
    assert.deepEqual([...csvPieces(clozeRows(RESULT))].join('').split('\r\n'), [
      'model,kind,target,position,start,end,rank,id,token,text,logprob,prob',
      `m,prediction,0,2,2,5,1,7,'=1+1,"a ""b"", c",-0.1234567890123,0.25`,
      'm,actual,0,2,2,5,4,8,-,-,-2.5,0.082',
      '',
    ]);
  });
  it('gives the numbers of a compared model too, under its name', () => {
    const rows = clozeRows(RESULT, { ...RESULT, model: 'other' });
    assert.deepEqual(
      rows.map(([model]) => model),
      ['model', 'm', 'm', 'other', 'other'],
    );
  });
  it('is tab-separated for the clipboard', () => {
    assert.equal([...tabPieces([['a\tb', null, 1.5]])].join(''), 'a b\t\t1.5\n');
  });
  it('is JSON with two spaces, and arrays of numbers on a line, in pieces', () => {
    const value = { a: [], b: {}, c: [{ d: 'x"', e: null, f: undefined }, true], g: -1.5 };
    assert.equal([...jsonPieces(value)].join(''), `${JSON.stringify(value, null, 2)}\n`);
    const numbers = Float32Array.from({ length: 2_500 }, (_, index) => index / 2);
    const text = [...jsonPieces({ numbers, none: new Float32Array(0), mask: Float32Array.of(-Infinity) })].join('');
    assert.deepEqual(JSON.parse(text), { numbers: [...numbers], none: [], mask: [null] });
    assert.equal(text.split('\n').length, 6);
  });
});

describe('scored text', () => {
  const columns = (starts: number[], logprobs: number[]): ScoreColumns => ({
    tokens: starts.map((start) => `t${start}`),
    ids: new Int32Array(starts.length),
    starts: new Uint32Array(starts),
    ends: new Uint32Array(starts.map((start) => start + 2)),
    logprobs: new Float64Array(logprobs),
    ranks: new Uint32Array(starts.length).fill(1),
  });

  it('counts a piece once, however its parts came before', () => {
    const scored = new ScoredText();
    scored.addEarly(columns([0], [-1]), 100);
    scored.addEarly(columns([0, 3], [-1, -2]), 100);
    assert.equal(scored.tokens.length, 2);
    assert.equal(scored.count, 0);
    scored.add(columns([0, 3, 6], [-1, -2, -3]), 100);
    assert.equal(scored.tokens.length, 3);
    assert.equal(scored.total, -6);
    assert.equal(scored.perplexity, Math.exp(2));
    assert.equal(scored.at(104)?.logprob, -2);
    assert.equal(scored.at(105), undefined);
  });

  it('follows edits, forgets what they touch, and says so', () => {
    const scored = new ScoredText();
    scored.add(columns([0, 3, 6], [-1, -2, -3]), 100);
    scored.onEdit({ offset: 10, length: 0, inserted: 5 });
    assert.equal(scored.changed, false);
    assert.equal(scored.at(105)?.logprob, -1);
    scored.onEdit({ offset: 108, length: 1, inserted: 3 });
    assert.equal(scored.changed, true);
    assert.deepEqual(
      scored.tokens.map(({ range }) => range.start),
      [105, 113],
    );
    assert.equal(scored.total, -6);
  });
});
