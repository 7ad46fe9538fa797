import assert from 'node:assert/strict';
import { meanOverTokens, rowGates } from '../../extension/engine/analysis/attention/headChanges';

const SHAPE = { heads: 2, headWidth: 3 };
const base = { dims: [1, 2, 2, 1], data: Float32Array.of(1, 0.5, 4, 1) };

describe('changes of heads, row by row', () => {
  it('are multiplied with what holds in all rows, and reach only their own block', () => {
    const rows = [
      null,
      { layer: 5, head: 0, scale: 0, offset: null },
      { layer: 4, head: 0, scale: 0, offset: null },
      { layer: 5, head: 1, scale: 3, offset: null },
    ];
    assert.deepEqual(rowGates(5, SHAPE, base, rows), {
      scale: {
        dims: [4, 2, 2, 1],
        data: Float32Array.of(...[1, 0.5, 4, 1], ...[0, 0.5, 0, 1], ...[1, 0.5, 4, 1], ...[1, 1.5, 4, 3]),
      },
    });
    assert.deepEqual(rowGates(5, SHAPE, undefined, rows).scale, {
      dims: [4, 1, 2, 1],
      data: Float32Array.of(...[1, 1], ...[0, 1], ...[1, 1], ...[1, 3]),
    });
  });

  it('leave gates open where nothing is changed', () => {
    const rows = [null, { layer: 4, head: 0, scale: 0, offset: null }];
    assert.deepEqual(rowGates(5, SHAPE, undefined, rows), {});
    assert.deepEqual(rowGates(5, SHAPE, base, rows), { scale: base });
  });

  it('put an offset on one head of one row', () => {
    const rows = [null, { layer: 5, head: 1, scale: 0, offset: Float32Array.of(7, 8, 9) }];
    const { scale, offset } = rowGates(5, SHAPE, undefined, rows);
    assert.deepEqual(scale, { dims: [2, 1, 2, 1], data: Float32Array.of(1, 1, 1, 0) });
    assert.deepEqual(offset, {
      dims: [2, 1, 2, 3],
      data: Float32Array.of(...[0, 0, 0], ...[0, 0, 0], ...[0, 0, 0], ...[7, 8, 9]),
    });
  });

  it('the mean of a head is over the tokens of the text, not over padding', () => {
    // [1,3,2,2], the last token is padding.
    const z = { dims: [1, 3, 2, 2], data: Float32Array.of(1, 2, 3, 4, 5, 6, 7, 9, 1e6, 1e6, 1e6, 1e6) };
    assert.deepEqual(meanOverTokens(z, 1, 2), Float32Array.of(5, 6.5));
    assert.deepEqual(meanOverTokens(z, 0, 2), Float32Array.of(3, 4));
  });
});
