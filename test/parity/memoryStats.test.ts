/** Statistics of the bundled model's memories over a corpus: those of PyTorch and NumPy on its dequantised weights. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { memoryStats } from '../../extension/engine/analysis/ffn/memoryStats';
import { indexFolder } from '../../extension/engine/analysis/ffn/valueIndex';
import { fingerprint } from '../../extension/engine/session/fingerprint';
import { openModel } from '../../extension/engine/session/ortModel';
import { quiet } from '../support/fakeModel';
import { BUNDLED, SETTINGS } from '../support/fixtures';

const LAYER_COLUMNS = ['positive', 'active', 'composed', 'composedOfActive', 'lostByAttention', 'lostByFfn'] as const;
const AGREEMENT = ['next', 'nextByChance', 'itself', 'itselfByChance'] as const;

type Expected = Record<(typeof LAYER_COLUMNS)[number] | (typeof AGREEMENT)[number] | 'saturated', number[]> & {
  threshold: number;
  seed: number;
  tokens: number;
  predictions: number;
};

describe('statistics of the bundled model’s memories', function () {
  // The words of all 36,864 values.
  this.timeout(900_000);

  it('are those of PyTorch and NumPy', async () => {
    const { stats } = JSON.parse(readFileSync('test/fixtures/ffn/bert-base-cased.json', 'utf8')) as { stats: Expected };
    const cache = mkdtempSync(join(tmpdir(), 'lens-stats-'));
    const model = await openModel(BUNDLED, SETTINGS, () => undefined, 'later');
    try {
      const { threshold, seed } = stats;
      const sources = [{ name: 'corpus.tsv', file: resolve('test/fixtures/ffn/corpus.tsv') }];
      const place = indexFolder(cache, (await fingerprint(BUNDLED)).sha256);
      const { state, layers, saturatedAtInput } = await memoryStats(
        model,
        { sources, threshold, seed },
        place,
        quiet(),
      );
      assert.deepEqual([state.tokens, state.predictions], [stats.tokens, stats.predictions]);
      const close = (found: number | null, expected: number | undefined, tolerance: number, what: string): void =>
        assert.ok(Math.abs((found as number) - (expected as number)) < tolerance, `${what}: ${found}, not ${expected}`);
      // Of two that are all but equal the last digit decides: a few of 3,072 memories, one of 36 predictions.
      const [few, one] = [3.5 / 3072, 1.5 / 36];
      close(saturatedAtInput, stats.saturated[0], one, 'input');
      for (const { layer, agreement, saturated, ...rest } of layers) {
        for (const name of LAYER_COLUMNS)
          close(
            rest[name],
            stats[name][layer],
            name === 'positive' || name === 'active' ? 1e-5 : one,
            `${name} ${layer}`,
          );
        for (const name of AGREEMENT)
          close(agreement[name], stats[name][layer], name.endsWith('Chance') ? 1e-5 : few, `${name} ${layer}`);
        close(saturated, stats.saturated[layer + 1], one, `saturated ${layer}`);
      }
    } finally {
      await model.release();
      rmSync(cache, { recursive: true, force: true });
    }
  });
});
