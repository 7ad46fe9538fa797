/** Static vectors in the usual forms against NumPy (scripts/reference/static_vectors.py), and files that have something wrong. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { analogies, askTable } from '../../extension/engine/analysis/embeddings/analogies';
import { readStaticTable } from '../../extension/engine/analysis/embeddings/staticTable';
import { LensError } from '../../extension/protocol/errors';
import { analogyQuestions, ratedPairs } from '../../extension/engine/analysis/corpora/questions';
import { quiet } from '../support/fakeModel';

interface Near {
  word: string;
  cosine: number;
}
const FOLDER = 'test/fixtures/embeddings';
const expected = JSON.parse(readFileSync(join(FOLDER, 'static.json'), 'utf8')) as {
  words: string[];
  vectors: number[];
  neighbours: Record<string, Near[]>;
  analogies: { words: string[]; excluded: Near[]; all: Near[] }[];
};
const same = (actual: readonly Near[], wanted: readonly Near[], name: (word: string) => string): void => {
  assert.deepEqual(
    actual.map(({ word }) => word),
    wanted.map(({ word }) => name(word)),
  );
  actual.forEach(({ cosine }, at) => assert.ok(Math.abs(cosine - (wanted[at]?.cosine ?? NaN)) <= 1e-6));
};

describe('static vectors', () => {
  for (const file of ['glove.txt', 'words.vec', 'words.bin'])
    it(`${file}: words, numbers, neighbours and analogies are NumPy’s`, async () => {
      const table = await readStaticTable(join(FOLDER, file), quiet());
      // The binary form has no spaces in words.
      const name = (word: string): string => (file.endsWith('.bin') ? word.replaceAll(' ', '_') : word);
      assert.deepEqual(table.words, expected.words.map(name));
      assert.deepEqual([table.width, table.skipped], [8, 0]);
      for (let row = 0; row < table.size; row++)
        assert.deepEqual(
          Array.from(table.vector(row)),
          Array.from(Float32Array.from(expected.vectors.slice(8 * row, 8 * row + 8))),
        );
      for (const [word, wanted] of Object.entries(expected.neighbours))
        same(askTable(table, { words: [word], topK: 5, exclude: true }).neighbours, wanted, name);
      for (const { words, excluded, all } of expected.analogies) {
        same(askTable(table, { words, topK: 5, exclude: true }).neighbours, excluded, name);
        same(askTable(table, { words, topK: 5, exclude: false }).neighbours, all, name);
      }
    });

  it('scores questions by section, and tells how many it could answer', async () => {
    const table = await readStaticTable(join(FOLDER, 'glove.txt'), quiet());
    const questions = analogyQuestions(
      ': royal\nman king woman queen\nMan King Woman queen\n: cities\nfrance paris italy rome\nfrance paris italy w1\nfrance paris spain madrid\n',
      'file.txt',
    );
    const { sections } = await analogies(table, questions, 100, quiet());
    assert.deepEqual(
      sections.map(({ section, questions: asked, covered, right }) => [section, asked, covered, right]),
      [
        ['royal', 2, 2, 2],
        ['cities', 3, 2, 1],
      ],
    );
    // With fewer rows some of the words are not there.
    const few = await analogies(table, questions, 5, quiet());
    assert.deepEqual(
      few.sections.map(({ covered }) => covered),
      [2, 0],
    );
    assert.throws(() => analogyQuestions('a b c', 'x'), /Line 1 of x has 3 words/u);
  });

  it('reads pairs with ratings in the usual forms', () => {
    for (const text of [
      'a\tb\t1\nc\td\t2.5',
      'a b 1\nc d 2.5\n',
      'word1,word2,score\na,b,1\nc,d,2.5',
      'a;b;1\nc;d;2.5;x',
    ])
      assert.deepEqual(ratedPairs(text, 'x'), [
        { first: 'a', second: 'b', rating: 1 },
        { first: 'c', second: 'd', rating: 2.5 },
      ]);
    assert.deepEqual(ratedPairs('A dog.\tA cat.\t3\nx y\tz\t4', 'x')[0]?.first, 'A dog.');
    assert.throws(() => ratedPairs('a\tb\t1\nc\td', 'x'), /no pair with a number/u);
  });

  describe('with something wrong', () => {
    const folder = mkdtempSync(join(tmpdir(), 'lens-static-'));
    after(() => rmSync(folder, { recursive: true }));
    const read = (name: string, content: string | Buffer) => {
      writeFileSync(join(folder, name), content);
      return readStaticTable(join(folder, name), quiet());
    };
    const refused = (message: RegExp) => (thrown: unknown) =>
      thrown instanceof LensError && thrown.code === 'bad-input' && message.test(thrown.message);

    it('leaves out broken lines, and says which and why', async () => {
      const table = await read(
        'a.txt',
        'a 1 2 3\nb 1 x 3\nc 1 2\nd 1 2 3 4\na 7 8 9\n\ne -1.5e-2 .5 +3\r\nf 1 NaN 3\ng 0 0 0',
      );
      assert.deepEqual(table.words, ['a', 'e', 'g']);
      assert.deepEqual(Array.from(table.vector(1)), [Math.fround(-0.015), 0.5, 3]);
      assert.deepEqual(table.told, [
        { line: 2, why: '“x” is no number' },
        { line: 3, why: 'it has 2 numbers instead of 3' },
        { line: 4, why: 'it has more than 3 numbers' },
        { line: 5, why: '“a” is there twice' },
        { line: 8, why: '“NaN” is no number' },
      ]);
      // A vector without a length is near nothing.
      assert.deepEqual(
        askTable(table, { words: ['a'], topK: 5, exclude: true }).neighbours.map(({ word }) => word),
        ['e'],
      );
      assert.throws(() => askTable(table, { words: ['b'], topK: 1, exclude: true }), refused(/no word “b”/u));
    });

    it('tells a binary file that is cut short, and uses what is there', async () => {
      const whole = readFileSync(join(FOLDER, 'words.bin'));
      const table = await read('b.bin', whole.subarray(0, whole.length - 100));
      assert.ok(table.size > 40 && table.size < 52);
      assert.match(table.told.at(-1)?.why ?? '', /ends \d words? early/u);
    });

    it('refuses what is no table', async () => {
      await assert.rejects(read('c.txt', ''), refused(/no words with vectors/u));
      await assert.rejects(read('d.txt', 'only words here\nand here'), refused(/no words with vectors: line 1/u));
      await assert.rejects(read('e.vec', '10 0\n'), refused(/vectors of 0 numbers/u));
      await assert.rejects(read('f.vec', '10 99999999\n'), refused(/vectors of 99999999 numbers/u));
      await assert.rejects(read('g.txt', 'x'.repeat(2 ** 21)), refused(/a line of more than/u));
      await assert.rejects(readStaticTable(join(folder, 'none'), quiet()), refused(/no file/u));
    });
  });
});
