/** Which keys a query may see by its position: read off the mask that the graph itself computes for an imagined text. */
import { evaluate, type Value } from '../onnx/evaluate';
import type { Attention } from './attention';
import { imaginedInputs, isActivationProduct, type Subject } from './subject';

export interface Visibility {
  /** No query sees a later key. */
  causal: boolean;
  /** Queries see only keys nearer than this many places; null: no such limit within the imagined text. */
  window: number | null;
}

/** Long enough to show the windows of small models; those of large ones are in their config. */
const TEXT_LENGTH = 48;
/** Scores of keys that are masked are at least this much lower. */
const MASKED = -5000;
const STEPS = 12;
/** Exports of a fixed length are looked at up to this one. */
const MAX_LENGTH = 1024;

/** Per block; null where the mask cannot be computed without the weights. */
export function findVisibility(subject: Subject, attentions: readonly Attention[]): (Visibility | null)[] {
  const inputs = imaginedInputs(subject.model.graph.inputs, 1, TEXT_LENGTH);
  const values = evaluate(subject.wires, inputs, subject.opset);
  return attentions.map((attention) => {
    const [queries, keys] = values.get(attention.scores)?.dims.slice(-2) ?? [];
    if (queries === undefined || queries !== keys || queries > MAX_LENGTH) return null;
    const hidden = hiddenKeys(subject, values, attention, queries);
    return hidden === null ? null : visibility(hidden, queries);
  });
}

/** [T,T]: 1 where a mask between the product and the softmax hides the key; null when a term could hide keys that we cannot see. */
function hiddenKeys(
  { wires }: Subject,
  values: ReadonlyMap<string, Value>,
  { scores, heads }: Attention,
  length: number,
): Uint8Array | null {
  const hidden = new Uint8Array(length * length);
  const hide = ({ dims, data }: Value, hides: (element: number) => boolean): void => {
    const rows = dims.at(-2) ?? 1;
    const columns = dims.at(-1) ?? 1;
    for (let row = 0; row < length; row++)
      for (let column = 0; column < length; column++) {
        const at = (rows === 1 ? 0 : row) * columns + (columns === 1 ? 0 : column);
        if (hides((data as Float64Array)[at] as number)) hidden[row * length + column] = 1;
      }
  };
  const taken = new Set<string>();
  /** Takes what a term of the scores hides; false when it cannot be told. */
  const take = (name: string, depth: number): boolean => {
    const value = values.get(name);
    const maker = wires.maker(name);
    if (value === undefined || depth > STEPS) return false;
    if (taken.has(name)) return true;
    taken.add(name);
    // The same for every query: padding, not position.
    if ((value.dims.at(-2) ?? 1) === 1) return true;
    if (value.data !== null) {
      hide(value, (element) => element < MASKED);
      return true;
    }
    if (maker === undefined) return false;
    if (isActivationProduct(wires, maker)) return true;
    const data = maker.inputs.filter((input) => !wires.isConstant(input) || values.get(input)?.data !== null);
    switch (maker.opType) {
      case 'Where': {
        const [condition, yes, no] = maker.inputs as [string, string, string];
        const choice = values.get(condition);
        const scoresAt = [yes, no].find((each) => values.get(each)?.data == null);
        if (choice?.data == null || scoresAt === undefined) return false;
        hide(choice, (element) => (element !== 0) !== (scoresAt === yes));
        return take(scoresAt, depth + 1);
      }
      // A bias for each head from a table [buckets,H] of relative positions; a table of another form may be a mask.
      case 'Gather':
        return wires.isConstant(maker.inputs[0]) && values.get(maker.inputs[0] ?? '')?.dims[1] === heads;
      // Products with positions, looked up by distance.
      case 'GatherElements':
        return take(maker.inputs[0] as string, depth + 1);
      case 'Mul':
      case 'Div':
      case 'Add':
      case 'Sub':
      case 'Tanh':
      case 'Cast':
      case 'Reshape':
      case 'Transpose':
      case 'Expand':
      case 'Unsqueeze':
      case 'Squeeze':
      case 'Identity':
      case 'Clip':
      case 'Max':
        return data
          .filter((input) => (values.get(input)?.dims.length ?? 0) >= 2)
          .every((input) =>
            maker.opType === 'Mul' || maker.opType === 'Div' ? factor(input, depth) : take(input, depth + 1),
          );
      default:
        return false;
    }
  };
  /** A factor of the scores is a scale, or scores itself. */
  const factor = (name: string, depth: number): boolean => values.get(name)?.data != null || take(name, depth + 1);
  return take(scores, 0) ? hidden : null;
}

function visibility(hidden: Uint8Array, length: number): Visibility {
  let causal = true;
  let farthest = 0;
  for (let row = 0; row < length; row++)
    for (let column = 0; column < length; column++) {
      if (hidden[row * length + column] === 1) continue;
      if (column > row) causal = false;
      farthest = Math.max(farthest, Math.abs(row - column));
    }
  return { causal, window: farthest < length - 1 ? farthest + 1 : null };
}
