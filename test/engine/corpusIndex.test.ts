/** The index of a folder's words: what is nearest, exactly; what is kept, made anew, and taken out. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nearestRows } from '../../extension/engine/analysis/embeddings/corpusNeighbours';
import { seededRandom } from '../../extension/engine/analysis/random';
import { rowProducts } from '../../extension/engine/session/rowProducts';
import type { CorpusNeighboursParams, CorpusNeighboursResult } from '../../extension/protocol/embeddings';
import { LensError } from '../../extension/protocol/errors';
import { suiteEngine } from '../support/engine';
import { quiet } from '../support/fakeModel';
import { fixture } from '../support/fixtures';

describe('an index of files', function () {
  this.timeout(60_000);
  const engine = suiteEngine();
  const folder = mkdtempSync(join(tmpdir(), 'lens-index-'));
  const kept = join(folder, 'kept');
  after(() => rmSync(folder, { recursive: true }));
  const write = (name: string, text: string | Buffer): { name: string; file: string } => {
    writeFileSync(join(folder, name), text);
    return { name, file: join(folder, name) };
  };
  const texts = [
    'The house was on the hill.',
    'An old house.\nOn the hill the house was old.',
    'The dog, and the hill.',
  ];
  const sources = texts.map((text, index) => write(`${index}.txt`, text));
  const text = 'the house was old';
  const ask = (
    params: Partial<CorpusNeighboursParams> = {},
    context: Parameters<typeof engine.handle>[2] = quiet(),
  ): Promise<CorpusNeighboursResult> =>
    engine.handle(
      'corpusNeighbours',
      {
        ...{ model: fixture('bert'), text, range: { start: 4, end: 9 }, topK: 100, layer: 2, folder: kept, sources },
        ...params,
      },
      context,
    );
  const same = (one: CorpusNeighboursResult, two: CorpusNeighboursResult): void =>
    assert.deepEqual(one.neighbours, two.neighbours);
  const parts = (): string[] =>
    readdirSync(kept).flatMap((name) => readdirSync(join(kept, name)).map((part) => join(kept, name, part)));

  it('gives the cosines of the words’ own vectors, nearest first, with their places', async () => {
    const { neighbours, index } = await ask();
    assert.deepEqual([index.files, index.built, index.removed], [3, 3, 0]);
    const sentences = [
      'The house was on the hill.',
      'An old house.',
      'On the hill the house was old.',
      'The dog, and the hill.',
    ];
    const { vectors, units } = await engine.handle(
      'embed',
      { model: fixture('bert'), texts: [text, ...sentences], layers: [2], pool: 'word' },
      quiet(),
    );
    const row = (unit: number): number[] => Array.from(vectors[0]?.data.subarray(48 * unit, 48 * unit + 48) ?? []);
    const query = row(units.findIndex((unit) => unit.text === 0 && unit.label === 'house'));
    const expected = units
      .flatMap((unit, at) => (unit.text > 0 && /\w/u.test(unit.label) ? [{ at, unit }] : []))
      .map(({ at, unit }) => {
        const own = row(at);
        const dot = own.reduce((sum, value, place) => sum + value * (query[place] ?? 0), 0);
        return {
          sentence: sentences[unit.text - 1],
          range: unit.range,
          cosine: dot / (Math.hypot(...own) * Math.hypot(...query)),
        };
      })
      .sort((a, b) => b.cosine - a.cosine);
    assert.equal(neighbours.length, expected.length);
    neighbours.forEach(({ sentence, range, cosine }, at) => {
      assert.ok(Math.abs(cosine - (expected[at]?.cosine ?? NaN)) <= 1e-5);
      if (
        Math.abs(cosine - (expected[at + 1]?.cosine ?? -2)) > 1e-4 &&
        Math.abs(cosine - (expected[at - 1]?.cosine ?? 2)) > 1e-4
      )
        assert.deepEqual([sentence, range], [expected[at]?.sentence, expected[at]?.range]);
    });
    const house = neighbours
      .filter(({ word }) => word === 'house')
      .map(({ source, line, column }) => [source, line, column]);
    assert.deepEqual(house.sort(), [
      ['0.txt', 1, 4],
      ['1.txt', 1, 7],
      ['1.txt', 2, 16],
    ]);
  });

  it('is kept: only what was changed is read again, and what is gone goes', async () => {
    const first = await ask();
    assert.equal(first.index.built, 0);
    write('1.txt', `${texts[1]} `);
    const second = await ask();
    assert.equal(second.index.built, 1);
    same(first, second);
    const less = await ask({ sources: sources.slice(0, 2) });
    assert.deepEqual([less.index.files, less.index.built, less.index.removed], [2, 0, 1]);
    assert.ok(less.neighbours.every(({ source }) => source !== '2.txt'));
    assert.equal((await ask()).index.built, 1);
    // Another layer has an index of its own.
    assert.equal((await ask({ layer: 1 })).index.built, 3);
    assert.equal((await ask()).index.built, 0);
  });

  it('makes anew what is cut short or damaged', async () => {
    const whole = await ask();
    const [cut = '', damaged = '', ...others] = parts();
    assert.ok(others.length > 0);
    truncateSync(cut, 300);
    const bytes = readFileSync(damaged);
    bytes.write('xx', 20);
    writeFileSync(damaged, bytes);
    for (const layer of [1, 2]) await ask({ layer });
    same(await ask(), whole);
    assert.equal((await ask()).index.built, 0);
  });

  it('can be stopped, and goes on with what is left', async () => {
    const controller = new AbortController();
    const more = Array.from({ length: 6 }, (_, index) => write(`more${index}.txt`, 'The house was on the hill.'));
    const params = { sources: more, folder: join(folder, 'stopped') };
    const stopped = ask(params, {
      signal: controller.signal,
      progress: ({ message }) => {
        if (message.includes('more3')) controller.abort();
      },
    });
    await assert.rejects(stopped, (thrown) => thrown instanceof LensError && thrown.code === 'cancelled');
    const rest = await ask(params);
    assert.ok(rest.index.built >= 2 && rest.index.built <= 4, `${rest.index.built}`);
    assert.equal(rest.index.files, 6);
  });

  it('leaves out what it cannot read, and refuses what has nothing', async () => {
    const binary = write('binary.txt', Buffer.from([0x61, 0, 0x62]));
    const gone = { name: 'gone.txt', file: join(folder, 'gone.txt') };
    const { index } = await ask({ sources: [...sources, binary, gone], folder: join(folder, 'odd') });
    assert.deepEqual(index.skipped.map(({ name }) => name).sort(), ['binary.txt', 'gone.txt']);
    await assert.rejects(
      ask({ sources: [binary], folder: join(folder, 'none') }),
      (thrown) =>
        thrown instanceof LensError && thrown.code === 'bad-input' && thrown.message.includes('no word in 1 file'),
    );
    writeFileSync(join(folder, 'file'), '');
    await assert.rejects(
      ask({ folder: join(folder, 'file', 'index') }),
      (thrown) => thrown instanceof LensError && thrown.code === 'storage',
    );
  });

  it('searches as a loop in double precision would', async () => {
    const random = seededRandom(1);
    const [count, width] = [3_000, 96];
    const rows = new Float32Array(count * width);
    for (let row = 0; row < count; row++) {
      const own = Array.from({ length: width }, () => random() - 0.5);
      const length = Math.hypot(...own);
      own.forEach((value, at) => (rows[row * width + at] = value / length));
    }
    const query = Float32Array.from({ length: width }, () => random() - 0.5);
    const cosines = Array.from({ length: count }, (_, row) => {
      let sum = 0;
      for (let at = 0; at < width; at++) sum += (rows[row * width + at] as number) * (query[at] as number);
      return { row, cosine: sum / Math.hypot(...query) };
    }).sort((a, b) => b.cosine - a.cosine);
    const found = await nearestRows({ rows, width }, query, 20, rowProducts);
    assert.deepEqual(
      found.map(({ row }) => row),
      cosines.slice(0, 20).map(({ row }) => row),
    );
  });
});
