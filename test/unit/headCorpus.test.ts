/** Work over a corpus: documents, packing, shards, going on, and files that cannot be read. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { headCorpus } from '../../extension/engine/analysis/attention/corpus';
import {
  corpusResult,
  mergeCorpusStates,
  readCorpusState,
} from '../../extension/engine/analysis/attention/corpusState';
import { documentsOf, pairFrame } from '../../extension/engine/analysis/corpora/documents';
import { paragraphsOf } from '../../extension/engine/analysis/corpora/paragraphs';
import type { HeadCorpusParams, HeadCorpusResult, HeadCorpusState } from '../../extension/protocol/attention';
import type { Progress } from '../../extension/protocol/engine';
import { LensError } from '../../extension/protocol/errors';
import { FakeAttention } from '../support/fakeAttention';
import { FakeTokenizer, quiet } from '../support/fakeModel';

const isBad = (thrown: unknown): boolean => thrown instanceof LensError && thrown.code === 'bad-input';
const words = (count: number, from = 0): string =>
  Array.from({ length: count }, (_, index) => `w${from + index}`).join(' ');

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

/** One for all: ids grow as words are met. */
const tokenizer = new FakeTokenizer();
/** Heads whose weights depend on the tokens, so that no two documents are alike. */
const newModel = (): FakeAttention =>
  new FakeAttention(
    tokenizer,
    2,
    3,
    (ids, layer, head, query, key) =>
      1 + (((ids[query] as number) * 7 + (ids[key] as number) * 3 + layer * 5 + head * 11) % 13),
  );
const TEXT = Array.from({ length: 11 }, (_, index) => `${words(5 + index, index)}. And, so on`).join('\n\n');
const run = (more: Partial<HeadCorpusParams> = {}, model = newModel()): Promise<HeadCorpusResult> =>
  headCorpus(model, { sources: [{ name: 'text', text: TEXT }], packing: { kind: 'text' }, ...more }, quiet());
/** Everything but the order of additions. */
const close = (actual: HeadCorpusState, wanted: HeadCorpusState): void => {
  assert.deepEqual(
    [...actual.done].sort((a, b) => a - b),
    [...wanted.done].sort((a, b) => a - b),
  );
  assert.deepEqual([actual.documents, actual.tokens], [wanted.documents, wanted.tokens]);
  const pairs = [
    ...Object.keys(wanted.sums).map((name) => [actual.sums[name], wanted.sums[name]] as const),
    [actual.distances?.sums ?? new Float64Array(0), wanted.distances?.sums ?? new Float64Array(0)] as const,
  ];
  for (const [a, b] of pairs) {
    assert.equal(a?.length, b?.length);
    a?.forEach((value, index) => assert.ok(Math.abs(value - (b?.[index] as number)) < 1e-9));
  }
};

describe('paragraphs', () => {
  const parts = (text: string): Promise<string[]> => all(paragraphsOf({ name: 'x', text }));
  it('are parted by blank lines, and join lines that are wrapped', async () => {
    assert.deepEqual(await parts('# Title\r\n\r\nOne line\nand the next.\n \n\nLast'), [
      '# Title',
      'One line\nand the next.',
      'Last',
    ]);
  });
  it('are the lines where one of them is too long to be wrapped', async () => {
    const long = 'x'.repeat(300);
    assert.deepEqual(await parts(`= A =\n${long}\nshort\n\nB\nb`), ['= A =', long, 'short', 'B\nb']);
  });
});

describe('pairs', () => {
  const pack = async (tokens: number, ...paragraphs: string[]): Promise<string[][]> => {
    const documents = await all(
      documentsOf(
        { tokenizer },
        {
          sources: [{ name: 'x', text: paragraphs.join('\n\n') }],
          packing: { kind: 'pairs', tokens },
          ...{
            window: 64,
            limit: Infinity,
            wanted: () => true,
            skip: (name, why) => assert.ok(false, `${name}: ${why}`),
          },
        },
      ),
    );
    for (const { row, keys } of documents) {
      assert.equal(row.ids.length, tokens);
      const second = [...row.ids].findIndex((id) => tokenizer.token(id) === '[SEP]') + 1;
      assert.deepEqual(
        row.segments,
        Int32Array.from(row.ids, (_, index) => Number(index >= second)),
      );
      assert.deepEqual(keys.texts, Uint8Array.from(row.segments ?? []));
      assert.deepEqual(
        [...keys.special.keys()].filter((index) => keys.special[index] === 1),
        [0, second - 1, tokens - 1],
      );
      assert.equal(keys.separators, 2);
    }
    return documents.map(({ row }) => Array.from(row.ids, (id) => tokenizer.token(id)));
  };

  it('take as much of both as there is, up to the separator and from it on', async () => {
    const [only] = await pack(24, words(40), words(30, 50));
    assert.equal(only?.join(' '), `[CLS] ${words(11, 29)} [SEP] ${words(10, 50)} [SEP]`);
  });
  it('give a short text’s room to the other', async () => {
    const [first] = await pack(24, words(10), words(30, 50));
    assert.equal(first?.join(' '), `[CLS] ${words(10)} [SEP] ${words(11, 50)} [SEP]`);
    // Longer than is cut into tokens: the end is what stands beside the separator.
    const [second] = await pack(24, words(200), words(10, 50));
    assert.equal(second?.join(' '), `[CLS] ${words(11, 189)} [SEP] ${words(10, 50)} [SEP]`);
  });
  it('fill the second text with more paragraphs, leave out headings and a last short pair', async () => {
    const packed = await pack(40, words(12), 'A heading', words(12, 20), words(20, 40), words(12, 60), words(11, 80));
    assert.equal(packed.length, 1);
    assert.equal(packed[0]?.join(' '), `[CLS] ${words(12)} [SEP] ${words(12, 20)} ${words(13, 40)} [SEP]`);
  });
  it('are framed by the template of the tokenizer', () => {
    assert.deepEqual(pairFrame(tokenizer), {
      before: Int32Array.of(1),
      between: Int32Array.of(2),
      after: Int32Array.of(2),
      segments: [0, 0, 0, 1, 1],
    });
  });
  it('are refused where nothing stands between texts, and where they do not fit', async () => {
    await assert.rejects(run({ packing: { kind: 'pairs', tokens: 65 } }), isBad);
    const model = new FakeAttention(new FakeTokenizer({ causal: true }), 1, 1, () => 1);
    await assert.rejects(run({ packing: { kind: 'pairs', tokens: 20 } }, model), isBad);
  });
});

describe('statistics over a corpus', function () {
  this.timeout(180_000);

  it('are means over documents, whatever runs together', async () => {
    const { state, statistics } = await run();
    assert.equal(state.documents, 11);
    const alone: HeadCorpusResult[] = [];
    for (const text of TEXT.split('\n\n')) alone.push(await run({ sources: [{ name: 'one', text }] }));
    statistics.entropy.forEach((value, index) => {
      const mean = alone.reduce((sum, each) => sum + (each.statistics.entropy[index] as number), 0) / 11;
      assert.ok(Math.abs(value - mean) < 1e-6);
    });
  });

  it('are the same in shards, merged, as in one go', async () => {
    const whole = await run({ distances: 4, limit: 9 });
    const shards: HeadCorpusState[] = [];
    for (const index of [0, 1, 2]) shards.push((await run({ distances: 4, limit: 9, shard: { index, of: 3 } })).state);
    const saved = shards.map(
      (state) =>
        JSON.parse(
          JSON.stringify(state, (_key, value: unknown) =>
            ArrayBuffer.isView(value) ? Array.from(value as Float64Array) : value,
          ),
        ) as HeadCorpusState,
    );
    const merged = saved.reduce(mergeCorpusStates);
    close(merged, whole.state);
    assert.equal(whole.state.documents, 9);
    assert.equal(whole.state.distances?.tokens, (await run({ limit: 4 })).state.tokens);
    const result = corpusResult(readCorpusState(merged), true, 0);
    assert.deepEqual(result.map?.length, 12);
    result.map?.forEach((place, index) => assert.ok(Math.abs(place - (whole.map?.[index] as number)) < 1e-5));
    assert.throws(() => mergeCorpusStates(merged, shards[0] as HeadCorpusState), isBad);
  });

  it('can be stopped and gone on from', async () => {
    const model = newModel();
    const controller = new AbortController();
    const states: HeadCorpusState[] = [];
    model.onRun = async () => new Promise((done) => setTimeout(done, 600));
    const long = Array.from({ length: 40 }, (_, index) => words(60, index)).join('\n\n');
    const params = { sources: [{ name: 'long', text: long }], packing: { kind: 'text' as const } };
    const progress = ({ corpus }: Progress): void => {
      if (corpus === undefined) return;
      states.push(corpus.state);
      controller.abort();
    };
    await assert.rejects(
      headCorpus(model, params, { signal: controller.signal, progress }),
      (thrown) => thrown instanceof LensError && thrown.code === 'cancelled',
    );
    const [stopped] = states as [HeadCorpusState];
    assert.ok(stopped.documents > 0 && stopped.documents < 40);
    const rest = newModel();
    const resumed = await headCorpus(rest, { ...params, resume: stopped }, quiet());
    close(resumed.state, (await headCorpus(newModel(), params, quiet())).state);
    assert.equal(rest.rows.length, 40 - stopped.documents);
  });

  it('refuse to go on from the state of something else', async () => {
    const { state } = await run();
    const wrong: Partial<Record<keyof HeadCorpusState, unknown>>[] = [
      { model: 'other' },
      { layers: 3 },
      { packing: { kind: 'pairs', tokens: 12 } },
      { sums: { ...state.sums, next: [1, 2] } },
      { sums: { ...state.sums, next: Array.from({ length: 6 }, () => 'x') } },
      { done: null },
      { documents: -1 },
    ];
    for (const each of wrong)
      await assert.rejects(run({ resume: { ...state, ...each } as HeadCorpusState }), isBad, JSON.stringify(each));
  });

  it('leave out what cannot be read, among 10,000 files, and say why', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'onnx-lens-corpus-'));
    try {
      const sources = Array.from({ length: 10_000 }, (_, index) => {
        const name = `${index}.txt`;
        writeFileSync(join(folder, name), 'One of many.');
        return { name, file: join(folder, name) };
      });
      writeFileSync(join(folder, '5.txt'), Buffer.from([0x41, 0x00, 0x42]));
      writeFileSync(join(folder, '6.txt'), Buffer.from([0x41, 0xe9, 0x42]));
      rmSync(join(folder, '7.txt'));
      rmSync(join(folder, '8.txt'));
      mkdirSync(join(folder, '8.txt'));
      chmodSync(join(folder, '9.txt'), 0);
      const { state } = await run({ sources });
      const canReadAll = process.getuid?.() === 0;
      assert.equal(state.documents, canReadAll ? 9_996 : 9_995);
      assert.deepEqual(
        state.skipped.map(({ name, why }) => `${name}: ${why}`).filter((line) => !line.startsWith('9.')),
        ['5.txt: it is binary', '6.txt: it is not UTF-8', '7.txt: there is no such file', '8.txt: it is a folder'],
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('say so when there is nothing to read', async () => {
    await assert.rejects(run({ sources: [{ name: 'empty', text: ' \n\n' }] }), isBad);
  });

  it('run rows one by one, or those of equal length, where a model needs it', async () => {
    const wanted = await run();
    for (const [pads, mostRows, refused] of [
      [false, Infinity, 0],
      [true, 1, 1],
    ] as const) {
      const model = newModel();
      [model.pads, model.mostRows] = [pads, mostRows];
      const { state } = await run({}, model);
      close(state, wanted.state);
      assert.equal(model.refused, refused);
    }
  });
});
