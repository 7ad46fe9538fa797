/** Histograms whose bins follow from the numbers. */
import assert from 'node:assert/strict';
import { addHistogram, addTo, newHistogram, type Histogram } from '../../extension/engine/analysis/ffn/histogram';
import { seededRandom, shuffle } from '../../extension/engine/analysis/random';

const of = (values: readonly number[]): Histogram => {
  const histogram = newHistogram();
  for (const value of values) addTo(histogram, value);
  return histogram;
};

describe('histogram', () => {
  const random = seededRandom(3);
  const values = Array.from({ length: 5_000 }, () => (random() < 0.02 ? 9 * random() : 0.3 * random() - 0.17));

  it('counts every number in the bin that it lies in', () => {
    const { exponent, first, counts } = of(values);
    const width = 2 ** exponent;
    assert.equal(width, 0.25);
    counts.forEach((count, bin) => {
      const [from, to] = [(first + bin) * width, (first + bin + 1) * width];
      assert.equal(count, values.filter((value) => value >= from && value < to).length, `${from}`);
    });
    assert.equal(
      counts.reduce((sum, count) => sum + count, 0),
      values.length,
    );
  });

  it('is the same in any order, and of parts put together', () => {
    const whole = of(values);
    assert.deepEqual(of(shuffle([...values], random)), whole);
    for (const cut of [0, 1, 40, 2_500, values.length]) {
      const [one, other] = [of(values.slice(0, cut)), of(values.slice(cut))];
      const before = structuredClone(other);
      addHistogram(one, other);
      assert.deepEqual(one, whole, `${cut}`);
      assert.deepEqual(other, before);
    }
  });

  it('has no more than 64 bins, and as narrow ones as that allows', () => {
    for (const list of [[0], [5], [-1e-9], [1e6, -1e6], [0, 63.9], [0, 64.1], [-3, 1e-7, 12]]) {
      const { exponent, counts } = of(list);
      assert.ok(counts.length <= 64);
      const finer = 2 ** (exponent - 1);
      const bins = Math.floor(Math.max(...list) / finer) - Math.floor(Math.min(...list) / finer) + 1;
      assert.ok(exponent === -16 || bins > 64, `${list.join()}: ${exponent}`);
    }
  });
});
