/** Heads over files on real models: against what Python made of PyTorch's patterns, and weights against the formulas written out. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Activation } from '../../extension/engine/session/internals';
import { openModel } from '../../extension/engine/session/ortModel';
import { suiteEngine } from '../support/engine';
import { quiet } from '../support/fakeModel';
import { fixture, SETTINGS } from '../support/fixtures';

/** scripts/reference/heads.py */
interface Expected {
  sentences: number;
  table: {
    relation: string;
    n: number;
    head: string;
    direction: string;
    accuracy: number;
    baseline: number;
    offset: number;
    right: number[];
  }[];
  coreference: { n: number; nearest: number; right: number[] };
  statistics: Record<string, number[]>;
  distances: number[];
}
const SENTENCES = resolve('test/fixtures/heads/sentences.conllu');
const expected = JSON.parse(readFileSync('test/fixtures/heads/expected.json', 'utf8')) as Expected;

const near = (
  actual: ArrayLike<number> | undefined,
  wanted: readonly number[],
  tolerance: number,
  what: string,
): void => {
  assert.equal(actual?.length, wanted.length, what);
  wanted.forEach((value, index) =>
    assert.ok(
      Math.abs((actual?.[index] as number) - value) <= tolerance,
      `${what}[${index}]: ${actual?.[index]}, not ${value}`,
    ),
  );
};

describe('heads over files', function () {
  this.timeout(120_000);
  const engine = suiteEngine();
  const model = fixture('bert');

  it('follow relations and clusters as computed in Python', async () => {
    const sources = [{ name: 'sentences', file: SENTENCES }];
    const { state, table, coreference } = await engine.handle('headRelations', { model, sources }, quiet());
    assert.equal(state.sentences, expected.sentences);
    assert.deepEqual(state.skipped, []);
    const rows = table.map(({ relation, n, best, baseline }) => ({
      ...{ relation, n, head: `L${best.layer}H${best.head}`, direction: best.direction, accuracy: best.accuracy },
      ...{ baseline: baseline.accuracy, offset: baseline.offset },
    }));
    assert.deepEqual(
      rows,
      expected.table.map(({ right: _, ...row }) => row),
    );
    for (const { relation, right } of state.relations)
      assert.deepEqual([...right], expected.table.find((row) => row.relation === relation)?.right, relation);
    assert.deepEqual([...(state.coreference?.right ?? [])], expected.coreference.right);
    assert.equal(state.coreference?.n, expected.coreference.n);
    assert.equal(state.coreference.nearest, expected.coreference.nearest);
    assert.equal(coreference?.nearest, expected.coreference.nearest / expected.coreference.n);
    assert.equal(coreference.best[0]?.accuracy, Math.max(...expected.coreference.right) / expected.coreference.n);
  });

  it('have the statistics and distances computed in Python', async () => {
    const texts = readFileSync(SENTENCES, 'utf8').matchAll(/^# text = (.*)$/gm);
    const sources = Array.from(texts, ([, text = ''], index) => ({ name: `${index}`, text }));
    const { state, statistics, blocks } = await engine.handle(
      'headCorpus',
      { model, sources, packing: { kind: 'text' }, distances: 3 },
      quiet(),
    );
    for (const [name, values] of Object.entries(expected.statistics))
      near(
        state.sums[name]?.map((sum) => sum / state.documents),
        values,
        1e-5,
        name,
      );
    near(statistics.next, expected.statistics['next'] ?? [], 1e-5, 'next');
    const wanted = expected.statistics['separator'] ?? [];
    near(
      blocks.separator,
      [0, 1, 2].map((block) => wanted.slice(4 * block, 4 * block + 4).reduce((sum, value) => sum + value, 0) / 4),
      1e-5,
      'separator',
    );
    near(state.distances?.sums, expected.distances, 1e-4, 'distances');
  });

  it('run on models that take no batch, no mask, or no pairs', async () => {
    const text = 'The sailor lit lamp at ten.\n\nThey left early.';
    for (const name of ['gpt2', 'gpt2-fused-past', 'llama', 'albert', 'deberta-v2-ts', 't5enc-dyn', 'bert-ort-fused']) {
      const { state } = await engine.handle(
        'headCorpus',
        { model: fixture(name), sources: [{ name, text }], packing: { kind: 'text' } },
        quiet(),
      );
      assert.equal(state.documents, 2, name);
      for (const sum of state.sums['entropy'] ?? []) assert.ok(Number.isFinite(sum) && sum > 0, name);
    }
  });

  describe('weights', () => {
    const flat = ({ data, dims }: Activation, index: number): number[][] => {
      const [, rows, columns] = dims as [number, number, number];
      return Array.from({ length: rows }, (_, row) =>
        Array.from(data.subarray((index * rows + row) * columns, (index * rows + row + 1) * columns)),
      );
    };
    const product = (a: number[][], b: number[][]): number[][] =>
      a.map((row) =>
        (b[0] ?? []).map((_, column) => row.reduce((sum, value, k) => sum + value * (b[k]?.[column] as number), 0)),
      );
    const turned = (a: number[][]): number[][] =>
      (a[0] ?? []).map((_, column) => a.map((row) => row[column] as number));
    const norm = (a: number[][]): number => Math.sqrt(a.flat().reduce((sum, value) => sum + value * value, 0));

    for (const name of ['bert', 'gpt2', 'llama'])
      it(`${name}: norms of heads, and the expansion rate in the authors’ form`, async () => {
        const opened = await openModel(fixture(name), SETTINGS, () => undefined, 'later');
        const { expansion, ov, qk, heads, notes } = await engine.handle(
          'headWeights',
          { model: fixture(name) },
          quiet(),
        );
        for (let layer = 0; layer < expansion.length; layer++) {
          const read = (weight: string): Promise<Activation> => opened.weight(`blocks.${layer}.attn.${weight}`);
          const [v, o, q, k] = [await read('W_V'), await read('W_O'), await read('W_Q'), await read('W_K')];
          const group = heads / (v.dims[0] as number);
          const columns: number[][] = [];
          const lines: number[][] = [];
          for (let head = 0; head < heads; head++) {
            const own = Math.floor(head / group);
            near([ov[layer * heads + head] as number], [norm(product(flat(v, own), flat(o, head)))], 1e-3, 'OV');
            near(
              [qk[layer * heads + head] as number],
              [norm(product(flat(q, head), turned(flat(k, own))))],
              1e-3,
              'QK',
            );
            columns.push(...turned(flat(v, own)));
            lines.push(...flat(o, head));
          }
          const width = (v.dims[1] as number) ?? 0;
          if (columns.length !== width) {
            assert.equal(expansion[layer], null);
            continue;
          }
          const bias = [...(await read('b_V')).data];
          const biasOfColumns = columns.map((_, column) => {
            const perHead = columns.length / heads;
            const [head, place] = [Math.floor(column / perHead), column % perHead];
            return bias[Math.floor(head / group) * perHead + place] as number;
          });
          const outputBias = [...(await read('b_O')).data];
          // valueᵀ·dense with [[W_v, b_v],[0,1]] and [[W_oᵀ, b_o],[0,1]].
          const value = [
            ...columns.map((column, index) => [...column, biasOfColumns[index] as number]),
            [...new Array<number>(width).fill(0), 1],
          ];
          const dense = [
            ...lines.map((line, index) => [...line, outputBias[index] as number]),
            [...new Array<number>(width).fill(0), 1],
          ];
          near(
            [expansion[layer] as number],
            [norm(product(turned(value), dense)) / Math.sqrt(width + 1)],
            1e-4,
            'expansion',
          );
        }
        assert.equal(notes.length, expansion.filter((rate) => rate === null).length);
        await opened.release();
      });
  });
});
