/**
 * Many runs of one text, each with one head or neuron changed. They differ only above it: where the model can be cut into blocks, each row
 * enters at its own block with the stream of the unchanged run (a neuron's at the next one, with the stream that it leaves), and rows of all blocks go up together in batches; the head of the model
 * is computed at one token. Elsewhere all rows are run whole.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { LensError } from '../../../protocol/errors';
import type { Anatomy } from '../../anatomy/anatomy';
import type { Block } from '../../anatomy/blocks';
import { blockHook } from '../../anatomy/hooks';
import { hasHalfFloats } from '../../anatomy/subject';
import type { Activation, Internals, Intervention, Trace, TraceOptions } from '../../session/internals';
import { checkFinite, type InputRow, type RunContext } from '../../session/languageModel';
import { streamsAbove } from '../ffn/streamsAbove';
import { throwIfCancelled, TOKENS_PER_RUN } from '../forward';
import { isHeadChange, isNeuronChange, neuronScales, rowGates, type RowChange } from './headChanges';

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

/** What can be changed in a row, by the hook that it is changed at. */
const KINDS = ['attn.hook_z', 'mlp.hook_post'] as const;
type Kind = (typeof KINDS)[number];
const OF_KIND: Record<Kind, (change: RowChange) => boolean> = {
  'attn.hook_z': isHeadChange,
  'mlp.hook_post': isNeuronChange,
};

/** The rows' own changes of a block, on top of those that hold in all. */
function changeAt(
  kind: Kind,
  { blocks }: Anatomy,
  layer: number,
  base: readonly Intervention[],
  rows: readonly RowChange[],
  length: number,
): Intervention {
  const hook = blockHook(layer, kind);
  const held = base.find((change) => change.hook === hook)?.scale;
  const { attention, ffn } = blocks[layer] as Block;
  if (kind === 'attn.hook_z') return { hook, ...rowGates(layer, attention, held, rows) };
  const scale = neuronScales(layer, ffn?.width ?? 0, length, held, rows);
  return scale === undefined ? { hook } : { hook, scale };
}

/** Of streams that wait for the next block, and of logits at once. */
const MOST_NUMBERS = 32 * 2 ** 20;

/** By the largest of all that is in a tensor: a row's result depends on what else is in the batch. */
export const quantisesActivations = ({ subject }: Anatomy): boolean =>
  subject.model.graph.nodes.some(({ opType }) => opType.startsWith('DynamicQuantize'));

/** Whether the model takes texts of any length: a padded stream cannot be told from a whole one. */
const takesAnyLength = ({ info }: Pick<Internals, 'info'>): boolean =>
  info.inputs.every(({ name, shape }) => name !== 'input_ids' || typeof shape[1] !== 'number');

/** Between the unchanged run as a whole and block by block, in nats. More, and the blocks are not what they look like. */
const SAME = 1e-3;
/** With 16-bit activations, which the runtime rounds elsewhere when it fuses otherwise. */
const ROUGHLY_SAME = 0.02;

/**
 * From blocks where the model can be cut into them. The unchanged run is the first row: what it gives block by block must be what it gave as
 * a whole (`before`). `clean` has the streams before all blocks; neurons that are changed at the token that is read enter above their layer
 * where it also has what that takes (`hooksAbove`).
 */
export async function runChanges<T extends { logprob: number }>(
  runs: ChangedRuns,
  clean: Trace,
  changes: readonly RowChange[],
  read: Reader<T>,
  before: number,
): Promise<T[]> {
  const { model, anatomy } = runs;
  const streams = anatomy.blocks.map((_, layer) => clean.get(blockHook(layer, 'hook_resid_pre')));
  const isComplete = (given: typeof streams): given is Activation[] => given.every((stream) => stream !== undefined);
  if (!quantisesActivations(anatomy) && takesAnyLength(model) && isComplete(streams)) {
    try {
      const outcomes = await runFromBlocks(runs, clean, streams, changes, read);
      const limit = hasHalfFloats(anatomy.subject) ? ROUGHLY_SAME : SAME;
      if (Math.abs((outcomes[0] as T).logprob - before) <= limit) return outcomes;
    } catch (thrown) {
      if (!cannotRunSo(thrown)) throw thrown;
    }
  }
  return runWhole(runs, changes, read);
}

/** A run, and where it leaves the unchanged one. */
interface Entering {
  change: RowChange;
  /** The block that it begins with; the number of blocks: the head. */
  layer: number;
  /** What this block reads [T·D]; for the head only at the token that is read [D]. */
  stream: () => Float32Array;
}

/** In the order of the changes. `streams`: before each block, of the unchanged run [1,T,D]. */
async function entriesOf(
  { model, anatomy, position }: ChangedRuns,
  clean: Trace,
  streams: readonly Activation[],
  changes: readonly RowChange[],
): Promise<Entering[]> {
  const above = await streamsAbove(model, anatomy, clean, position, changes.filter(isNeuronChange));
  const layerOf = (change: RowChange): number =>
    change === null ? Infinity : change.layer + (isNeuronChange(change) && above !== null ? 1 : 0);
  const lowest = changes.reduce((least, change) => Math.min(least, layerOf(change)), anatomy.layers - 1);
  return changes.map((change): Entering => {
    const layer = change === null ? lowest : layerOf(change);
    const own = isNeuronChange(change) ? above?.get(change) : undefined;
    if (layer === anatomy.layers) return { change, layer, stream: () => own as Float32Array };
    const { data, dims } = streams[layer] as Activation;
    return {
      change,
      layer,
      stream: () => {
        if (own === undefined) return data;
        const stream = data.slice();
        stream.set(own, position * (dims[2] as number));
        return stream;
      },
    };
  });
}

/** `streams`: before each block, of the unchanged run [1,T,D]. */
async function runFromBlocks<T>(
  runs: ChangedRuns,
  clean: Trace,
  streams: readonly Activation[],
  changes: readonly RowChange[],
  read: Reader<T>,
): Promise<T[]> {
  const { model, anatomy, row, base, position, context } = runs;
  const length = row.ids.length;
  const width = streams[0]?.dims[2] ?? 0;
  const size = length * width;
  const all = await entriesOf(runs, clean, streams, changes);
  // Lower ones first: others join them on their way up.
  const order = [...all.keys()].sort((a, b) => (all[a] as Entering).layer - (all[b] as Entering).layer);
  const total = all.reduce((sum, { layer }) => sum + anatomy.layers - layer, 0);
  const gated = all.flatMap(({ change, layer }) => (change?.layer === layer ? [change] : []));
  // The same in all rows and layers, so that each block has one session.
  const kinds = KINDS.filter((kind) => gated.some(OF_KIND[kind]) || base.some(({ hook }) => hook.endsWith(kind)));
  let done = 0;
  const results: T[] = [];
  for (const indices of chunks(order, Math.floor(MOST_NUMBERS / size))) {
    const group = indices.map((index) => all[index] as Entering);
    let below: Float32Array[] = [];
    for (let layer = group[0]?.layer ?? 0; layer < anatomy.layers; layer++) {
      const entering = group.slice(below.length).filter((each) => each.layer === layer);
      const inputs = [...below, ...entering.map(({ stream }) => stream())];
      const above: Float32Array[] = [];
      for (const part of chunks(inputs, rowsPerRun(length))) {
        throwIfCancelled(context.signal);
        const rows = group.slice(above.length, above.length + part.length).map(({ change }) => change);
        const resid = joined(part, [part.length, length, width]);
        const texts = part.map(() => row);
        const changed = kinds.map((kind) => changeAt(kind, anatomy, layer, base, rows, length));
        // Of what comes out of the last block only one token is read.
        const isLast = layer === anatomy.layers - 1 && kinds.length === 0;
        const { data } = isLast
          ? await model.runBlockAt(layer, resid, texts, position)
          : await model.runBlock(layer, resid, texts, changed);
        const each = data.length / part.length;
        part.forEach((_, index) => above.push(data.subarray(index * each, (index + 1) * each)));
        done += part.length;
        context.progress({ message: `Layer ${layer}`, fraction: done / total });
        await nextTurn();
      }
      below = above;
    }
    const ends = [
      ...below.map((stream) =>
        stream.length === width ? stream : stream.subarray(position * width, (position + 1) * width),
      ),
      ...group.slice(below.length).map(({ stream }) => stream()),
    ];
    let next = 0;
    for (const part of chunks(ends, Math.floor(MOST_NUMBERS / (model.info.vocabSize ?? MOST_NUMBERS)))) {
      throwIfCancelled(context.signal);
      for (const each of readRows(await model.runHead(joined(part, [part.length, 1, width])), model.info.id, read))
        results[indices[next++] as number] = each;
    }
  }
  return results;
}

/** Every row from the tokens on. */
async function runWhole<T>(
  { model, anatomy, row, base, position, context }: ChangedRuns,
  changes: readonly RowChange[],
  read: Reader<T>,
): Promise<T[]> {
  const most = quantisesActivations(anatomy) ? 1 : rowsPerRun(row.ids.length);
  const results: T[] = [];
  for (const part of chunks(changes, most)) {
    throwIfCancelled(context.signal);
    const hooks = new Map(base.map((change) => [change.hook, change]));
    for (const kind of KINDS)
      for (const layer of new Set(part.flatMap((change) => (OF_KIND[kind](change) ? [change?.layer as number] : [])))) {
        const change = changeAt(kind, anatomy, layer, base, part, row.ids.length);
        hooks.set(change.hook, change);
      }
    const rows = part.map(() => row);
    const trace = await model.trace(rows, [LOGITS], [...hooks.values()], logitsAt(position));
    results.push(...readRows(trace.get(LOGITS) as Activation, model.info.id, read));
    context.progress({ message: 'Changed runs', fraction: results.length / changes.length });
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
const cannotRunSo = (thrown: unknown): boolean =>
  thrown instanceof LensError && (thrown.code === 'model-unsupported' || thrown.code === 'model-invalid');
