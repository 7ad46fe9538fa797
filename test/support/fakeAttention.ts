/** A model whose patterns are a rule, for the work over files. */
import type { Trace, Traceable } from '../../extension/engine/session/internals';
import type { InputRow } from '../../extension/engine/session/languageModel';
import type { LensTokenizer } from '../../extension/engine/text/tokenizer';
import { FakeModel } from './fakeModel';

/** Any positive number; rows are divided by their sums. */
export type WeightRule = (ids: Int32Array, layer: number, head: number, query: number, key: number) => number;

export class FakeAttention extends FakeModel implements Traceable {
  /** Has an attention_mask, so that rows of different length may run together. */
  pads = true;
  /** Batches of more rows are refused. */
  mostRows = Infinity;
  refused = 0;
  onRun: () => Promise<unknown> = async () => undefined;

  constructor(
    tokenizer: LensTokenizer,
    readonly layers: number,
    readonly heads: number,
    private readonly weights: WeightRule,
  ) {
    super(tokenizer, () => []);
  }

  async anatomy(): ReturnType<Traceable['anatomy']> {
    this.info.inputs = ['input_ids', ...(this.pads ? ['attention_mask'] : [])].map((name) => ({
      ...{ name, type: 'int64', shape: [] },
    }));
    const { layers, heads } = this;
    const each = <T>(value: (layer: number) => T): T[] => Array.from({ length: layers }, (_, layer) => value(layer));
    const hooks = {
      sites: new Map(each((layer) => [`blocks.${layer}.attn.hook_pattern`, {}])),
      missing: new Map(),
    };
    // What work over files reads of an anatomy.
    const anatomy = { layers, blocks: each(() => ({ attention: { heads } })), hooks, visibility: each(() => null) };
    return anatomy as unknown as Awaited<ReturnType<Traceable['anatomy']>>;
  }

  async trace(rows: readonly InputRow[], hooks: readonly string[]): Promise<Trace> {
    await this.onRun();
    const length = Math.max(...rows.map(({ ids }) => ids.length));
    const isUneven = rows.some(({ ids }) => ids.length !== length);
    if (rows.length > this.mostRows || (isUneven && !this.pads)) {
      this.refused++;
      throw new Error('one text at a time');
    }
    this.rows.push(...rows.map(({ ids }) => [...ids]));
    return new Map(
      hooks.map((hook) => {
        const layer = Number(/\d+/.exec(hook)?.[0]);
        const data = new Float32Array(rows.length * this.heads * length * length).fill(NaN);
        rows.forEach(({ ids }, row) => {
          for (let head = 0; head < this.heads; head++)
            for (let query = 0; query < ids.length; query++) {
              const own = Array.from(ids, (_, key) => this.weights(ids, layer, head, query, key));
              const sum = own.reduce((total, weight) => total + weight, 0);
              own.forEach((weight, key) => {
                data[((row * this.heads + head) * length + query) * length + key] = weight / sum;
              });
            }
        });
        return [hook, { dims: [rows.length, this.heads, length, length], data }];
      }),
    );
  }
}
