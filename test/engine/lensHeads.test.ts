/** `lens heads` and `lens expansion` as programs. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const LENS = resolve('dist/lens.js');
const MODEL = resolve('test/fixtures/bert');
const TREEBANK = resolve('test/fixtures/heads/sentences.conllu');

interface Row {
  relation: string;
  head: string;
  direction: string;
  accuracy: number;
}

describe('lens heads', function () {
  this.timeout(180_000);
  const folder = mkdtempSync(join(tmpdir(), 'onnx-lens-heads-'));
  after(() => rmSync(folder, { recursive: true }));
  const at = (name: string): string => join(folder, name);
  const lens = (...args: string[]): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(process.execPath, [LENS, ...args], { encoding: 'utf8' });
  const json = (...args: string[]): unknown => {
    const { status, stdout, stderr } = lens(...args, '--json');
    assert.equal(status, 0, stderr);
    assert.equal(stdout.trimEnd().includes('\n'), false, 'one line');
    return JSON.parse(stdout);
  };
  before(() => {
    mkdirSync(at('texts/deep'), { recursive: true });
    writeFileSync(at('texts/b.md'), 'The sailor lit lamp at ten.\n\nThey left early, then.\n');
    writeFileSync(at('texts/deep/a.txt'), 'Who lit it? The old man did.');
    writeFileSync(at('texts/picture.png'), 'not looked at');
  });

  it('gives the statistics of a folder, and the same from shards that are merged', () => {
    const whole = json('heads', MODEL, at('texts'), '--distances', '9');
    const { documents, blocks, heads, skipped } = whole as Record<string, unknown[]>;
    assert.equal(documents, 3);
    assert.equal(blocks?.length, 3);
    assert.equal(heads?.length, 12);
    assert.deepEqual(skipped, []);
    const shards = ['0/2', '1/2'].map((shard) => {
      const file = at(`${shard.replace('/', '-')}.json`);
      json('heads', MODEL, at('texts'), '--distances', '9', '--shard', shard, '--out', file);
      return file;
    });
    const merged = json('heads', 'merge', ...shards, '--out', at('merged.json')) as Record<string, unknown[]>;
    const rounded = (value: unknown): unknown =>
      JSON.parse(
        JSON.stringify(value, (_key, each: unknown) => (typeof each === 'number' ? Number(each.toFixed(4)) : each)),
      );
    assert.deepEqual(rounded(merged), rounded(whole));
    const again = json('heads', MODEL, at('texts'), '--distances', '9', '--resume', at('merged.json'));
    assert.deepEqual(rounded(again), rounded(whole));
    assert.match(lens('heads', 'merge', shards[0] ?? '', shards[0] ?? '').stderr, /would count twice/);
    assert.match(lens('heads', MODEL, at('texts'), '--resume', at('texts/b.md')).stderr, /cannot be read|is no state/);
    const text = lens('heads', MODEL, at('texts')).stdout;
    assert.match(text, /3 documents/);
    assert.match(text, /L2H3 /);
  });

  it('packs pairs', () => {
    writeFileSync(
      at('long.txt'),
      ['The sailor lit lamp at ten. ', 'The old man did it then. '].map((text) => text.repeat(9)).join('\n\n'),
    );
    const { documents, tokens } = json('heads', MODEL, at('long.txt'), '--pairs', '24') as Record<string, number>;
    assert.deepEqual([documents, tokens], [1, 24]);
  });

  it('gives the table of relations as JSON and as text, from shards too, and the sentences behind a row', () => {
    const rows = json('heads', MODEL, '--conllu', TREEBANK) as Row[];
    const { table } = JSON.parse(readFileSync('test/fixtures/heads/expected.json', 'utf8')) as {
      table: (Row & { right: unknown })[];
    };
    assert.deepEqual(
      rows.filter(({ relation }) => relation !== 'coreference'),
      table.map(({ right: _, ...row }) => row),
    );
    assert.equal(rows.at(-1)?.relation, 'coreference');
    const shards = ['0/2', '1/2'].map((shard) => {
      const file = at(`relations-${shard.replace('/', '-')}.json`);
      json('heads', MODEL, '--conllu', TREEBANK, '--shard', shard, '--out', file);
      return file;
    });
    assert.deepEqual(json('heads', 'merge', ...shards), rows);
    assert.match(
      lens('heads', MODEL, '--conllu', TREEBANK).stdout,
      /^advmod +3 +L2H2 +dependent→head +1\.000 +\.667 +−3$/m,
    );
    const { head, examples } = json('heads', MODEL, '--conllu', TREEBANK, '--example', 'advmod') as {
      head: string;
      examples: { text: string; from: number; predicted: number; expected: number }[];
    };
    assert.equal(head, 'L2H2');
    assert.deepEqual(
      examples.map(({ from, predicted, expected }) => [from, predicted, expected]),
      [
        [5, 2, 2],
        [2, 1, 1],
        [4, 1, 1],
      ],
    );
    assert.match(lens('heads', MODEL, '--conllu', TREEBANK, '--example', 'advmod').stdout, /again → lit \(\.\d{3}\) ✓/);
  });

  it('gives a number a block for expansion', () => {
    const rates = json('expansion', MODEL) as number[];
    assert.equal(rates.length, 3);
    assert.ok(rates.every((rate) => rate > 0));
  });

  it('tells bad use with exit code 2', () => {
    for (const args of [
      ['heads', MODEL],
      ['heads', MODEL, at('none.txt')],
      ['heads', MODEL, at('texts'), '--shard', '2/2'],
      ['heads', MODEL, at('texts'), '--pairs', '4'],
      ['heads', 'merge'],
      ['heads', MODEL, '--conllu', TREEBANK, '--example', 'nothing'],
      ['heads', MODEL, '--conllu', TREEBANK, '--resume', at('merged.json')],
    ]) {
      const { status, stderr, stdout } = lens(...args);
      assert.equal(status, 2, `${args.join(' ')}: ${stderr}`);
      assert.notEqual(stderr, '');
      assert.equal(stdout, '');
    }
  });
});
