/** Feeds for whatever inputs an export has. Rows are right-padded; padding is masked. */
import { Tensor } from 'onnxruntime-node';
import type { TensorInfo } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import type { InputRow } from './languageModel';

export interface InputShape {
  padId: number;
  /** RoBERTa counts positions from this padding id + 1 and leaves padding out; null: every model that counts from 0. */
  positionPadding: number | null;
  /** For empty key/value caches whose shape the graph leaves open. */
  heads: number | null;
  headWidth: number | null;
}

/** How one input is filled for a batch of rows padded to `length`. */
type Fill = (rows: readonly InputRow[], length: number) => Tensor;

/** Of one axis of an input, as the file fixes it: more is damage. */
const MAX_SIZE = 1 << 16;

const isSize = (size: number): boolean => Number.isInteger(size) && size > 0 && size <= MAX_SIZE;

const MASK_INPUTS = new Set(['attention_mask', 'input_mask']);

export interface InputPlan {
  /** Indices of rows that may run together: all, or equally long ones where padding cannot be masked, or one by one. */
  groups(rows: readonly InputRow[]): number[][];
  /** Tokens a row once padded. */
  length(rows: readonly InputRow[]): number;
  feeds(rows: readonly InputRow[]): Record<string, Tensor>;
}

/** How to fill every input. Throws `model-unsupported` naming the input that cannot be filled. */
export function planInputs(inputs: readonly TensorInfo[], shape: InputShape): InputPlan {
  const plan = inputs.map((input): [string, Fill] => [input.name, planInput(input, shape)]);
  const masksPadding = inputs.some(({ name }) => MASK_INPUTS.has(name));
  const [fixedBatch, fixedLength] = inputs.find(({ name }) => name === 'input_ids')?.shape ?? [];
  if (typeof fixedLength === 'number' && !masksPadding)
    throw new LensError(
      'model-unsupported',
      `The model takes exactly ${fixedLength} tokens and has no attention_mask, so shorter texts cannot be told from padding.`,
      'Export it with a dynamic sequence length, or with an attention mask.',
    );
  if (typeof fixedLength === 'number' && !isSize(fixedLength))
    throw new LensError(
      'model-unsupported',
      `The model takes exactly ${fixedLength} tokens.`,
      'Export the model again.',
    );
  if (typeof fixedBatch === 'number' && fixedBatch !== 1)
    throw new LensError(
      'model-unsupported',
      `The model takes exactly ${fixedBatch} texts at once.`,
      'Export it with a dynamic batch size.',
    );
  const length = (rows: readonly InputRow[]): number =>
    typeof fixedLength === 'number' ? fixedLength : Math.max(...rows.map(({ ids }) => ids.length));
  return {
    groups: (rows) => {
      const indices = [...rows.keys()];
      if (fixedBatch === 1) return indices.map((index) => [index]);
      if (masksPadding) return [indices];
      const lengths = new Set(rows.map(({ ids }) => ids.length));
      return [...lengths].map((each) => indices.filter((index) => rows[index]?.ids.length === each));
    },
    length,
    feeds: (rows) => {
      const padded = length(rows);
      return Object.fromEntries(plan.map(([name, fill]) => [name, fill(rows, padded)]));
    },
  };
}

function planInput(input: TensorInfo, shape: InputShape): Fill {
  const perRow = (valuesOf: (row: InputRow, length: number) => number[]): Fill => {
    if (!/^int(32|64)$/.test(input.type) && input.type !== 'float') throw unfillable(input);
    return (rows, length) => {
      const values = rows.flatMap((row) => valuesOf(row, length));
      const dims = [rows.length, length];
      if (input.type === 'int64') return new Tensor('int64', BigInt64Array.from(values, BigInt), dims);
      return input.type === 'int32'
        ? new Tensor('int32', Int32Array.from(values), dims)
        : new Tensor('float32', Float32Array.from(values), dims);
    };
  };
  const perToken = (valueAt: (row: InputRow, position: number) => number): Fill =>
    perRow((row, length) => Array.from({ length }, (_, position) => valueAt(row, position)));
  switch (input.name) {
    case 'input_ids':
      return perToken((row, position) => row.ids[position] ?? shape.padId);
    case 'attention_mask':
    case 'input_mask':
      return perToken((row, position) => (position < row.ids.length ? 1 : 0));
    case 'token_type_ids':
    case 'segment_ids':
      return perToken((row, position) => row.segments?.[position] ?? 0);
    case 'position_ids':
      return perRow((row, length) => positionsOf(row, length, shape.positionPadding));
    case 'cache_position':
      return (_rows, length) =>
        new Tensor(
          'int64',
          BigInt64Array.from({ length }, (_, position) => BigInt(position)),
          [length],
        );
    case 'num_logits_to_keep':
    case 'logits_to_keep':
      // 0: all of them.
      return () => new Tensor('int64', BigInt64Array.of(0n), input.shape.length === 0 ? [] : [1]);
    case 'use_cache_branch':
      return () => new Tensor('bool', Uint8Array.of(0), [1]);
  }
  if (/^past(_key_values)?[._]/.test(input.name)) return planEmptyCache(input, shape);
  throw unfillable(input);
}

/** 0, 1, 2 …; after a padding id, that id + 1, + 2 … for tokens that are no padding, and the id itself for those that are. */
function positionsOf({ ids }: InputRow, length: number, padding: number | null): number[] {
  if (padding === null) return Array.from({ length }, (_, position) => position);
  let last = padding;
  return Array.from({ length }, (_, position) => ((ids[position] ?? padding) === padding ? padding : ++last));
}

/** A key/value cache of no tokens: [B, heads, 0, width], or [2, B, heads, 0, width] for both in one. */
function planEmptyCache(input: TensorInfo, shape: InputShape): Fill {
  const isBoth = input.shape.length === 5 && input.shape[0] === 2;
  if (input.shape.length !== 4 && !isBoth) throw unfillable(input);
  const [, statedHeads, , statedWidth] = input.shape.slice(-4);
  const heads = typeof statedHeads === 'number' ? statedHeads : shape.heads;
  const width = typeof statedWidth === 'number' ? statedWidth : shape.headWidth;
  if (heads === null || width === null || !isSize(heads) || !isSize(width)) throw unfillable(input);
  return (rows) => {
    const dims = [...(isBoth ? [2] : []), rows.length, heads, 0, width];
    return input.type === 'float16'
      ? new Tensor('float16', new Uint16Array(0), dims)
      : new Tensor('float32', new Float32Array(0), dims);
  };
}

function unfillable(input: TensorInfo): LensError {
  return new LensError(
    'model-unsupported',
    `The model wants an input “${input.name}” (${input.type} [${input.shape.join(', ')}]) that is not known how to fill from text.`,
    'Export it for text input: input_ids, attention_mask, token_type_ids, position_ids, past_key_values.*.',
  );
}
