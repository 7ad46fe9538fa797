/** Which keys a query may see by its position: read off the mask that the graph itself computes for an imagined text. */
import { evaluate, type Value } from '../onnx/evaluate';
import { nearestFirst } from '../onnx/graph';
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
  return attentions.map(({ scores }) => {
    const [queries, keys] = values.get(scores)?.dims.slice(-2) ?? [];
    if (queries === undefined || queries !== keys || queries > MAX_LENGTH) return null;
    const hidden = hiddenKeys(subject, values, scores, queries);
    return hidden === null ? null : visibility(hidden, queries);
  });
}

/** [T,T]: 1 where a mask between the product and the softmax hides the key; null when a term of unknown elements is added. */
function hiddenKeys(
  { wires }: Subject,
  values: ReadonlyMap<string, Value>,
  scores: string,
  length: number,
): Uint8Array | null {
  const hidden = new Uint8Array(length * length);
  const add = (value: Value, hides: (element: number) => boolean): boolean => {
    const { dims, data } = value;
    if (data === null) return false;
    const rows = dims.at(-2) ?? 1;
    const columns = dims.at(-1) ?? 1;
    for (let row = 0; row < length; row++)
      for (let column = 0; column < length; column++) {
        const at = (rows === 1 ? 0 : row) * columns + (columns === 1 ? 0 : column);
        if (hides(data[at] as number)) hidden[row * length + column] = 1;
      }
    return true;
  };
  let known = true;
  let name = scores;
  for (let step = 0; step < STEPS; step++) {
    const maker = wires.maker(name);
    if (maker === undefined || isActivationProduct(wires, maker)) return known ? hidden : null;
    const dims = values.get(name)?.dims;
    // The way on is the input that holds scores; whatever else comes in is a mask, a scale or a position bias.
    const [onward] = maker.inputs.filter(
      (input) =>
        values.get(input)?.data == null &&
        values.get(input)?.dims.length === dims?.length &&
        leadsToProduct(wires, input),
    );
    if (onward === undefined) return null;
    for (const input of maker.inputs) {
      if (input === onward) continue;
      const value = values.get(input);
      if (maker.opType === 'Add' && value !== undefined) known = add(value, (element) => element < MASKED) && known;
      else if (maker.opType === 'Where' && input === maker.inputs[0] && value !== undefined) {
        const keepsOnTrue = maker.inputs[1] === onward;
        known = add(value, (element) => (element !== 0) !== keepsOnTrue) && known;
      }
    }
    name = onward;
  }
  return null;
}

function leadsToProduct(wires: Subject['wires'], from: string): boolean {
  const back = (name: string): string[] => wires.maker(name)?.inputs.filter((input) => !wires.isConstant(input)) ?? [];
  for (const name of nearestFirst(from, back, STEPS - 1)) {
    const maker = wires.maker(name);
    if (maker !== undefined && isActivationProduct(wires, maker)) return true;
  }
  return false;
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
