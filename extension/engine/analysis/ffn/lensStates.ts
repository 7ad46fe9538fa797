/**
 * States of the residual stream, and what the model's own head makes of each (logit lens: nostalgebraist 2020). In post-norm models a
 * state is what the next part reads, behind the norm; in the others the sum itself, since the head begins with their last norm.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { LensPlace } from '../../../protocol/ffn';
import { LensError } from '../../../protocol/errors';
import type { Anatomy } from '../../anatomy/anatomy';
import { blockHook, lastStream } from '../../anatomy/hooks';
import type { Activation, Internals, Intervention, Part } from '../../session/internals';
import { checkFinite, type InputRow, type RunContext } from '../../session/languageModel';
import { LOGITS, quantisesActivations } from '../attention/changedRuns';
import { throwIfCancelled } from '../forward';

/** Logits at once. */
const MOST_NUMBERS = 16 * 2 ** 20;

/** The hooks whose sum is the state. */
export interface Source extends LensPlace {
  hooks: readonly string[];
}

export interface States {
  places: LensPlace[];
  /** [P,D] of each place, for the positions asked for. */
  numbers: Float32Array[];
  /** The model's own logits [P,V] there; null when they were not asked for. */
  logits: Activation | null;
  notes: string[];
}

/** Throws `model-unsupported` when the end of the stream cannot be read. */
export function sourcesOf(anatomy: Anatomy, model: string, attention: boolean): { sources: Source[]; notes: string[] } {
  const { blocks, hooks, layers } = anatomy;
  const has = (hook: string): boolean => hooks.sites.has(hook);
  const sources: Source[] = [{ layer: 0, part: 'input', hooks: [blockHook(0, 'hook_resid_pre')] }];
  const unseen: number[] = [];
  blocks.forEach((block, layer) => {
    const pre = blockHook(layer, 'hook_resid_pre');
    const middle = block.norm === 'post' ? 'hook_mlp_in' : 'hook_resid_mid';
    const read = block.parallel ? [pre, blockHook(layer, 'hook_attn_out')] : [blockHook(layer, middle)];
    if (attention && read.every(has)) sources.push({ layer, part: 'attention', hooks: read });
    else if (attention) unseen.push(layer);
    const end = layer + 1 < layers ? blockHook(layer + 1, 'hook_resid_pre') : lastStream(anatomy);
    sources.push({ layer, part: 'ffn', hooks: [end] });
  });
  const [missing] = sources.flatMap((source) => source.hooks.filter((hook) => !has(hook)));
  const isHidden = anatomy.norm === 'post' && !has(blockHook(layers - 1, 'hook_normalized_resid_post'));
  const lost = missing ?? (isHidden ? blockHook(layers - 1, 'hook_normalized_resid_post') : undefined);
  if (lost !== undefined || layers === 0)
    throw new LensError(
      'model-unsupported',
      `The layers of ${model} cannot be read through its head: ${
        layers === 0 ? (hooks.missing.get('blocks.*') ?? 'no block was found') : `there is no ${lost}`
      }.`,
      '“lens inspect” lists what was found in the model, and why the rest is missing.',
    );
  return {
    sources,
    notes:
      unseen.length === 0
        ? []
        : [`What stands between attention and FFN cannot be read in layer ${unseen.join(', ')}.`],
  };
}

/** `attention`: also what stands between attention and FFN. `verify`: also the model's own logits. */
export async function readStates(
  model: Internals,
  row: InputRow,
  positions: readonly number[],
  interventions: readonly Intervention[],
  { attention, verify }: { attention: boolean; verify: boolean },
): Promise<States> {
  const anatomy = await model.anatomy();
  const { sources, notes } = sourcesOf(anatomy, model.info.id, attention);
  const hooks = [...new Set(sources.flatMap((source) => source.hooks)), ...(verify ? [LOGITS] : [])];
  const parts = new Map(hooks.map((hook): [string, Part] => [hook, { positions }]));
  const trace = await model.trace([row], hooks, interventions, { parts });
  const numbers = sources.map(({ hooks: addends }) =>
    sumOf(addends.map((hook) => (trace.get(hook) as Activation).data)),
  );
  return {
    places: sources.map(({ layer, part }) => ({ layer, part })),
    numbers,
    logits: verify ? (trace.get(LOGITS) as Activation) : null,
    notes: [
      ...notes,
      ...(anatomy.blocks.some(({ parallel }) => parallel)
        ? ['Attention and FFN of a layer read the same stream; the state after attention has its output only.']
        : []),
    ],
  };
}

export function sumOf(addends: readonly Float32Array[]): Float32Array {
  const [first, ...rest] = addends as [Float32Array, ...Float32Array[]];
  return rest.length === 0
    ? first
    : first.map((element, at) => rest.reduce((sum, other) => sum + (other[at] as number), element));
}

/**
 * Streams [n,D] through the model's own head, some at once: `read` gets the logits [V] of each, in order. `together`: how many streams
 * one run of the model has, which models that quantise activations must get together to say the same of them.
 */
export async function readHead(
  model: Internals,
  streams: readonly Float32Array[],
  width: number,
  read: (logits: Float32Array, index: number) => void,
  { signal, progress }: RunContext,
): Promise<void> {
  const anatomy = await model.anatomy();
  const vocab = model.info.vocabSize ?? MOST_NUMBERS;
  const perRun = Math.max(1, Math.floor(MOST_NUMBERS / vocab));
  const total = streams.reduce((sum, stream) => sum + stream.length / width, 0);
  const runs = quantisesActivations(anatomy) ? streams : regrouped(streams, width, perRun);
  let done = 0;
  for (const stream of runs) {
    throwIfCancelled(signal);
    const count = stream.length / width;
    const { dims, data } = await model.runHead({ dims: [count, 1, width], data: stream });
    const size = dims.at(-1) as number;
    checkFinite(data, size, model.info.id);
    for (let row = 0; row < count; row++) read(data.subarray(row * size, (row + 1) * size), done + row);
    done += count;
    progress({ message: 'Reading the layers', fraction: done / total });
    await nextTurn();
  }
}

function* regrouped(streams: readonly Float32Array[], width: number, perRun: number): Generator<Float32Array> {
  const all = new Float32Array(streams.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const stream of streams) {
    all.set(stream, at);
    at += stream.length;
  }
  for (let from = 0; from < all.length; from += perRun * width)
    yield all.subarray(from, Math.min(all.length, from + perRun * width));
}
