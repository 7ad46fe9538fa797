/** `lens embed` as a program: its files are what the engine gives, in formats that other programs read. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readSafetensors } from '../../scripts/lens/safetensors';
import { fixture, reference } from '../support/fixtures';
import { lens } from '../support/lens';

const { folder: model } = fixture('bert');

describe('lens embed', function () {
  this.timeout(60_000);
  const { meta, tensors } = reference('bert');
  const [text] = meta.cases[0]?.text as [string];
  const last = tensors.get('a/blocks.2.hook_normalized_resid_post')?.data as Float32Array;
  const folder = mkdtempSync(join(tmpdir(), 'lens-embed-'));
  after(() => rmSync(folder, { recursive: true }));

  const embed = (...args: string[]): ReturnType<typeof lens> => lens('embed', model, ...args);
  const write = (name: string, ...args: string[]): string => {
    const file = join(folder, name);
    const { code, err } = embed('--text', text, '--out', file, ...args);
    assert.equal(code, 0, err);
    return file;
  };
  const close = (actual: ArrayLike<number>, expected: ArrayLike<number>): void => {
    assert.equal(actual.length, expected.length);
    for (let at = 0; at < expected.length; at++)
      assert.ok(Math.abs((actual[at] as number) - (expected[at] as number)) <= 1e-4);
  };

  it('writes .npy: version, header and shape as NumPy wants them', () => {
    const bytes = readFileSync(write('mean.npy', '--pool', 'mean', '--layers', '3'));
    assert.deepEqual([...bytes.subarray(0, 8)], [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0]);
    const size = bytes.readUInt16LE(8);
    assert.equal((10 + size) % 64, 0);
    const header = bytes.subarray(10, 10 + size).toString('ascii');
    assert.equal(header.trimEnd(), "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 48), }");
    assert.ok(header.endsWith('\n'));
    const data = new Float32Array(new Uint8Array(bytes.subarray(10 + size)).buffer);
    const tokens = last.length / 48;
    close(
      data,
      Array.from(
        { length: 48 },
        (_, at) => last.reduce((sum, value, place) => sum + (place % 48 === at ? value : 0), 0) / tokens,
      ),
    );
    const several = readFileSync(write('all.npy', '--layers', 'all'));
    assert.match(several.subarray(10, 120).toString('ascii'), /'shape': \(4, 17, 48\), \}/u);
  });

  it('writes .safetensors and tab-separated vectors with their metadata', () => {
    const tensorsOut = readSafetensors(write('v.safetensors', '--layers', 'static,3,mix:0,0,0,5'));
    assert.deepEqual([...tensorsOut.keys()], ['static', 'layer.3', 'mix']);
    close(tensorsOut.get('layer.3')?.data ?? [], last);
    close(tensorsOut.get('mix')?.data ?? [], last);
    const rows = readFileSync(write('v.tsv'), 'utf8').trimEnd().split('\n');
    const values = Float32Array.from(rows.flatMap((row) => row.split('\t').map(Number)));
    assert.deepEqual(values, tensorsOut.get('layer.3')?.data);
    const metadata = readFileSync(join(folder, 'v.metadata.tsv'), 'utf8').trimEnd().split('\n');
    assert.equal(metadata.length, rows.length + 1);
    assert.equal(metadata[0], 'label\tlayer\ttext\tstart\tend');
    assert.equal(metadata[1]?.split('\t')[0], '[CLS]');
  });

  it('takes the lines of a file as texts', () => {
    const file = join(folder, 'lines.txt');
    writeFileSync(file, 'the house\n\non the hill\r\n');
    const { out } = embed('--file', file, '--pool', 'cls', '--json');
    const { vectors } = JSON.parse(out) as { vectors: { shape: number[]; data: number[][] }[] };
    assert.deepEqual(vectors[0]?.shape, [2, 48]);
    assert.equal(vectors[0]?.data[1]?.length, 48);
  });

  it('tells bad use', () => {
    for (const [args, message] of [
      [[], /--text or --file/u],
      [['--text', 'a', '--layers', '9'], /no hidden state 9/u],
      [['--text', 'a', '--layers', 'mix:1,2'], /2 weights/u],
      [['--text', 'a', '--layers', 'mix:0,0,0,0'], /no weights of a mix/u],
      [['--text', 'a', '--layers', 'six'], /“six” is no layer/u],
      [['--text', 'a', '--out', join(folder, 'v.csv')], /no known format/u],
      [['--file', folder], /could not be read/u],
    ] as const) {
      const { code, err } = embed(...args);
      assert.equal(code, 2, err);
      assert.match(err, message);
    }
  });
});
