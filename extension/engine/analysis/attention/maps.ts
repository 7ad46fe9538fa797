/** One picture, or several, of where attention goes. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type {
  AttentionInput,
  AttentionMaps,
  AttentionMethod,
  AttentionSelection,
  HeadRef,
} from '../../../protocol/attention';
import { LensError } from '../../../protocol/errors';
import { counted, headName } from '../../../protocol/format';
import type { Scale } from '../../../protocol/interventions';
import type { Anatomy } from '../../anatomy/anatomy';
import type { Block } from '../../anatomy/blocks';
import type { Activation, Internals } from '../../session/internals';
import type { LanguageModel, RunContext } from '../../session/languageModel';
import { throwIfCancelled } from '../forward';
import { headFactors, scaleInterventions } from '../interventions';
import { MOST_AT_ONCE, traceBlocks, type BlockHook, type Run } from './blocks';
import {
  contributions,
  deviationsOf,
  mixingRatio,
  valueNorms,
  type Around,
  type Gates,
  type HeadNumbers,
} from './contributions';
import { LayeredFlow } from './flow';
import { checkHeads, prepareInput, unitsOf } from './input';
import { noteOf } from './notes';
import { rollOn, withResidual } from './rollout';
import { mergeUnits, renormaliseRows, rowsSumToOne, shownUnits } from './units';

/** A picture before units: of a whole layer when it has no heads. */
interface Target {
  layer: number;
  head: number | null;
}

interface Source {
  model: LanguageModel & Internals;
  anatomy: Anatomy;
  run: Run;
  length: number;
  scales: readonly Scale[];
  context: RunContext;
}

/** A matrix [T,T] for each target, in their order; and of a whole layer its mixing ratio, where there is one. */
interface Measured {
  matrices: ArrayLike<number>[];
  mixing: number | null;
}

/** Throws `model-unsupported` for what the model does not have, `bad-input`, `memory`, and what `prepareInput` throws. */
export async function attentionMaps(
  model: LanguageModel & Internals,
  params: Omit<AttentionInput & AttentionSelection, 'model'>,
  context: RunContext,
): Promise<AttentionMaps> {
  const started = performance.now();
  const { row, tokens, window, notes } = prepareInput(model, params);
  const anatomy = await model.anatomy();
  const { layer, heads, method, combine, words, specials } = params;
  const scales = params.interventions ?? [];
  const interventions = scaleInterventions(anatomy, scales, tokens.length);
  checkHeads(anatomy, heads.length === 0 ? [{ layer, head: 0 }] : heads);
  const units = shownUnits(unitsOf(tokens, words), specials);
  if (units.length === 0)
    throw new LensError(
      'bad-input',
      'The text has only special tokens.',
      'Show special tokens, or give a longer text.',
    );
  const targets: Target[] = heads.length === 0 ? [{ layer, head: null }] : heads.map((each) => ({ ...each }));
  const pictures = combine === 'each' ? targets.length : 1;
  if (4 * targets.length * tokens.length ** 2 > MOST_AT_ONCE)
    throw new LensError(
      'memory',
      `${counted(targets.length, 'picture')} of ${counted(tokens.length, 'token')} are more than ${MOST_AT_ONCE / 2 ** 20} MB.`,
      'Choose fewer heads, or a shorter text.',
    );
  const source = { model, anatomy, run: { row, interventions }, length: tokens.length, scales, context };
  const { matrices, mixing } = await measure(source, targets, method);
  const merged = matrices.map((matrix) => mergeUnits(matrix, tokens.length, units));
  const size = units.length;
  const shown = combined(merged, combine);
  if (specials === 'renormalise') for (const matrix of shown) renormaliseRows(matrix, size);
  const data = new Float32Array(pictures * size * size);
  shown.forEach((matrix, index) => {
    data.set(matrix, index * size * size);
  });
  return {
    model: model.info.id,
    tokens,
    window,
    units,
    maps: labels(targets, combine),
    data,
    rowsSumToOne: shown.every((matrix) => rowsSumToOne(matrix, size)),
    mixing,
    note: [noteOf(params, units), ...beforeSum(anatomy, targets, method), ...notes].join(' '),
    elapsed: performance.now() - started,
  };
}

function combined(matrices: readonly Float64Array[], combine: AttentionSelection['combine']): Float64Array[] {
  const [first, ...rest] = matrices;
  if (combine === 'each' || first === undefined || rest.length === 0) return [...matrices];
  const result = first.slice();
  for (const matrix of rest)
    for (let at = 0; at < result.length; at++) {
      const [before, now] = [result[at] as number, matrix[at] as number];
      result[at] = combine === 'max' ? Math.max(before, now) : before + now;
    }
  if (combine === 'mean')
    for (let at = 0; at < result.length; at++) result[at] = (result[at] as number) / matrices.length;
  return [result];
}

/** Heads that are named in a label. */
const NAMED = 3;

function labels(targets: readonly Target[], combine: AttentionSelection['combine']): AttentionMaps['maps'] {
  const nameOf = ({ layer, head }: Target): string => (head === null ? `L${layer}` : headName({ layer, head }));
  const refs = targets.flatMap(({ layer, head }): HeadRef[] => (head === null ? [] : [{ layer, head }]));
  if (combine === 'each' || targets.length === 1)
    return targets.map((target, index) => ({ label: nameOf(target), heads: refs.slice(index, index + 1) }));
  const names = targets.length <= NAMED ? targets.map(nameOf).join(', ') : counted(targets.length, 'head');
  return [{ label: `${combine} of ${names}`, heads: refs }];
}

function measure(source: Source, targets: readonly Target[], method: AttentionMethod): Promise<Measured> {
  switch (method) {
    case 'weight':
      return weights(source, targets);
    case 'value':
      return weightedValues(source, targets);
    case 'rollout':
      return rollouts(source, targets);
    case 'flow':
      return flows(source, targets);
    default:
      return norms(source, targets, method);
  }
}

const layersOf = (targets: readonly Target[]): number[] => [...new Set(targets.map(({ layer }) => layer))];

function headsOf({ anatomy }: Source, { layer, head }: Target): number[] {
  if (head !== null) return [head];
  return Array.from({ length: anatomy.blocks[layer]?.attention.heads as number }, (_, each) => each);
}

/** Factors of a block's heads in this run. */
const gatesOf = ({ anatomy, scales, length }: Source, layer: number): Gates =>
  headFactors(scales, layer, anatomy.blocks[layer]?.attention.heads as number, length);

/** Mean over heads of a matrix of each. */
function meanOver(heads: readonly number[], length: number, of: (head: number, at: number) => number): Float64Array {
  const mean = new Float64Array(length * length);
  for (const head of heads)
    for (let at = 0; at < mean.length; at++) mean[at] = (mean[at] as number) + of(head, at) / heads.length;
  return mean;
}

/** α; of a layer its mean over heads. Mixing without a residual stream: 1 - α_ii. */
async function weights(source: Source, targets: readonly Target[]): Promise<Measured> {
  const { model, run, length } = source;
  const blocks = await traceBlocks(model, run, layersOf(targets), ['attn.hook_pattern']);
  const size = length * length;
  const matrices = targets.map((target) => {
    const { data } = blocks(target.layer, 'attn.hook_pattern');
    const heads = headsOf(source, target);
    const [only] = heads;
    return heads.length === 1 && only !== undefined
      ? data.subarray(only * size, (only + 1) * size)
      : meanOver(heads, length, (head, at) => data[head * size + at] as number);
  });
  return {
    matrices,
    mixing: targets[0]?.head === null ? 1 - diagonalMean(matrices[0] as ArrayLike<number>, length) : null,
  };
}

function diagonalMean(matrix: ArrayLike<number>, length: number): number {
  let sum = 0;
  for (let token = 0; token < length; token++) sum += matrix[token * length + token] as number;
  return sum / length;
}

/** α·‖v‖, v with the factor of an intervention. */
async function weightedValues(source: Source, targets: readonly Target[]): Promise<Measured> {
  const { model, run, length } = source;
  const blocks = await traceBlocks(model, run, layersOf(targets), ['attn.hook_pattern', 'attn.hook_v']);
  const matrices = targets.map((target) => {
    const { data: pattern } = blocks(target.layer, 'attn.hook_pattern');
    const { dims, data: values } = blocks(target.layer, 'attn.hook_v');
    const [, , keyHeads, headWidth] = dims as [number, number, number, number];
    const heads = source.anatomy.blocks[target.layer]?.attention.heads as number;
    const gates = gatesOf(source, target.layer);
    const lengths = new Map(
      headsOf(source, target).map((head) => [head, valueNorms({ values, length, heads, keyHeads, headWidth }, head)]),
    );
    return meanOver([...lengths.keys()], length, (head, at) => {
      const norm = lengths.get(head)?.[at % length] as number;
      const gate = gates[Math.floor(at / length) * heads + head] as number;
      return (pattern[head * length * length + at] as number) * norm * Math.abs(gate);
    });
  });
  return { matrices, mixing: null };
}

async function norms(
  source: Source,
  targets: readonly Target[],
  method: 'norm' | 'norm-residual' | 'norm-layernorm',
): Promise<Measured> {
  const { model, anatomy, run, length, context } = source;
  const layers = layersOf(targets);
  for (const layer of layers) checkSum(model, anatomy.blocks[layer] as Block, anatomy, layer, method);
  const kinds: BlockHook[] = [
    ...(['attn.hook_pattern', 'attn.hook_v', 'attn.hook_z'] as const),
    ...(method === 'norm' ? [] : (['hook_resid_pre'] as const)),
    ...(method === 'norm-layernorm' ? (['hook_resid_mid'] as const) : []),
  ];
  const blocks = await traceBlocks(model, run, layers, kinds);
  const weight = (layer: number, name: string): Promise<Activation> => model.weight(`blocks.${layer}.${name}`);
  const matrices: Float64Array[] = [];
  let mixing: number | null = null;
  for (const [index, target] of targets.entries()) {
    throwIfCancelled(context.signal);
    context.progress({ message: 'Measuring contributions', fraction: index / targets.length });
    const { layer } = target;
    const [pattern, values] = [blocks(layer, 'attn.hook_pattern'), blocks(layer, 'attn.hook_v')];
    const output = await weight(layer, 'attn.W_O');
    const [heads, headWidth, width] = output.dims as [number, number, number];
    const numbers: HeadNumbers = {
      ...{ pattern: pattern.data, values: values.data, output: output.data, length, heads, headWidth, width },
      keyHeads: values.dims[2] as number,
    };
    let around: Around | null = null;
    if (method !== 'norm') {
      const stream = blocks(layer, 'hook_resid_pre').data;
      const norm =
        method === 'norm-residual'
          ? null
          : {
              scale: (await weight(layer, 'ln1.w')).data,
              deviations: deviationsOf(
                blocks(layer, 'hook_resid_mid').data,
                width,
                (await weight(layer, 'ln1.eps')).data[0] as number,
              ),
            };
      around = { stream, norm };
    }
    const gates = gatesOf(source, layer);
    const given = contributions(numbers, headsOf(source, target), gates, around);
    matrices.push(given.norms);
    if (target.head === null) mixing = mixingRatio(numbers, blocks(layer, 'attn.hook_z').data, given, around);
    await nextTurn();
  }
  return { matrices, mixing };
}

/** Throws `model-unsupported` when what the method adds up is not what this block adds up. */
function checkSum(
  { info }: Internals,
  block: Block,
  anatomy: Anatomy,
  layer: number,
  method: 'norm' | 'norm-residual' | 'norm-layernorm',
): void {
  const refuse = (why: string, hint: string): never => {
    throw new LensError('model-unsupported', `This measure does not fit layer ${layer} of ${info.id}: ${why}.`, hint);
  };
  if (method !== 'norm' && !addsDirectly(anatomy, block))
    refuse(
      'the output of its attention is normalised or scaled before it is added to the residual stream',
      'Choose the norm of the heads’ outputs alone.',
    );
  if (method !== 'norm-layernorm') return;
  if (block.norm !== 'post' || block.mlpIn === null)
    refuse(
      'its norms stand before attention and feed-forward network, so that none reads the sum of this block alone',
      'Choose the norm with the residual stream.',
    );
  if (anatomy.norms.byOutput.get(block.mlpIn as string)?.kind !== 'layer')
    refuse('the norm after its attention is no LayerNorm', 'Choose the norm with the residual stream.');
}

/** Of heads whose output is not added to the stream as it is. */
function beforeSum(anatomy: Anatomy, targets: readonly Target[], method: AttentionMethod): string[] {
  const isOther = targets.some(({ layer }) => !addsDirectly(anatomy, anatomy.blocks[layer] as Block));
  return method === 'norm' && isOther
    ? ['This model normalises or scales the sum of its heads before it adds it; the lengths are from before that.']
    : [];
}

/** Nothing but reshapes between the output projection and the stream. */
export const addsDirectly = ({ subject }: Anatomy, { attnOut, attention }: Block): boolean =>
  subject.wires.origin(attnOut, ({ opType }) => /^(Reshape|Cast|Identity|Dropout|Squeeze|Unsqueeze)$/.test(opType)) ===
  attention.output.output;

/** R_l; of one head A(l,h)·R_{l-1}. */
async function rollouts(source: Source, targets: readonly Target[]): Promise<Measured> {
  const { length, context } = source;
  const { mixed, blocks } = await mixedLayers(source, targets);
  const matrices = new Map<Target, Float64Array>();
  let below: Float64Array = new Float64Array(length * length);
  for (let token = 0; token < length; token++) below[token * length + token] = 1;
  for (const [layer, whole] of mixed.entries()) {
    throwIfCancelled(context.signal);
    context.progress({ message: 'Rolling out attention', fraction: layer / mixed.length });
    const here = targets.filter((target) => target.layer === layer);
    for (const target of here)
      if (target.head !== null)
        matrices.set(target, rollOn(withResidual(blocks(layer), [target.head], length), below, length));
    below = rollOn(whole, below, length);
    for (const target of here) if (target.head === null) matrices.set(target, below);
    await nextTurn();
  }
  return { matrices: targets.map((target) => matrices.get(target) as Float64Array), mixing: null };
}

/** Each of T·T flows looks at the L·T·T edges. This many together take about a minute on one core. */
const MOST_FLOW = 3.5e9;

async function flows(source: Source, targets: readonly Target[]): Promise<Measured> {
  const { length, context } = source;
  const work = targets.reduce((sum, { layer }) => sum + (layer + 1) * length ** 4, 0);
  if (work > MOST_FLOW)
    throw new LensError(
      'bad-input',
      `The flow through ${counted(length, 'token')} would take about ${counted(Math.ceil(work / MOST_FLOW), 'minute')}.`,
      `Choose a text of at most ${Math.floor((MOST_FLOW / (work / length ** 4)) ** 0.25)} tokens, or rollout.`,
    );
  const { mixed, blocks } = await mixedLayers(source, targets);
  const matrices: Float64Array[] = [];
  for (const [index, { layer, head }] of targets.entries()) {
    const top = head === null ? (mixed[layer] as Float64Array) : withResidual(blocks(layer), [head], length);
    const flow = new LayeredFlow([...mixed.slice(0, layer), top], length);
    const matrix = new Float64Array(length * length);
    for (let query = 0; query < length; query++) {
      throwIfCancelled(context.signal);
      context.progress({ message: 'Measuring the flow', fraction: (index + query / length) / targets.length });
      matrix.set(flow.from(query), query * length);
      await nextTurn();
    }
    matrices.push(matrix);
  }
  return { matrices, mixing: null };
}

/** A of every block up to the highest that is asked for, and the blocks' patterns. */
async function mixedLayers(
  source: Source,
  targets: readonly Target[],
): Promise<{ mixed: Float64Array[]; blocks: (layer: number) => Float32Array }> {
  const { model, run, length } = source;
  const layers = Array.from({ length: Math.max(...layersOf(targets)) + 1 }, (_, layer) => layer);
  const traced = await traceBlocks(model, run, layers, ['attn.hook_pattern']);
  const blocks = (layer: number): Float32Array => traced(layer, 'attn.hook_pattern').data;
  return {
    mixed: layers.map((layer) => withResidual(blocks(layer), headsOf(source, { layer, head: null }), length)),
    blocks,
  };
}
