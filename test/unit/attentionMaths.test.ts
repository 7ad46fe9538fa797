/** Rollout, flow, contributions and words by what must hold of them, and by other ways to the same numbers. */
import assert from 'node:assert/strict';
import {
  contributions,
  deviationsOf,
  mixingRatio,
  normOf,
  type Around,
  type HeadNumbers,
} from '../../extension/engine/analysis/attention/contributions';
import { LayeredFlow } from '../../extension/engine/analysis/attention/flow';
import { rollOn, withResidual } from '../../extension/engine/analysis/attention/rollout';
import { mergeUnits, renormaliseRows, rowsSumToOne } from '../../extension/engine/analysis/attention/units';
import { seededRandom } from '../../extension/engine/analysis/random';
import type { AttentionUnit } from '../../extension/protocol/attention';

const random = seededRandom(11);
const normal = (length: number): Float32Array => Float32Array.from({ length }, () => 2 * random() - 1);

/** [H,T,T] with rows that sum to 1. */
function patterns(heads: number, length: number, sharpness = 6): Float32Array {
  const data = new Float32Array(heads * length * length).map(() => Math.exp(sharpness * random()));
  for (let row = 0; row < heads * length; row++) {
    const part = data.subarray(row * length, (row + 1) * length);
    const sum = part.reduce((total, each) => total + each, 0);
    part.forEach((each, at) => (part[at] = each / sum));
  }
  return data;
}
const identity = (length: number): Float64Array =>
  Float64Array.from({ length: length ** 2 }, (_, at) => Number(Math.floor(at / length) === at % length));
const near = (actual: number | undefined, wanted: number, tolerance = 1e-6): void => {
  assert.ok(actual !== undefined && Math.abs(actual - wanted) <= tolerance, `${actual}, expected ${wanted}`);
};
const HEADS = [0, 1, 2];
const T = 7;

describe('rollout', () => {
  it('keeps rows that sum to one, and leaves the identity alone', () => {
    let rolled: Float64Array = identity(T);
    for (let layer = 0; layer < 4; layer++) {
      rolled = rollOn(withResidual(patterns(3, T), HEADS, T), rolled, T);
      assert.ok(rowsSumToOne(rolled, T));
      for (let row = 0; row < T; row++)
        near(
          rolled.subarray(row * T, (row + 1) * T).reduce((sum, each) => sum + each, 0),
          1,
        );
    }
    const same = Float32Array.from([...identity(T), ...identity(T), ...identity(T)]);
    const mixed = withResidual(same, HEADS, T);
    assert.deepEqual(rollOn(mixed, mixed, T), identity(T));
  });

  it('is half attention and half itself, then a product', () => {
    const data = Float32Array.of(0.2, 0.8, 0.6, 0.4, 0.4, 0.6, 1, 0);
    const mixed = withResidual(data, [0, 1], 2);
    [0.65, 0.35, 0.4, 0.6].forEach((each, at) => {
      near(mixed[at], each);
    });
    [0.65 * 0.65 + 0.35 * 0.4, 0.65 * 0.35 + 0.35 * 0.6].forEach((each, at) => {
      near(rollOn(mixed, mixed, 2)[at], each);
    });
    // Of one head alone.
    near(withResidual(data, [1], 2)[2], 0.5);
  });

  it('a row without weights sees itself', () => {
    assert.deepEqual([...withResidual(new Float32Array(4), [0], 2)], [1, 0, 0, 1]);
  });
});

/** Maximum flow by augmenting paths in the order in which they are found (Ford–Fulkerson): slow, and written differently. */
function slowFlow(capacities: readonly Float64Array[], length: number, source: number, sink: number): number {
  const room = new Map<string, number>();
  const key = (from: string, to: string): string => `${from}>${to}`;
  const neighbours = new Map<string, Set<string>>();
  const link = (from: string, to: string, capacity: number): void => {
    room.set(key(from, to), (room.get(key(from, to)) ?? 0) + capacity);
    for (const [a, b] of [
      [from, to],
      [to, from],
    ] as const)
      neighbours.set(a, (neighbours.get(a) ?? new Set()).add(b));
  };
  capacities.forEach((matrix, level) => {
    for (let query = 0; query < length; query++)
      for (let place = 0; place < length; place++)
        link(`${level + 1}.${query}`, `${level}.${place}`, matrix[query * length + place] as number);
  });
  let total = 0;
  for (;;) {
    const start = `${capacities.length}.${source}`;
    const goal = `0.${sink}`;
    const before = new Map<string, string>([[start, '']]);
    for (const at of before.keys())
      for (const to of neighbours.get(at) ?? [])
        if (!before.has(to) && (room.get(key(at, to)) ?? 0) > 1e-9) before.set(to, at);
    if (!before.has(goal)) return total;
    const path: [string, string][] = [];
    for (let at = goal; at !== start; at = before.get(at) as string) path.push([before.get(at) as string, at]);
    const pushed = Math.min(...path.map(([from, to]) => room.get(key(from, to)) as number));
    for (const [from, to] of path) {
      room.set(key(from, to), (room.get(key(from, to)) as number) - pushed);
      room.set(key(to, from), (room.get(key(to, from)) ?? 0) + pushed);
    }
    total += pushed;
  }
}

describe('attention flow', () => {
  const layers = (count: number, length: number, sharpness?: number): Float64Array[] =>
    Array.from({ length: count }, () => withResidual(patterns(3, length, sharpness), HEADS, length));

  it('is the maximum flow', () => {
    for (const [count, length, sharpness] of [
      [1, 4, 3],
      [3, 5, 6],
      [5, 6, 20],
    ] as const) {
      const capacities = layers(count, length, sharpness);
      const flow = new LayeredFlow(capacities, length);
      for (let source = 0; source < length; source++) {
        const row = flow.from(source);
        for (let sink = 0; sink < length; sink++) near(row[sink], slowFlow(capacities, length, source, sink), 1e-7);
      }
    }
  });

  it('takes flow back where another way needs the edge', () => {
    // From the top's 0 the direct way to 0 uses the edge that both ways need.
    const top = Float64Array.of(1, 1, 0, 0);
    const middle = Float64Array.of(1, 1, 1, 0);
    const bottom = Float64Array.of(1, 0, 1, 0);
    near(new LayeredFlow([bottom, middle, top], 2).from(0)[0], 2);
  });

  it('of one block is its weights, and never more than what enters or leaves a node', () => {
    const [one] = layers(1, T) as [Float64Array];
    const flow = new LayeredFlow([one], T);
    for (let source = 0; source < T; source++)
      flow.from(source).forEach((each, sink) => {
        near(each, one[source * T + sink] as number, 1e-9);
      });
    const deep = layers(6, T);
    const through = new LayeredFlow(deep, T);
    for (let source = 0; source < T; source++)
      through.from(source).forEach((each, sink) => {
        let into = 0;
        for (let query = 0; query < T; query++) into += (deep[0] as Float64Array)[query * T + sink] as number;
        assert.ok(each >= 0 && each <= Math.min(1, into) + 1e-9);
      });
  });

  it('through blocks that only keep their tokens goes nowhere else', () => {
    const flow = new LayeredFlow([identity(3), identity(3)], 3);
    assert.deepEqual([...flow.from(1)], [0, 1, 0]);
  });
});

describe('contributions', () => {
  const [heads, keyHeads, headWidth, width] = [4, 2, 3, 6];
  const numbers: HeadNumbers = {
    ...{ pattern: patterns(heads, T), values: normal(T * keyHeads * headWidth) },
    ...{ output: normal(heads * headWidth * width), length: T, heads, keyHeads, headWidth, width },
  };
  /** Of each query's heads: a change may hold at one token only. */
  const gates = Float32Array.from({ length: T * heads }, (_, at) => [1, 0.5, 1, -1, 2, 0][at % 6] as number);
  const stream = normal(T * width);
  const all = [0, 1, 2, 3];
  const f = (head: number, key: number): number[] =>
    Array.from({ length: width }, (_, column) => {
      let sum = 0;
      for (let place = 0; place < headWidth; place++)
        sum +=
          (numbers.values[(key * keyHeads + Math.floor((head * keyHeads) / heads)) * headWidth + place] as number) *
          (numbers.output[(head * headWidth + place) * width + column] as number);
      return sum;
    });
  /** The summand of key j for query i, written out. */
  const summand = (chosen: readonly number[], i: number, j: number, withStream: boolean): number[] => {
    const sum = Array.from({ length: width }, (_, at) =>
      withStream && i === j ? (stream[i * width + at] as number) : 0,
    );
    for (const head of chosen)
      f(head, j).forEach((each, at) => {
        sum[at] =
          (sum[at] as number) +
          (gates[i * heads + head] as number) * (numbers.pattern[(head * T + i) * T + j] as number) * each;
      });
    return sum;
  };
  const norm = { scale: normal(width), deviations: Float64Array.from({ length: T }, () => 0.5 + random()) };
  const through = (vector: readonly number[], i: number): number[] => {
    const mean = vector.reduce((sum, each) => sum + each, 0) / width;
    return vector.map((each, at) => ((each - mean) / (norm.deviations[i] as number)) * (norm.scale[at] as number));
  };
  const arounds: [string, Around | null, (i: number, j: number, chosen: readonly number[]) => number[]][] = [
    ['alone', null, (i, j, chosen) => summand(chosen, i, j, false)],
    ['with the stream', { stream, norm: null }, (i, j, chosen) => summand(chosen, i, j, true)],
    ['through the norm', { stream, norm }, (i, j, chosen) => through(summand(chosen, i, j, true), i)],
  ];
  const length = (vector: readonly number[]): number => Math.hypot(...vector);

  for (const [name, around, vector] of arounds)
    it(`${name}: lengths of the summands written out, of one head and of all, and how they mix`, () => {
      for (const chosen of [[1], [2, 3], all]) {
        const { norms } = contributions(numbers, chosen, gates, around);
        for (let i = 0; i < T; i++) for (let j = 0; j < T; j++) near(norms[i * T + j], length(vector(i, j, chosen)));
      }
      const z = new Float32Array(T * heads * headWidth);
      for (let i = 0; i < T; i++)
        for (const head of all)
          for (let place = 0; place < headWidth; place++) {
            let sum = 0;
            for (let j = 0; j < T; j++)
              sum +=
                (numbers.pattern[(head * T + i) * T + j] as number) *
                (numbers.values[(j * keyHeads + Math.floor((head * keyHeads) / heads)) * headWidth + place] as number);
            z[(i * heads + head) * headWidth + place] = sum * (gates[i * heads + head] as number);
          }
      let expected = 0;
      for (let i = 0; i < T; i++) {
        const own = vector(i, i, all);
        const others = own.map((_, at) =>
          Array.from({ length: T }, (__, j) => (j === i ? 0 : (vector(i, j, all)[at] as number))).reduce(
            (a, b) => a + b,
            0,
          ),
        );
        expected += length(others) / (length(others) + length(own)) / T;
      }
      near(mixingRatio(numbers, z, contributions(numbers, all, gates, around), around), expected, 1e-5);
    });

  it('deviations are those of a LayerNorm', () => {
    const rows = Float32Array.of(1, 2, 3, 4, 5, 5, 5, 5);
    const [first, second] = deviationsOf(rows, 4, 0.01);
    near(first, Math.sqrt(1.25 + 0.01));
    near(second, 0.1);
    near(normOf(Float32Array.of(3, 4)), 5);
  });
});

describe('units', () => {
  const unit = (...tokens: number[]): AttentionUnit => ({ label: '', range: null, special: false, text: 0, tokens });

  it('sum to a word, mean from a word: rows keep what they have', () => {
    const matrix = patterns(1, T);
    const units = [unit(0), unit(1, 2, 3), unit(4, 5), unit(6)];
    const merged = mergeUnits(matrix, T, units);
    for (let row = 0; row < units.length; row++)
      near(
        merged.subarray(row * 4, (row + 1) * 4).reduce((sum, each) => sum + each, 0),
        1,
      );
    near(
      merged[1 * 4 + 2],
      [1, 2, 3].reduce((sum, i) => sum + (matrix[i * T + 4] as number) + (matrix[i * T + 5] as number), 0) / 3,
    );
  });

  it('renormalised rows sum to one; an empty one stays empty', () => {
    const matrix = Float64Array.of(0.2, 0.2, 0, 0);
    renormaliseRows(matrix, 2);
    assert.deepEqual([...matrix], [0.5, 0.5, 0, 0]);
    assert.equal(rowsSumToOne(matrix, 2), false);
  });
});
