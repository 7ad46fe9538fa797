/** The words of every value on disk: what is in it, and what happens to it. */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildIndex, INDEX_WORDS, indexFolder, readLayer } from '../../extension/engine/analysis/ffn/valueIndex';
import { searchValues, valueWords } from '../../extension/engine/analysis/ffn/valueSearch';
import { openModel, type OrtModel } from '../../extension/engine/session/ortModel';
import { LensError, type LensErrorCode } from '../../extension/protocol/errors';
import { quiet } from '../support/fakeModel';
import { fixture, SETTINGS } from '../support/fixtures';

const fails = (code: LensErrorCode) => (thrown: unknown) => thrown instanceof LensError && thrown.code === code;
const open = (name: string): Promise<OrtModel> => openModel(fixture(name), SETTINGS, () => undefined, 'later');

describe('value index', function () {
  this.timeout(60_000);
  let cache: string;
  beforeEach(() => {
    cache = mkdtempSync(join(tmpdir(), 'lens-values-'));
  });
  afterEach(() => {
    chmodSync(cache, 0o700);
    rmSync(cache, { recursive: true, force: true });
  });

  for (const name of ['bert', 'llama', 'albert', 'bert-ts-qdq', 'gpt2'])
    it(`${name}: holds the words of each value, best first`, async () => {
      const model = await open(name);
      const place = indexFolder(cache, 'a'.repeat(64));
      try {
        const { layers, made } = await buildIndex(model, place, quiet());
        assert.equal(made, layers);
        for (const [layer, neuron] of [
          [0, 0],
          [layers - 1, 79],
        ] as const) {
          const index = await readLayer(place, layer);
          assert.ok(index !== null);
          const one = await valueWords(model, { layer, neuron, words: INDEX_WORDS });
          for (const [end, words] of [one.promoted, one.suppressed].entries()) {
            const from = (2 * neuron + end) * INDEX_WORDS;
            words.forEach(({ score }, rank) => {
              assert.ok(Math.abs((index.scores[from + rank] as number) - score) < 1e-4, `${layer}.${neuron} ${rank}`);
            });
            assert.equal(index.ids[from], words[0]?.id);
          }
        }
      } finally {
        await model.release();
      }
    });

  it('goes on where it was interrupted, and makes damaged layers again', async () => {
    const model = await open('bert');
    const place = indexFolder(cache, 'b'.repeat(64));
    const controller = new AbortController();
    try {
      await assert.rejects(
        buildIndex(model, place, {
          signal: controller.signal,
          progress: ({ fraction }) => {
            if ((fraction as number) > 0.4) controller.abort();
          },
        }),
        fails('cancelled'),
      );
      const fractions: number[] = [];
      const rest = await buildIndex(model, place, {
        signal: new AbortController().signal,
        progress: ({ fraction }) => fractions.push(fraction as number),
      });
      // The layer that was being computed when the cancel came was finished.
      assert.deepEqual([rest.layers, rest.made], [3, 1]);
      assert.equal(fractions.at(-1), 1);
      assert.equal((await buildIndex(model, place, quiet())).made, 0);
      const whole = await readLayer(place, 1);
      const file = join(place.folder, 'layer-1.bin');
      const bytes = readFileSync(file);
      const flipped = Buffer.from(bytes);
      flipped[bytes.length - 9] = (bytes[bytes.length - 9] as number) ^ 1;
      const damages: (() => void)[] = [
        () => writeFileSync(file, flipped),
        () => truncateSync(file, statSync(file).size - 4),
        () => writeFileSync(file, ''),
        () => writeFileSync(file, '{"version":1}\n'),
        () => writeFileSync(file, bytes.toString('latin1').replace('"version":1', '"version":0'), 'latin1'),
        () => rmSync(file),
      ];
      for (const damage of damages) {
        damage();
        assert.equal(await readLayer(place, 1), null);
        assert.equal((await buildIndex(model, place, quiet())).made, 1);
        assert.deepEqual(await readLayer(place, 1), whole);
      }
      // Another model does not take it for its own.
      const other = { ...place, fingerprint: 'c'.repeat(64) };
      assert.equal(await readLayer(other, 1), null);
    } finally {
      await model.release();
    }
  });

  it('finds the values that promote or suppress words', async () => {
    const model = await open('bert');
    const place = indexFolder(cache, 'd'.repeat(64));
    try {
      const { promoted, suppressed } = await valueWords(model, { layer: 1, neuron: 7, words: 2 });
      for (const [direction, words] of [
        ['promote', promoted],
        ['suppress', suppressed],
      ] as const) {
        const ids = words.map(({ id }) => id);
        const found = await searchValues(model, place, { words: ids, direction, topK: 1000 }, quiet());
        assert.equal(found.total, found.hits.length);
        const own = found.hits.find(({ layer, neuron }) => layer === 1 && neuron === 7);
        assert.deepEqual(
          own?.words.map((word) => word?.rank),
          [1, 2],
        );
        const counts = found.hits.map((hit) => hit.words.filter((word) => word !== null).length);
        assert.deepEqual(
          counts,
          [...counts].sort((a, b) => b - a),
        );
        for (const hit of found.hits)
          hit.words.forEach((word, index) => {
            if (word !== null && word.rank <= hit.first.length) assert.equal(hit.first[word.rank - 1]?.id, ids[index]);
          });
      }
      await assert.rejects(
        searchValues(model, place, { words: [1e6], direction: 'promote', topK: 1 }, quiet()),
        fails('bad-input'),
      );
    } finally {
      await model.release();
    }
  });

  it('says so when it cannot be kept, and when there is nothing to keep', async () => {
    const model = await open('bert');
    const encoder = await open('t5enc-dyn');
    try {
      const file = join(cache, 'file');
      writeFileSync(file, '');
      await assert.rejects(buildIndex(model, indexFolder(file, 'e'.repeat(64)), quiet()), fails('storage'));
      await assert.rejects(buildIndex(encoder, indexFolder(cache, 'f'.repeat(64)), quiet()), fails('no-lm-head'));
      await assert.rejects(valueWords(model, { layer: 0, neuron: 80, words: 3 }), fails('bad-input'));
      await assert.rejects(valueWords(encoder, { layer: 0, neuron: 0, words: 3 }), fails('no-lm-head'));
    } finally {
      await model.release();
      await encoder.release();
    }
  });
});
