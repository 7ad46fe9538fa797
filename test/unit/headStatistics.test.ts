/** Statistics of heads and their pictures, on patterns whose answers are known beforehand. */
import assert from 'node:assert/strict';
import {
  addDocument,
  documentKeys,
  emptySums,
  isPunctuation,
  statisticsOf,
} from '../../extension/engine/analysis/attention/statistics';
import { drawThumbnails, thumbnailSize } from '../../extension/engine/analysis/attention/thumbnails';
import { seededRandom } from '../../extension/engine/analysis/random';
import type { HeadStatisticsColumns } from '../../extension/protocol/attention';

type Doc = Parameters<typeof documentKeys>[0];

const doc = (words: string, pair = ''): Doc => [
  { token: '[CLS]', special: true, text: 0 },
  ...words.split(' ').map((token) => ({ token, special: false, text: 0 as const })),
  { token: '[SEP]', special: true, text: 0 },
  ...(pair === ''
    ? []
    : [
        ...pair.split(' ').map((token) => ({ token, special: false, text: 1 as const })),
        { token: '[SEP]', special: true, text: 1 as const },
      ]),
];
/** [1,n,n] from a rule. */
const pattern = (n: number, weight: (query: number, key: number) => number): Float32Array =>
  Float32Array.from({ length: n * n }, (_, at) => weight(Math.floor(at / n), at % n));
function statistics(
  tokens: Doc,
  weight: (query: number, key: number) => number,
  causal = false,
): HeadStatisticsColumns {
  const n = tokens.length;
  const sums = emptySums(1);
  addDocument(sums, 0, { data: pattern(n, weight), heads: 1, stride: n }, documentKeys(tokens), {
    causal,
    window: null,
  });
  return statisticsOf(sums, 1);
}
const near = (actual: number | undefined, wanted: number, tolerance = 1e-6): void => {
  assert.ok(Math.abs((actual ?? NaN) - wanted) <= tolerance, `${actual}, expected ${wanted}`);
};

const TEXT = doc('a b , c d e . f g h i j k l m n');
const n = TEXT.length;

describe('head statistics', () => {
  it('names heads by what they do', () => {
    const types: [string, (query: number, key: number) => number][] = [
      ['previous token', (query, key) => Number(key === Math.max(0, query - 1))],
      ['next token', (query, key) => Number(key === Math.min(n - 1, query + 1))],
      ['same token', (query, key) => Number(key === query)],
      ['special tokens', (_, key) => Number(key === 0)],
      ['punctuation', (_, key) => Number(key === 3 || key === 7) / 2],
      ['broad', () => 1 / n],
      [
        'local block',
        (query, key) => (key > 0 && key < n - 1 && Math.abs(key - Math.min(Math.max(query, 3), n - 4)) <= 2 ? 0.2 : 0),
      ],
      ['mixed', (query, key) => (key === query ? 0.4 : key === 0 ? 0.4 : 0.2 / (n - (query === 0 ? 1 : 2)))],
    ];
    for (const [type, weight] of types) assert.equal(statistics(TEXT, weight).types[0], type);
  });

  it('are means over query tokens, the first without a previous one', () => {
    const previous = statistics(TEXT, (query, key) => Number(key === query - 1 || (query === 0 && key === 0)));
    near(previous.previous[0], (n - 1) / n);
    near(previous.same[0], 1 / n);
    const special = statistics(TEXT, (_, key) => (key === 0 ? 0.25 : key === n - 1 ? 0.5 : key === 3 ? 0.25 : 0));
    near(special.special[0], 0.75);
    near(special.punctuation[0], 0.25);
  });

  it('entropy is that of the smoothed rows', () => {
    near(statistics(TEXT, () => 1 / n).entropy[0], Math.log(n));
    // One key: .9999 + .0001/n, and .0001/n at the others.
    const [top, rest] = [0.9999 + 0.0001 / n, 0.0001 / n];
    near(
      statistics(TEXT, (_, key) => Number(key === 0)).entropy[0],
      -top * Math.log(top) - (n - 1) * rest * Math.log(rest),
    );
  });

  it('local is the own text of a pair, and what is near in a single text; special tokens are neither', () => {
    const pair = doc('a b c', 'd e f');
    const own = (query: number, key: number): number =>
      query <= 4 ? Number(key >= 1 && key <= 3) / 3 : Number(key >= 5 && key <= 7) / 3;
    near(statistics(pair, own).local[0], 1);
    assert.equal(statistics(pair, own).types[0], 'local block');
    near(statistics(TEXT, (_, key) => Number(key === 0)).local[0], 0);
    // Everything is near in a short text: evenly spread is no block.
    const short = doc('a b c');
    assert.equal(statistics(short, () => 1 / short.length).types[0], 'broad');
  });

  it('an even spread over the left side is broad too', () => {
    assert.equal(statistics(TEXT, (query, key) => (key <= query ? 1 / (query + 1) : 0), true).types[0], 'broad');
  });

  it('documents are averaged by document, and padding is left out', () => {
    const short = doc('a b');
    const sums = emptySums(2);
    const keys = documentKeys(short);
    // Two heads in rows of six, four of which are tokens; what stands at padding is nonsense.
    const data = new Float32Array(2 * 36).fill(NaN);
    for (let head = 0; head < 2; head++)
      for (let query = 0; query < 4; query++)
        for (let key = 0; key < 4; key++) data[(head * 6 + query) * 6 + key] = Number(key === (head === 0 ? query : 3));
    addDocument(sums, 0, { data, heads: 2, stride: 6 }, keys, null);
    const long = documentKeys(TEXT);
    const away = pattern(n, (_, key) => Number(key === 5));
    addDocument(sums, 0, { data: Float32Array.from([...away, ...away]), heads: 2, stride: n }, long, null);
    const result = statisticsOf(sums, 2);
    near(result.same[0], (1 + 1 / n) / 2);
    near(result.special[1], 0.5);
    near((sums.separatorToSeparator[1] ?? NaN) / 2, 0.5);
  });

  it('punctuation is a full stop or comma, however it is spelled', () => {
    for (const token of ['.', ',', 'Ġ,', '##.', '▁.', '。', '.</w>']) assert.ok(isPunctuation(token), token);
    for (const token of ['!', 'a', 'Ġ', '...', '[SEP]', '-']) assert.ok(!isPunctuation(token), token);
  });

  it('shares are between 0 and 1, and entropy between 0 and log n', () => {
    const random = seededRandom(7);
    for (let round = 0; round < 20; round++) {
      const rows = Array.from({ length: n }, () => {
        const row = Array.from({ length: n }, () => random() ** 8);
        const sum = row.reduce((total, each) => total + each, 0);
        return row.map((each) => each / sum);
      });
      const result = statistics(TEXT, (query, key) => rows[query]?.[key] ?? NaN);
      for (const name of ['previous', 'next', 'same', 'special', 'punctuation', 'local'] as const)
        assert.ok((result[name][0] ?? NaN) >= 0 && (result[name][0] ?? NaN) <= 1 + 1e-6, name);
      assert.ok((result.entropy[0] ?? NaN) > 0 && (result.entropy[0] ?? NaN) <= Math.log(n));
    }
  });
});

describe('thumbnails', () => {
  it('show each weight of a short text', () => {
    const data = Float32Array.from([1, 0, 0.5, 0.5]);
    const target = new Uint8Array(6);
    drawThumbnails(target, 1, data, 1, 2);
    assert.deepEqual([...target], [0, 255, 0, 128, 128, 0]);
  });

  it('keep the largest weight of each cell of a long one', () => {
    const length = 150;
    const size = thumbnailSize(length);
    assert.equal(size, 64);
    const random = seededRandom(3);
    const data = Float32Array.from({ length: 2 * length * length }, random);
    const target = new Uint8Array(2 * size * size);
    drawThumbnails(target, 0, data, 2, length);
    const expected = new Uint8Array(target.length);
    for (let at = 0; at < data.length; at++) {
      const [head, query, key] = [Math.floor(at / length ** 2), Math.floor(at / length) % length, at % length];
      const cell = (head * size + Math.floor((query * size) / length)) * size + Math.floor((key * size) / length);
      expected[cell] = Math.max(expected[cell] as number, Math.round(255 * (data[at] as number)));
    }
    assert.deepEqual(target, expected);
  });
});
