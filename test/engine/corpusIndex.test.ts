/** The index of a folder's words: what is nearest, exactly; what is kept, made anew, and taken out. */
import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Engine } from '../../extension/engine/engine';
import { nearestRows } from '../../extension/engine/analysis/embeddings/corpusNeighbours';
import { IndexMemory } from '../../extension/engine/analysis/embeddings/indexMemory';
import { encodePart } from '../../extension/engine/analysis/embeddings/indexParts';
import { seededRandom } from '../../extension/engine/analysis/random';
import { withRowProducts } from '../../extension/engine/session/rowProducts';
import { deleteIndexes, readAbout, storedIndexes } from '../../extension/files/vectorIndexes';
import type { CorpusNeighboursParams, CorpusNeighboursResult, IndexParams } from '../../extension/protocol/embeddings';
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
        ...{
          model: fixture('bert'),
          text,
          range: { start: 4, end: 9 },
          topK: 100,
          layer: 2,
          pool: 'word',
          folder: kept,
          sources,
        },
        ...params,
      },
      context,
    );
  const same = (one: CorpusNeighboursResult, two: CorpusNeighboursResult): void =>
    assert.deepEqual(one.neighbours, two.neighbours);
  const state = (params: Partial<IndexParams>) =>
    engine.handle(
      'indexState',
      { model: fixture('bert'), layer: 2, pool: 'word', folder: kept, sources: [], ...params },
      quiet(),
    );
  const partNames = (place: string): string[] =>
    readdirSync(place, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.part'));
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

  it('makes anew what has other numbers than were written, and what another version wrote', async () => {
    const whole = await ask();
    const [part = ''] = parts().filter((path) => path.endsWith('.part'));
    const bytes = readFileSync(part);
    bytes.writeFloatLE(0.5, bytes.length - 40);
    // Another engine, which has read nothing yet.
    const other = new Engine(
      () => undefined,
      () => undefined,
    );
    writeFileSync(part, bytes);
    const params = { text, range: { start: 4, end: 9 }, topK: 100, layer: 2, pool: 'word' as const };
    const again = await other.handle(
      'corpusNeighbours',
      { model: fixture('bert'), ...params, folder: kept, sources },
      quiet(),
    );
    await other.dispose();
    same(again, whole);
    const [own = ''] = readdirSync(kept)
      .map((name) => join(kept, name))
      .filter((place) => readAbout(place)?.layer === 2);
    const about = readAbout(own);
    assert.ok(about?.finished === true);
    writeFileSync(join(own, 'about.json'), JSON.stringify({ ...about, version: 1 }));
    assert.equal(await state({ layer: 2 }), 'none');
    assert.deepEqual((await storedIndexes(kept)).map(({ layer, finished }) => [layer, finished]).sort(), [
      [1, true],
      [2, false],
    ]);
    same(await ask(), whole);
    assert.equal(await state({ layer: 2 }), 'finished');
  });

  it('says what there is, and is deleted without touching anything else', async () => {
    const place = join(folder, 'deleted');
    assert.equal(await state({ folder: place }), 'none');
    await ask({ folder: place });
    assert.equal(await state({ folder: place }), 'finished');
    mkdirSync(join(place, 'own'));
    const [index] = await storedIndexes(place);
    assert.ok(index !== undefined && index.bytes > 1_000 && index.model.folder === fixture('bert').folder);
    await deleteIndexes([index.folder, join(place, 'own')]);
    assert.deepEqual(readdirSync(place), ['own']);
    assert.equal((await ask({ folder: place })).index.built, 3);
  });

  it('knows parts of speech where a treebank has them', async () => {
    const treebank = { name: 'sentences.conllu', file: resolve('test/fixtures/heads/sentences.conllu') };
    const found = await ask({ sources: [treebank], folder: join(folder, 'tags'), topK: 1000 });
    const [first] = readFileSync(treebank.file, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('1\t'));
    const [, form, , tag] = (first ?? '').split('\t');
    assert.ok(found.neighbours.some((each) => each.word === form && each.tag === tag));
    assert.equal(
      found.tags.reduce((sum, { count }) => sum + count, 0),
      found.neighbours.filter((each) => each.tag !== null).length,
    );
  });

  it('of sentences: the cosines of their own vectors', async () => {
    const { neighbours } = await ask({ pool: 'mean', folder: join(folder, 'sentences'), range: { start: 0, end: 17 } });
    const texts_ = [text, ...neighbours.map(({ sentence }) => sentence)];
    const { cosines } = await engine.handle(
      'sentenceSimilarity',
      { model: fixture('bert'), texts: texts_, layer: 2, pool: 'mean', centre: false },
      quiet(),
    );
    assert.equal(neighbours.length, 4);
    neighbours.forEach(({ cosine }, at) => assert.ok(Math.abs(cosine - (cosines[at + 1] ?? NaN)) <= 1e-5));
    assert.ok(neighbours.every(({ cosine }, at) => at === 0 || cosine <= (neighbours[at - 1]?.cosine ?? NaN)));
  });

  it('goes on in the middle of a file, and is the same then', async () => {
    const words = ['house', 'hill', 'dog', 'old'];
    const long = write(
      'long.txt',
      Array.from(
        { length: 1_300 },
        (_, index) => `The ${words[index % 4]} was on the ${words[(index * 7) % 3]} again.`,
      ).join(' '),
    );
    const params = { sources: [long], folder: join(folder, 'middle') };
    const controller = new AbortController();
    let seen = 0;
    await assert.rejects(
      ask(params, {
        signal: controller.signal,
        progress: ({ fraction = 0 }) => {
          if (fraction > 0.5) controller.abort();
          seen = Math.max(seen, fraction);
        },
      }),
      (thrown) => thrown instanceof LensError && thrown.code === 'cancelled',
    );
    assert.ok(seen <= 1 && readdirSync(join(folder, 'middle')).length === 1);
    assert.equal(await state(params), 'begun');
    const before = partNames(params.folder);
    assert.ok(before.length >= 1 && before.length < 3, `${before.length} of 3 parts`);
    same(await ask(params), await ask({ ...params, folder: join(folder, 'at-once') }));
    assert.equal(partNames(params.folder).length, 3);
  });

  it('says when a disk is full, and shows nothing of it', async function () {
    if (!existsSync('/dev/full')) this.skip();
    const place = join(folder, 'full');
    await ask({ folder: place, sources: sources.slice(0, 1) });
    // What is written there fails as on a disk without room.
    const [part = ''] = partNames(place);
    rmSync(join(place, part));
    symlinkSync('/dev/full', join(place, part));
    await assert.rejects(
      ask({ folder: place }),
      (thrown) => thrown instanceof LensError && thrown.code === 'storage' && thrown.message.includes('no space is left'),
    );
  });

  it('holds no more in memory than it may, and finds the same', () => {
    const [count, width] = [64, 8];
    const random = seededRandom(2);
    const known = Array.from({ length: 4 }, (_, part) => {
      const rows = Float32Array.from({ length: count * width }, () => random());
      const key = {
        version: 2,
        model: 'm',
        layer: '1',
        pool: 'word',
        file: `f${part}`,
        modified: 1,
        bytes: 1,
        part: 0,
      };
      const path = join(folder, `memory-${part}.part`);
      const words = new Array<number>(6 * count).fill(0);
      writeFileSync(
        path,
        encodePart({ ...key, last: true, width, sentences: ['x'], tags: [], words, skipped: [] }, rows),
      );
      return { path, key, rows };
    });
    const bytes = 4 * count * width;
    for (const room of [10 * bytes, 2 * bytes, 0]) {
      const memory = new IndexMemory(room, bytes);
      const parts = known.map(({ path, key }) => ({ path, header: memory.header(path, key)! }));
      for (let round = 0; round < 2; round++)
        assert.deepEqual(
          [...memory.blocksOf(parts)].map(({ rows }) => rows),
          known.map(({ rows }) => rows),
        );
      assert.ok(memory.held <= room, `${memory.held}`);
    }
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
    const found = await withRowProducts((products) => nearestRows({ rows, width }, query, 20, products));
    assert.deepEqual(
      found.map(({ row }) => row),
      cosines.slice(0, 20).map(({ row }) => row),
    );
  });
});
