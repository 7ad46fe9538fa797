import assert from 'node:assert/strict';
import { batches } from '../../extension/engine/analysis/forward';
import { seededRandom } from '../../extension/engine/analysis/random';
import { scoreWindows } from '../../extension/engine/analysis/score';
import { chooseWindow, windowInfo } from '../../extension/engine/analysis/window';
import { FakeTokenizer } from '../support/fakeModel';

const words = (from: number, to: number): string =>
  Array.from({ length: to - from }, (_, index) => `w${from + index}`).join(' ');

describe('window', () => {
  it('takes the whole text when it fits', () => {
    const text = `  ${words(0, 10)}\n`;
    const window = chooseWindow(text, { start: 5, end: 7 }, new FakeTokenizer(), { maxTokens: 12 });
    assert.deepEqual(window.range, { start: 0, end: text.length });
    assert.equal(window.encoding.ids.length, 12);
    assert.deepEqual(windowInfo(text, window.range, 12), {
      range: window.range,
      tokens: 12,
      truncatedStart: false,
      truncatedEnd: false,
    });
  });

  it('is symmetric around the focus, and uses the room that one side leaves', () => {
    const text = words(100, 200);
    const at = (word: string): { start: number; end: number } => {
      const start = text.indexOf(word);
      return { start, end: start + word.length };
    };
    const read = (word: string): string =>
      chooseWindow(text, at(word), new FakeTokenizer(), { maxTokens: 13 }).text.trim();
    assert.equal(read('w150'), words(145, 156));
    assert.equal(read('w102'), words(100, 111));
    assert.equal(read('w199'), words(189, 200));
    const left = chooseWindow(text, at('w150'), new FakeTokenizer({ causal: true }), { maxTokens: 11, side: 'left' });
    assert.equal(left.text.trim(), words(140, 151));
  });

  it('cuts between words, not between the pieces of one', () => {
    const text = 'aaaabbbbcccc one two ddddeeeeffff';
    const window = chooseWindow(text, { start: 13, end: 16 }, new FakeTokenizer(), { maxTokens: 5 });
    assert.equal(window.text.trim(), 'one two');
  });

  it('keeps room for masks, and refuses a focus that is too long', () => {
    const text = words(100, 200);
    const focus = { start: text.indexOf('w150'), end: text.indexOf('w150') + 4 };
    const window = chooseWindow(text, focus, new FakeTokenizer(), { maxTokens: 13, reserve: 4 });
    assert.equal(window.encoding.ids.length, 9);
    const long = { start: 0, end: text.indexOf('w150') };
    assert.throws(() => chooseWindow(text, long, new FakeTokenizer(), { maxTokens: 13 }), {
      code: 'bad-input',
      message: /has 50 tokens; the model takes at most 11/u,
    });
  });

  it('cuts a long text without any white space, and never a surrogate pair', () => {
    const text = '😀'.repeat(5000);
    for (const start of [0, 4000, 4002, 9998]) {
      const window = chooseWindow(text, { start, end: start + 2 }, new FakeTokenizer(), { maxTokens: 16 });
      assert.ok(window.range.start <= start && window.range.end >= start + 2);
      assert.ok(window.encoding.ids.length <= 16 && window.encoding.ids.length >= 8);
      assert.doesNotThrow(() => encodeURIComponent(window.text), 'a half of a pair');
    }
  });

  it('looks only at the neighbourhood of the focus in a huge text', () => {
    const text = 'word '.repeat(2_000_000);
    const start = 5_000_000;
    const begin = performance.now();
    const window = chooseWindow(text, { start, end: start + 4 }, new FakeTokenizer(), { maxTokens: 64 });
    assert.ok(performance.now() - begin < 500);
    assert.equal(window.encoding.ids.length, 64);
  });

  it('scores every token once, with context on the sides where there is text', () => {
    const random = seededRandom(3);
    for (let round = 0; round < 500; round++) {
      const length = 1 + Math.floor(random() * 300);
      const size = 4 + Math.floor(random() * 60);
      const from = Math.floor(random() * length);
      const to = from + 1 + Math.floor(random() * (length - from));
      const bothSides = random() < 0.5;
      const scored: number[] = [];
      for (const window of scoreWindows(length, from, to, size, bothSides)) {
        assert.ok(window.begin >= 0 && window.end <= length && window.end - window.begin <= size);
        assert.ok(window.from >= window.begin && window.to <= window.end);
        for (let index = window.from; index < window.to; index++) {
          scored.push(index);
          const margin = Math.floor(size / 4);
          assert.ok(index - window.begin >= Math.min(index, margin));
          if (bothSides) assert.ok(window.end - 1 - index >= Math.min(length - 1 - index, margin - 1));
        }
      }
      assert.deepEqual(
        scored,
        Array.from({ length: to - from }, (_, index) => from + index),
      );
    }
  });

  it('puts rows into runs by their padded size', () => {
    const row = (length: number): { ids: Int32Array; positions: number[] } => ({
      ids: new Int32Array(length),
      positions: [],
    });
    const sizes = (lengths: number[]): number[][] =>
      batches(lengths.map(row), 100).map((batch) => batch.map(({ ids }) => ids.length));
    assert.deepEqual(sizes([30, 30, 30, 30]), [[30, 30, 30], [30]]);
    assert.deepEqual(sizes([10, 10, 40, 40]), [
      [10, 10],
      [40, 40],
    ]);
    assert.deepEqual(sizes([500, 10]), [[500], [10]]);
    assert.deepEqual(sizes([]), []);
  });
});
