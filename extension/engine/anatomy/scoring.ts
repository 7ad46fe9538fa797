/** From queries and keys to the argument of the softmax: the factors of their product, and what it is multiplied with. */
import { attributes, type GraphNode } from '../onnx/model';
import { valuesBetween } from './columns';
import { isScalar, type Subject } from './subject';

/** A factor of the product of queries and keys. */
export interface Factor {
  value: string;
  heads: number;
  width: number;
  /** Its elements lie as [B,N,d,T], not as [B,N,T,d]. */
  transposed: boolean;
}

/** Scores below this are masked. */
export const MASKED = -5000;

/** The left or right factor, or why it cannot be read. */
export function factorOf(
  { wires, values, batch, length }: Subject,
  scoring: string,
  side: 'query' | 'key',
): Factor | string {
  const node = wires.maker(scoring);
  const value = node?.inputs[side === 'query' ? 0 : 1];
  const dims = values.get(value ?? '')?.dims;
  if (node === undefined || value === undefined || dims === undefined)
    return 'its shape could not be told from the graph';
  const flipped = attributes(node).get(side === 'query' ? 'transA' : 'transB')?.int === 1;
  // A product takes the queries' rows and the keys' columns.
  const transposed = (side === 'key') !== flipped;
  const [tokens, width] = (transposed ? [dims.at(-1), dims.at(-2)] : [dims.at(-2), dims.at(-1)]) as [number, number];
  const heads = dims.slice(0, -2).reduce((product, size) => product * size, 1) / batch;
  if (tokens !== length || !Number.isInteger(heads)) return `it has the unexpected shape [${dims.join(', ')}]`;
  return { value, heads, width, transposed };
}

/** What the product of the factors is multiplied with on its way to the softmax; a text when it is not only multiplied and added to. */
export function scaleOf(subject: Subject, { scoring, scores }: { scoring: string; scores: string }): number | string {
  const { wires, values } = subject;
  const between = valuesBetween(subject, scoring, scores);
  const constant = (name: string | undefined): number | null =>
    name !== undefined && isScalar(subject, name) ? (values.get(name)?.data?.[0] ?? null) : null;
  const isBinary = (name: string | undefined): boolean =>
    values.get(name ?? '')?.data?.every((element) => element === 0 || element === 1) ?? false;
  let scale = 1;
  for (let name = scores; name !== scoring;) {
    const maker = wires.maker(name);
    const inputs = maker?.inputs.filter((input) => between.has(input)) ?? [];
    const [before] = inputs;
    if (maker === undefined || before === undefined || inputs.length !== 1)
      return 'the way from the product to the softmax forks';
    const other = maker.inputs.find((input) => input !== before);
    const beside = constant(other);
    switch (maker.opType) {
      case 'Mul':
        // GPT-1 hides keys by 0 in a mask of 0 and 1, and adds a large negative number there.
        if (beside === null && isBinary(other)) break;
        if (beside === null) return 'the product is multiplied with something that is not the same everywhere';
        scale *= beside;
        break;
      case 'Div':
        if (beside === null || maker.inputs[0] !== before)
          return 'the product is divided by something that is not the same everywhere';
        scale /= beside;
        break;
      case 'Sub':
        if (maker.inputs[0] !== before) scale = -scale;
        break;
      case 'Max':
      case 'Min':
        if (beside === null || Math.abs(beside) < -MASKED) return 'the scores are limited';
        break;
      case 'Tanh':
        return 'the scores are capped by tanh';
      case 'Add':
      case 'Where':
      case 'Cast':
      case 'Reshape':
      case 'Identity':
      case 'Squeeze':
      case 'Unsqueeze':
        break;
      default:
        return `the scores go through ${maker.opType}`;
    }
    name = before;
  }
  return scale * alphaOf(wires.maker(scoring));
}

const alphaOf = (node: GraphNode | undefined): number =>
  node?.opType === 'FusedMatMul' ? (attributes(node).get('alpha')?.float ?? 1) : 1;
