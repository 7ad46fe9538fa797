/** Non-negative factorisation: as good as scikit-learn's, and groups that were put in come out. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { factorise } from '../../extension/engine/analysis/ffn/nmf';
import { LensError } from '../../extension/protocol/errors';

interface Case {
  data: number[][];
  /** Of scikit-learn, by the number of groups. */
  errors: Record<string, number>;
  groups?: number[];
}
const CASES = JSON.parse(readFileSync('test/fixtures/ffn/nmf.json', 'utf8')) as Record<string, Case>;
const go = (): Promise<void> => Promise.resolve();

describe('non-negative factorisation', () => {
  for (const [name, { data, errors }] of Object.entries(CASES))
    for (const [count, reached] of Object.entries(errors))
      it(`${name}, ${count} groups: the error is that of scikit-learn`, async () => {
        // Each of both may stop at a minimum of its own; a few starts find the same.
        const runs = await Promise.all([0, 1, 2, 3].map((seed) => factorise(data, Number(count), seed, go)));
        const best = runs.reduce((least, each) => (each.error < least.error ? each : least));
        assert.ok(best.error < 1.01 * reached, `${best.error}, not ${reached}`);
        let [off, size] = [0, 0];
        data.forEach((row, n) =>
          row.forEach((value, t) => {
            const made = best.rows.reduce(
              (sum, each, group) => sum + (each[t] as number) * (best.columns[group]?.[n] as number),
              0,
            );
            off += (value - made) ** 2;
            size += value ** 2;
          }),
        );
        assert.ok(Math.abs(Math.sqrt(off / size) - best.error) < 1e-9);
        for (const each of [...best.rows, ...best.columns]) assert.ok(each.every((value) => value >= 0));
        for (const each of best.rows) assert.ok(Math.abs(Math.max(...each) - 1) < 1e-9);
      });

  it('finds the groups that were put in', async () => {
    const { data, groups } = CASES['planted'] as Case;
    const { columns } = await factorise(data, 3, 0, go);
    const found = data.map((_, n) => {
      const weights = columns.map((column) => column[n] as number);
      return weights.indexOf(Math.max(...weights));
    });
    const names = new Map(groups?.map((group, n) => [group, found[n]]));
    assert.equal(new Set(names.values()).size, 3);
    groups?.forEach((group, n) => assert.equal(found[n], names.get(group)));
  });

  it('is the same for a seed, stops when it is told, and bears rows of zeros', async () => {
    const { data } = CASES['random'] as Case;
    assert.deepEqual(await factorise(data, 3, 5, go), await factorise(data, 3, 5, go));
    await assert.rejects(
      factorise(data, 3, 5, () => Promise.reject(new LensError('cancelled', 'Cancelled.'))),
      LensError,
    );
    const { error, rows } = await factorise(
      [
        [0, 0],
        [0, 0],
      ],
      2,
      0,
      go,
    );
    assert.equal(error, 0);
    assert.ok(rows.every((row) => row.every((value) => Number.isFinite(value))));
  });
});
