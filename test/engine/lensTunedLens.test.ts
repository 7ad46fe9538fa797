/** `lens tune-lens` and `lens logit-lens --tuned` as programs. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { LogitLens, LogitLensTable, TunedLensInfo } from '../../extension/protocol/ffn';
import { fixture, reference } from '../support/fixtures';
import { lens, lensJson } from '../support/lens';

const { folder } = fixture('bert');
const [text] = reference('bert').meta.cases[0]?.text as [string];
const CORPUS = resolve('test/fixtures/ffn/corpus.tsv');

describe('lens tune-lens', function () {
  this.timeout(60_000);

  let cache: string;
  beforeEach(() => (cache = mkdtempSync(join(tmpdir(), 'onnx-lens-tuned-'))));
  afterEach(() => rmSync(cache, { recursive: true, force: true }));

  it('trains a lens, and states are read through it', () => {
    const asked = ['logit-lens', folder, '--text', text, '--tuned', '--cache', cache];
    const before = lens(...asked);
    assert.equal(before.code, 2);
    assert.match(before.err, /There is no tuned lens of bert/u);
    const training = ['--tokens', '300', '--rate', '0.003', '--batch', '32', '--seed', '1', '--cache', cache];
    const info = lensJson<TunedLensInfo>('tune-lens', folder, CORPUS, ...training);
    assert.deepEqual([info.batch, info.rate, info.seed, info.states.length], [32, 0.003, 1, 3]);
    assert.deepEqual(info.sources, [CORPUS]);
    const { states, tuned } = lensJson<LogitLens>(...asked);
    assert.deepEqual(tuned, info);
    assert.equal(states.length, 4);
    assert.match(lens(...asked).out, /Read through: a tuned lens .*trained on 3\d\d tokens of .*corpus\.tsv/u);
    const table = lensJson<LogitLensTable>(...asked, '--table');
    assert.equal(table.places.length, 4);
    assert.match(
      lens('tune-lens', folder, CORPUS, '--tokens', '40', '--cache', cache).out,
      /state after +KL as it stands +KL through its map[^]*L1 FFN[^]*held out/u,
    );
  });

  it('refuses what is not for it', () => {
    for (const args of [
      ['tune-lens', folder, '--cache', cache],
      ['tune-lens', folder, CORPUS, '--resume', '--cache', cache],
      ['tune-lens', folder, '--resume', '--cache', cache],
      ['tune-lens', folder, '--resume', '--seed', '1', '--cache', cache],
      ['tune-lens', folder, CORPUS, '--rate', 'x', '--cache', cache],
      ['tune-lens', folder, CORPUS, '--tokens', '0', '--cache', cache],
      ['logit-lens', folder, '--text', text, '--cache', cache],
      ['logit-lens', folder, '--text', text, '--table', '--attention', '--tuned', '--cache', cache],
    ]) {
      const { code, err } = lens(...args);
      assert.equal(code, 2, args.join(' '));
      assert.match(err, /^lens (?:tune-lens|logit-lens): /u);
    }
  });
});
