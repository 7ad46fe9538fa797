/**
 * Many runs of one text, each with one head changed. They differ only above that head: where the model can be cut into blocks, each row
 * enters at its own block with the stream of the unchanged run, and rows of all blocks go up together in batches; the head of the model
 * is computed at one token. Elsewhere all rows are run whole.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { LensError } from '../../../protocol/errors';
import type { Anatomy } from '../../anatomy/anatomy';
import type { Attention } from '../../anatomy/attention';
import type { Block } from '../../anatomy/blocks';
import { blockHook } from '../../anatomy/hooks';
import type { Activation, Internals, Intervention, TraceOptions } from '../../session/internals';
import { checkFinite, type InputRow, type RunContext } from '../../session/languageModel';
import { throwIfCancelled, TOKENS_PER_RUN } from '../forward';
import { rowGates, type RowChange } from './headChanges';

export interface ChangedRuns {
  model: Internals;
  anatomy: Anatomy;
  row: InputRow;
  /** In force in every run. */
  base: readonly Intervention[];
  /** Where logits are read. */
  position: number;
  context: RunContext;
}

/** What is read off the logits [V] of a run. */
type Reader<T> = (logits: Float32Array) => T;

export const LOGITS = 'unembed.logits';
/** Logits of one token only. */
export const logitsAt = (position: number): TraceOptions => ({ parts: new Map([[LOGITS, { positions: [position] }]]) });
export const zHook = (layer: number): string => blockHook(layer, 'attn.hook_z');
const headsOf = ({ blocks }: Anatomy, layer: number): Attention => (blocks[layer] as Block).attention;

/** Of streams that wait for the next block, and of logits at once. */
const MOST_NUMBERS = 32 * 2 ** 20;

/** By the largest of all that is in a tensor: a row's result depends on what else is in the batch. */
export const quantisesActivations = ({ subject }: Anatomy): boolean =>
  subject.model.graph.nodes.some(({ opType }) => opType.startsWith('DynamicQuantize'));

/** Whether the model takes texts of any length: a padded stream cannot be told from a whole one. */
export const takesAnyLength = ({ info }: Pick<Internals, 'info'>): boolean =>
  info.inputs.every(({ name, shape }) => name !== 'input_ids' || typeof shape[1] !== 'number');

/** Rows must begin with the lowest block. `streams`: before each block, of the unchanged run [1,T,D]. */
export async function runFromBlocks<T>(
  { model, anatomy, row, base, position, context }: ChangedRuns,
  streams: readonly Activation[],
  changes: readonly RowChange[],
  read: Reader<T>,
): Promise<T[]> {
  const length = row.ids.length;
  const width = streams[0]?.dims[2] ?? 0;
  const size = length * width;
  const lowest = changes.find((change) => change !== null)?.layer ?? 0;
  const entryOf = (change: RowChange): number => change?.layer ?? lowest;
  const total = changes.reduce((sum, change) => sum + anatomy.layers - entryOf(change), 0);
  let done = 0;
  const results: T[] = [];
  for (const group of chunks(changes, Math.floor(MOST_NUMBERS / size))) {
    let below: Float32Array[] = [];
    for (let layer = entryOf(group[0] ?? null); layer < anatomy.layers; layer++) {
      const entering = group.slice(below.length).filter((change) => entryOf(change) === layer);
      const clean = (streams[layer] as Activation).data;
      const inputs = [...below, ...entering.map(() => clean)];
      const scales = base.find(({ hook }) => hook === zHook(layer))?.scale;
      const above: Float32Array[] = [];
      for (const part of chunks(inputs, rowsPerRun(length))) {
        throwIfCancelled(context.signal);
        const rows = group.slice(above.length, above.length + part.length);
        const gates = rowGates(layer, headsOf(anatomy, layer), scales, rows);
        const resid = joined(part, [part.length, length, width]);
        const { data } = await model.runBlock(
          layer,
          resid,
          part.map(() => row),
          gates,
        );
        part.forEach((_, index) => above.push(data.subarray(index * size, (index + 1) * size)));
        done += part.length;
        context.progress({ message: `Layer ${layer}`, fraction: done / total });
        await nextTurn();
      }
      below = above;
    }
    const ends = below.map((stream) => stream.subarray(position * width, (position + 1) * width));
    for (const part of chunks(ends, Math.floor(MOST_NUMBERS / (model.info.vocabSize ?? MOST_NUMBERS)))) {
      throwIfCancelled(context.signal);
      results.push(...readRows(await model.runHead(joined(part, [part.length, 1, width])), model.info.id, read));
    }
  }
  return results;
}

/** Every row from the tokens on. */
export async function runWhole<T>(
  { model, anatomy, row, base, position, context }: ChangedRuns,
  changes: readonly RowChange[],
  read: Reader<T>,
): Promise<T[]> {
  const most = quantisesActivations(anatomy) ? 1 : rowsPerRun(row.ids.length);
  const results: T[] = [];
  for (const part of chunks(changes, most)) {
    throwIfCancelled(context.signal);
    const hooks = new Map(base.map((change) => [change.hook, change]));
    for (const layer of new Set(part.flatMap((change) => (change === null ? [] : [change.layer])))) {
      const hook = zHook(layer);
      hooks.set(hook, { hook, ...rowGates(layer, headsOf(anatomy, layer), hooks.get(hook)?.scale, part) });
    }
    const rows = part.map(() => row);
    const trace = await model.trace(rows, [LOGITS], [...hooks.values()], logitsAt(position));
    results.push(...readRows(trace.get(LOGITS) as Activation, model.info.id, read));
    context.progress({ message: 'Heads', fraction: results.length / changes.length });
    await nextTurn();
  }
  return results;
}

/** At least one. */
const rowsPerRun = (length: number): number => Math.max(1, Math.floor(TOKENS_PER_RUN / length));

function* chunks<T>(items: readonly T[], size: number): Generator<T[]> {
  const step = Math.max(1, size);
  for (let start = 0; start < items.length; start += step) yield items.slice(start, start + step);
}

function joined(rows: readonly Float32Array[], dims: readonly number[]): Activation {
  const [first] = rows;
  const size = first?.length ?? 0;
  const data = new Float32Array(rows.length * size);
  rows.forEach((row, index) => data.set(row, index * size));
  return { dims, data };
}

/** Logits [N,1,V]. */
function readRows<T>({ dims, data }: Activation, model: string, read: Reader<T>): T[] {
  const vocab = dims.at(-1) as number;
  checkFinite(data, vocab, model);
  return Array.from({ length: data.length / vocab }, (_, row) => read(data.subarray(row * vocab, (row + 1) * vocab)));
}

/** Whether an error says that the model cannot be run in this way, rather than that it cannot be run. */
export const cannotRunSo = (thrown: unknown): boolean =>
  thrown instanceof LensError && (thrown.code === 'model-unsupported' || thrown.code === 'model-invalid');
