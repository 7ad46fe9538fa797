/** What the Cloze view makes of a result, on a result written down by hand. */
import assert from 'node:assert/strict';
import type { FillMaskResult, MaskResult, Prediction } from '../../extension/protocol/engine';
import {
  bestTexts,
  comparisons,
  jointRows,
  pinnedRows,
  predictionRows,
  scaleOf,
  summary,
} from '../../webviews/cloze/rows';

const prediction = (id: number, token: string, prob: number): Prediction => ({
  id,
  token,
  text: token.replace(/^##/, '').replace(/^Ġ/, ' '),
  prob,
  logprob: Math.log(prob),
});
const mask = (predictions: Prediction[], actual: MaskResult['actual'] = null): MaskResult => ({
  position: 1,
  target: 0,
  predictions,
  entropy: 1,
  actual,
});
const result = (masks: MaskResult[], joint: FillMaskResult['joint'] = []): FillMaskResult => ({
  model: 'm',
  kind: 'masked',
  tokens: [],
  window: { range: { start: 0, end: 0 }, tokens: 3, truncatedStart: false, truncatedEnd: false },
  targets: [],
  masks,
  joint,
  actualLogprob: null,
  candidates: [],
  vocabSize: 100,
  elapsed: 0,
});

describe('rows of the Cloze view', () => {
  const red = prediction(7, 'red', 0.5);
  const blue = prediction(8, '##blue', 0.25);

  it('scales bars to the likeliest word and marks what really stood there', () => {
    const shown = mask([red, blue], { ...blue, rank: 2 });
    const rows = predictionRows(shown, 10, scaleOf(shown));
    assert.deepEqual(
      rows.map(({ label, fraction, numbers, marked, remark }) => ({ label, fraction, numbers, marked, remark })),
      [
        { label: 'red', fraction: 1, numbers: ['.500', '−0.69'], marked: false, remark: undefined },
        { label: 'blue', fraction: 0.5, numbers: ['.250', '−1.39'], marked: true, remark: 'continues' },
      ],
    );
    assert.ok(rows[0]?.title.includes(String(Math.log(0.5))), 'full precision in the title');
  });

  it('shows a piece of white space by its name', () => {
    const space = mask([prediction(1, 'Ġ', 0.5)]);
    assert.equal(predictionRows(space, 1, 1)[0]?.label, 'Ġ');
  });

  it('compares on one scale, with now minus before, and says when a word is not shown any more', () => {
    const before = mask([red, blue]);
    const now = mask([prediction(8, '##blue', 0.75)]);
    const scale = scaleOf(before, now);
    assert.equal(scale, 0.75);
    const rows = pinnedRows(before, now, 10, scale);
    assert.deepEqual(
      rows.map(({ numbers, fraction }) => [...numbers, fraction.toFixed(3)]),
      [
        ['.500', '–', '0.667'],
        ['.250', '+1.10', '0.333'],
      ],
    );
  });

  it('puts two models side by side, mask by mask, also where they divide a word differently', () => {
    const at = (target: number): MaskResult => ({ ...mask([red]), target });
    const target = (text: string): FillMaskResult['targets'][number] => ({
      range: { start: 0, end: 1 },
      text,
      masks: 1,
      maskIndices: [],
      fit: 'tokens',
    });
    const targets = [target('cat'), target('unhappy')];
    const one = { ...result([at(0), at(1)]), targets, model: 'one' };
    const other = { ...result([at(0), at(1), at(1)]), targets, model: 'other' };
    const reversed = { targets: [...targets].reverse() };
    assert.deepEqual(
      comparisons({ ...one, ...reversed }, { ...result([at(0), at(0), at(1)]), ...reversed })
        .at(-1)
        ?.sides.map(({ name }) => name),
      ['mask 2', 'mask 2'],
      'one place has one name',
    );
    assert.deepEqual(
      comparisons(one, other).map(({ sides, note }) => [
        ...sides.map(({ result: { model }, name }) => `${model} ${name}`),
        note,
      ]),
      [
        ['one mask 1', 'other mask 1', undefined],
        ['one token', 'other token 1 of 2', 'other token 2 of 2', '“unhappy” is 1 token to one, 2 tokens to other.'],
      ],
    );
  });

  it('draws joint fills by their likelihood against the best one', () => {
    const fill = (texts: string[], logprob: number, independent: boolean): FillMaskResult['joint'][number] => ({
      texts,
      tokens: [texts],
      ids: [[1]],
      logprob,
      logprobs: [logprob],
      independent,
    });
    const fills = [fill(['New York'], -1, false), fill(['Los ', 'now'], -1 - Math.LN2, true)];
    assert.deepEqual(
      jointRows(fills, 'masked').map(({ label, remark, fraction, numbers }) => ({
        label,
        remark,
        fraction: fraction.toFixed(3),
        numbers,
      })),
      [
        { label: 'New York', remark: undefined, fraction: '1.000', numbers: ['−1.00'] },
        { label: 'Los … now', remark: 'independent', fraction: '0.500', numbers: ['−1.69'] },
      ],
    );
    assert.deepEqual(bestTexts(result([mask([red]), mask([blue])], fills)), ['New York']);
  });

  it('offers to insert only what is one best text', () => {
    assert.deepEqual(bestTexts(result([mask([red, blue])])), ['red']);
    assert.equal(bestTexts(result([mask([red]), mask([blue])])), null);
    assert.equal(bestTexts(result([])), null);
  });

  it('says the result in a sentence', () => {
    assert.equal(
      summary(result([mask([red, blue], { ...blue, rank: 2 })])),
      'Mask 1: red .500, blue .250. It was blue, rank 2.',
    );
  });
});
