/**
 * The residual stream: blocks as attentions in the order of execution, each with the sum that its output is added to, and the
 * feed-forward network whose output is added next. Whether the norms stand before or after the sums shows in what reads the sums.
 */
import type { GraphNode } from '../onnx/model';
import { findAttention, findSoftmaxes, type Attention } from './attention';
import { findFfn, type Ffn } from './ffn';
import { findLinears, type Linear } from './linears';
import { findNorms, type Norms } from './norms';
import { isScalar, type Subject } from './subject';

export interface Block {
  attention: Attention;
  ffn: Ffn | null;
  /** Values of the residual stream, [B,T,D]; null where the block has no such place. */
  residPre: string;
  attnOut: string;
  /** Null for parallel blocks, where both outputs are added to the same stream. */
  residMid: string | null;
  mlpOut: string | null;
  /** Null where the feed-forward network was not found. */
  residPost: string | null;
  /** Post-norm blocks: after the first and after the last norm. */
  mlpIn: string | null;
  normalizedResidPost: string | null;
  norm: 'pre' | 'post' | 'none';
  parallel: boolean;
}

export interface Parts {
  linears: ReadonlyMap<string, Linear>;
  norms: Norms;
  blocks: readonly Block[];
  /** Attentions over another text (decoders that read an encoder). */
  cross: readonly Attention[];
  /** What looked like a part but could not be read, and why. */
  problems: readonly string[];
}

/** Far above any real model. */
const MAX_ATTENTIONS = 1000;

export function findParts(subject: Subject): Parts {
  const found = findLinears(subject);
  const linears = found.byOutput;
  const norms = findNorms(subject);
  const blocks: Block[] = [];
  const cross: Attention[] = [];
  const problems: string[] = subject.opaque.map(
    ({ opType, name }) => `${opType} ${name}: this form of the fused operator is not known; its inside cannot be seen`,
  );
  for (const softmax of findSoftmaxes(subject)) {
    if (blocks.length + cross.length + problems.length >= MAX_ATTENTIONS) {
      problems.push(`It has more than ${MAX_ATTENTIONS} attentions; the rest were not looked at.`);
      break;
    }
    const attention = findAttention(subject, found, softmax);
    if (attention === null) continue;
    const title = `The attention after block ${blocks.length - 1} (${softmax.output})`;
    if (typeof attention === 'string') {
      problems.push(`${title}: ${attention}.`);
      continue;
    }
    if (attention.cross) {
      cross.push(attention);
      continue;
    }
    const block = findBlock(subject, linears, norms, attention);
    if (typeof block === 'string') problems.push(`${title}: ${block}.`);
    else blocks.push(block);
  }
  return { linears, norms, blocks, cross, problems };
}

/** A sum of two activations, one of which is a given branch. */
interface Sum {
  node: GraphNode;
  branch: string;
  other: string;
  output: string;
}

function findBlock(
  subject: Subject,
  linears: ReadonlyMap<string, Linear>,
  norms: Norms,
  attention: Attention,
): Block | string {
  const first = sumAfter(subject, norms, attention.output.output);
  if (first === null) return 'its output is not added to a residual stream';
  const beside = ffnBehind(subject, linears, norms, first.other);
  if (beside !== null) {
    // x + (attention + FFN)
    const second = sumAfter(subject, norms, first.output);
    if (second === null) return 'the sum of its attention and feed-forward network is not added to a residual stream';
    return {
      ...{
        attention,
        ffn: beside,
        norm: 'pre',
        parallel: true,
        residMid: null,
        mlpIn: null,
        normalizedResidPost: null,
      },
      residPre: second.other,
      attnOut: first.branch,
      mlpOut: first.other,
      residPost: second.output,
    };
  }
  const stream = first.other;
  const normed = viewsOf(subject, first.output)
    .flatMap((view) => norms.byInput.get(view) ?? [])
    .map(({ output }) => output);
  for (const value of [first.output, ...normed]) {
    const second = ffnSum(subject, linears, norms, value);
    if (second === null) continue;
    const { sum, ffn } = second;
    const post = value !== first.output;
    // (x + attention) + FFN(norm(x)): both read the same stream
    const parallel = !post && readsFrom(subject, norms, ffn, stream) && !readsFrom(subject, norms, ffn, first.output);
    const last = viewsOf(subject, sum.output).flatMap((view) => norms.byInput.get(view) ?? [])[0]?.output ?? null;
    return {
      ...{ attention, ffn, norm: post ? 'post' : 'pre', parallel },
      residPre: stream,
      attnOut: first.branch,
      residMid: parallel ? null : first.output,
      mlpOut: sum.branch,
      residPost: sum.output,
      mlpIn: post ? value : null,
      normalizedResidPost: post ? last : null,
    };
  }
  return blockWithoutFfn(subject, attention, first, normed);
}

/** What can be said of a block whose second half has an unknown form (a mixture of experts, for instance). */
function blockWithoutFfn(subject: Subject, attention: Attention, sum: Sum, normed: readonly string[]): Block | string {
  // Only a sum that goes on as a residual stream is one: it is read by a norm, or added to once more.
  const goesOn = viewsOf(subject, sum.output).some((view) =>
    subject.wires.readers(view).some(isActivationSum(subject)),
  );
  const normGoesOn = normed
    .flatMap((output) => viewsOf(subject, output))
    .some((view) => subject.wires.readers(view).some(isActivationSum(subject)));
  if (!goesOn && !normGoesOn) return 'the sum that takes its output is not that of a residual stream';
  return {
    ...{ attention, ffn: null, norm: goesOn ? 'pre' : 'post', parallel: false },
    residPre: sum.other,
    attnOut: sum.branch,
    residMid: sum.output,
    ...{ mlpOut: null, residPost: null, mlpIn: null, normalizedResidPost: null },
  };
}

const isActivationSum =
  ({ wires }: Subject) =>
  (node: GraphNode): boolean =>
    node.opType === 'Add' && node.inputs.every((input) => !wires.isConstant(input));

/** Between a linear layer and the sum that takes its output: other views of the same numbers, a constant factor, a norm of its own. */
const CARRIES = new Set(['Reshape', 'Cast', 'Identity', 'Dropout', 'Squeeze', 'Unsqueeze']);
const MAX_STEPS = 8;

/** Follows a branch to the sum that adds it to another activation. */
function sumAfter(subject: Subject, norms: Norms, from: string): Sum | null {
  const { wires } = subject;
  let name = from;
  for (let step = 0; step < MAX_STEPS; step++) {
    const readers = wires.readers(name);
    const sum = readers.find((node) => node.opType === 'Add' && node.inputs.every((input) => !wires.isConstant(input)));
    if (sum !== undefined) {
      const other = sum.inputs[0] === name ? sum.inputs[1] : sum.inputs[0];
      return { node: sum, branch: name, other: other as string, output: sum.outputs[0] as string };
    }
    const own = norms.byInput.get(name)?.[0];
    if (own !== undefined) {
      name = own.output;
      continue;
    }
    const next = readers.find((node) => CARRIES.has(node.opType) || isScaling(subject, node));
    if (next === undefined) return null;
    name = next.outputs[0] as string;
  }
  return null;
}

const isScaling = (subject: Subject, node: GraphNode): boolean =>
  (node.opType === 'Mul' || node.opType === 'Div') && node.inputs.some((input) => isScalar(subject, input));

/** Back from an addend to the feed-forward network that made it. */
function ffnBehind(subject: Subject, linears: ReadonlyMap<string, Linear>, norms: Norms, addend: string): Ffn | null {
  const { wires } = subject;
  let name = addend;
  for (let step = 0; step < MAX_STEPS; step++) {
    const linear = linears.get(name);
    if (linear !== undefined) return findFfn(subject, linears, linear);
    const norm = norms.byOutput.get(name);
    if (norm !== undefined) {
      name = norm.input;
      continue;
    }
    const maker = wires.maker(name);
    if (maker === undefined || !(CARRIES.has(maker.opType) || isScaling(subject, maker))) return null;
    name = maker.inputs.find((input) => !wires.isConstant(input)) as string;
  }
  return null;
}

/** A value and what is only another view of it: some exports flatten the stream to rows. */
function viewsOf({ wires }: Subject, value: string): string[] {
  const views = [value];
  for (let at = 0; at < views.length && at < MAX_STEPS; at++)
    for (const node of wires.readers(views[at] as string))
      if (CARRIES.has(node.opType)) views.push(node.outputs[0] as string);
  return views;
}

/** The sum that adds a feed-forward network's output to a value (or to another view of it). */
function ffnSum(
  subject: Subject,
  linears: ReadonlyMap<string, Linear>,
  norms: Norms,
  value: string,
): { sum: Sum; ffn: Ffn } | null {
  const { wires } = subject;
  for (const view of viewsOf(subject, value))
    for (const node of wires.readers(view)) {
      if (node.opType !== 'Add' || node.inputs.some((input) => wires.isConstant(input))) continue;
      const branch = node.inputs.find((input) => input !== view);
      if (branch === undefined) continue;
      const ffn = ffnBehind(subject, linears, norms, branch);
      if (ffn !== null) return { sum: { node, branch, other: view, output: node.outputs[0] as string }, ffn };
    }
  return null;
}

/** The network's first layer reads this value, or its norm. */
function readsFrom(subject: Subject, norms: Norms, ffn: Ffn, value: string): boolean {
  if (typeof ffn.pre === 'string') return false;
  const data = dataOf(subject, ffn.pre.linear);
  return data === value || norms.byOutput.get(data)?.input === value;
}

/** What stands between a block's feed-forward network and the stream: nothing, a norm (that value is its input), or something else. */
export function behindFfn({ wires }: Subject, norms: Norms, { ffn, mlpOut }: Block): 'nothing' | 'norm' | 'other' {
  if (ffn === null || mlpOut === null) return 'other';
  const bare = (value: string): string => wires.origin(value, ({ opType }) => CARRIES.has(opType));
  const isOut = (value: string): boolean => bare(value) === bare(ffn.out.output);
  if (isOut(mlpOut)) return 'nothing';
  const norm = norms.byOutput.get(mlpOut);
  return norm !== undefined && isOut(norm.input) ? 'norm' : 'other';
}

/** What a linear layer reads, before it was reshaped to rows. */
export function dataOf({ wires }: Subject, linear: Linear): string {
  let name = linear.data;
  for (let step = 0; step < MAX_STEPS; step++) {
    const maker = wires.maker(name);
    if (maker === undefined || !CARRIES.has(maker.opType)) break;
    name = maker.inputs[0] as string;
  }
  return name;
}
