/** The two ends of the model: the tables that ids are looked up in, and the head that scores the vocabulary. */
import { nearestFirst, type Wires } from '../onnx/graph';
import type { Anatomy } from './anatomy';
import { nearestLinears } from './attention';
import type { Block } from './blocks';
import { valuesBetween } from './columns';
import { lastStream } from './hooks';
import type { Linear } from './linears';
import type { Norm, Norms } from './norms';
import type { Subject } from './subject';

export interface Embeddings {
  /** Names of tables [rows, width] as the lookup reads them; null where there is none. */
  word: string | null;
  position: string | null;
  type: string | null;
}

export type Positions = 'learned' | 'rotary' | 'relative' | 'none';

export interface Unembedding {
  linear: Linear;
  /** The head shares the table of the word embeddings. */
  tied: boolean;
}

/** Weights behind casts, transpositions and dequantisation; the name of the initializer. */
export const rootWeight = (wires: Wires, name: string): string =>
  wires.origin(name, ({ opType }) => /^(Identity|Transpose|DequantizeLinear|Cast|Reshape)$/.test(opType));

/** Lookups from which the first block's input is computed. */
export function findEmbeddings({ wires, values }: Subject, embed: string): Embeddings {
  const found: Embeddings = { word: null, position: null, type: null };
  const behind = new Set<string>([embed]);
  for (const name of behind) {
    const maker = wires.maker(name);
    if (maker === undefined || /^(Shape|Size)$/.test(maker.opType)) continue;
    if (/^Q?EmbedLayerNormalization$/.test(maker.opType)) {
      found.word = maker.inputs[2] ?? null;
      found.position = maker.inputs[3] ?? null;
      found.type = maker.inputs[4] === '' ? null : (maker.inputs[4] ?? null);
      continue;
    }
    const [table, ids] = maker.inputs;
    const isTable =
      /^(Gather|GatherBlockQuantized)$/.test(maker.opType) &&
      table !== undefined &&
      wires.isConstant(table) &&
      (values.get(table)?.dims.length ?? 0) === 2;
    if (isTable && ids !== undefined) {
      const source = sourceOf(wires, ids);
      if (source === 'input_ids') found.word ??= table;
      else if (/type|segment/.test(source ?? '')) found.type ??= table;
      else found.position ??= table;
      continue;
    }
    for (const input of maker.inputs) behind.add(input);
  }
  return found;
}

/** The input whose elements are the indices themselves (casts and reshapes aside). */
function sourceOf(wires: Wires, ids: string): string | null {
  const source = wires.origin(ids, ({ opType }) => /^(Cast|Identity|Reshape|Unsqueeze|Squeeze|Clip)$/.test(opType));
  return wires.maker(source) === undefined ? source : null;
}

/** The head behind the logits; null when the model has none. */
export function findUnembedding(
  subject: Subject,
  linears: ReadonlyMap<string, Linear>,
  logits: string,
  word: string | null,
): Unembedding | null {
  const found = nearestLinears(subject, linears, logits);
  const [linear] = found;
  if (linear === undefined || found.length > 1) return null;
  const tied = word !== null && rootWeight(subject.wires, linear.weight) === rootWeight(subject.wires, word);
  return { linear, tied };
}

/** The norm between the last block and the head of a pre-norm model. */
export function findFinalNorm({ wires }: Subject, norms: Norms, blocks: readonly Block[]): string | null {
  const last = blocks.at(-1);
  if (last?.norm !== 'pre' || last.residPost === null) return null;
  // Some exports write the rows of all texts under each other for the feed-forward network.
  const further = (name: string): string[] =>
    wires
      .readers(name)
      .filter(({ opType }) => /^(Reshape|Identity|Cast)$/.test(opType))
      .flatMap(({ outputs }) => outputs);
  for (const name of nearestFirst(last.residPost, further)) {
    const norm = norms.byInput.get(name)?.[0];
    if (norm !== undefined) return norm.output;
  }
  return null;
}

/** tanh(W·h + b) of one token of each text, [B,D]: what BERT's heads for whole texts read. */
export function findPooled(
  { wires, values, batch }: Subject,
  linears: ReadonlyMap<string, Linear>,
  width: number | null,
): string | null {
  const pooled = wires.nodes.filter(({ opType, inputs, outputs }) => {
    const dims = values.get(outputs[0] ?? '')?.dims;
    return (
      opType === 'Tanh' && linears.has(inputs[0] ?? '') && dims?.length === 2 && dims[0] === batch && dims[1] === width
    );
  });
  return pooled.length === 1 ? (pooled[0]?.outputs[0] ?? null) : null;
}

/** A norm by TransformerLens's name (session/weights.ts), or why there is none. */
export function normAt({ blocks, norms, finalNorm }: Anatomy, name: string): Norm | string {
  if (name === 'ln_final') return norms.byOutput.get(finalNorm ?? '') ?? 'no norm stands before its head';
  const [, layer, which] = /^blocks\.(\d+)\.(ln1|ln2|ln2_post)$/.exec(name) ?? [];
  const block = blocks[Number(layer)];
  if (block === undefined) return 'this model has no such part';
  if (which === 'ln2_post')
    return norms.byOutput.get(block.mlpOut ?? '') ?? 'no norm stands behind its feed-forward network';
  const output = which === 'ln1' ? block.mlpIn : block.normalizedResidPost;
  return norms.byOutput.get(output ?? '') ?? 'its norms stand before the sums';
}

/** The head has linear layers of its own between the stream and the unembedding (the transform of masked models). */
export function hasTransform({ subject, linears, unembedding, layers, hooks }: Anatomy): boolean {
  const stream = hooks.sites.get(lastStream({ layers, hooks }))?.value;
  if (unembedding === null || stream === undefined) return false;
  return [...valuesBetween(subject, stream, unembedding.linear.data)].some(
    (value) => value !== stream && linears.has(value),
  );
}

/** How the model knows the order of tokens. */
export function findPositions(subject: Subject, blocks: readonly Block[], embeddings: Embeddings): Positions {
  const { wires } = subject;
  const [first] = blocks;
  if (first === undefined) return 'none';
  const { query, scoringQuery, scores } = first.attention;
  if (typeof query !== 'string') {
    const makers = [...valuesBetween(subject, query.linear.output, scoringQuery)].map(
      (name) => wires.maker(name)?.opType,
    );
    // Half of each head is turned against the other half.
    if (makers.includes('RotaryEmbedding') || (makers.includes('Concat') && makers.includes('Neg'))) return 'rotary';
    if (makers.includes('Concat') && makers.includes('Sub') && makers.includes('Slice')) return 'rotary';
  }
  if (embeddings.position !== null) return 'learned';
  return readsTable(subject, scores, first.attention.scoring) ? 'relative' : 'none';
}

/** A table of weights is looked up between the product of queries and keys and the softmax. */
function readsTable({ wires, values }: Subject, scores: string, scoring: string): boolean {
  const behind = new Set<string>([scores]);
  for (const name of behind) {
    const maker = wires.maker(name);
    if (name === scoring || maker === undefined || behind.size > 400) continue;
    if (maker.opType === 'GatherElements') return true;
    const table = maker.inputs[0];
    if (maker.opType === 'Gather' && wires.isConstant(table) && (values.get(table ?? '')?.dims.length ?? 0) === 2)
      return true;
    for (const input of maker.inputs) if (!wires.isConstant(input)) behind.add(input);
  }
  return false;
}
