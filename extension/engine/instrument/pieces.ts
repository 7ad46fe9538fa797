/** The model cut before every block and after the last: pieces that run alone, from stream to stream. */
import type { Anatomy } from '../anatomy/anatomy';
import { blockHook, lastStream } from '../anatomy/hooks';
import { outerValues, type GraphNode } from '../onnx/model';
import { shapeSource } from './instrument';

/** Hooks: where it begins and ends. */
export interface Piece {
  from: string;
  to: string;
}

const LOGITS = 'unembed.logits';

/**
 * A piece a block, and the head as the last one; instead of those that the model has not, why. All that a piece reads of the blocks
 * below it must come through the stream, or it would go on with what a changed run did not compute.
 */
export function piecesOf(anatomy: Anatomy): (Piece | string)[] {
  const { layers } = anatomy;
  if (layers === 0) return ['no block was found'];
  const before = Array.from({ length: layers }, (_, layer) => blockHook(layer, 'hook_resid_pre'));
  const streams = [...before, lastStream(anatomy)];
  return streams.map((from, index) => {
    const piece: Piece = { from, to: streams[index + 1] ?? LOGITS };
    for (const hook of [piece.from, piece.to]) if (!anatomy.hooks.sites.has(hook)) return `there is no ${hook}`;
    const foreign = readFromBelow(anatomy, index, piece);
    return foreign === null
      ? piece
      : `${index < layers ? `block ${index}` : 'the head'} reads ${foreign} beside the stream`;
  });
}

/** A hook of a lower block that the piece reads by another way than the stream. */
function readFromBelow({ hooks: { sites }, subject }: Anatomy, index: number, { from, to }: Piece): string | null {
  const valueOf = (hook: string): string => sites.get(hook)?.value ?? '';
  const fed = valueOf(from);
  const layerOf = (hook: string): number => Number(/^blocks\.(\d+)\./.exec(hook)?.[1] ?? Infinity);
  const below = new Map([...sites].filter(([hook]) => layerOf(hook) < index).map(([hook, { value }]) => [value, hook]));
  const shapeFrom = shapeSource(subject, fed);
  const seen = new Set<GraphNode>();
  const queue = [valueOf(to)];
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    if (name === fed) continue;
    const hook = below.get(name);
    if (hook !== undefined) return hook;
    const maker = subject.wires.maker(name);
    if (maker === undefined || seen.has(maker) || shapeFrom(maker) !== null) continue;
    seen.add(maker);
    queue.push(...maker.inputs, ...outerValues(maker));
  }
  return null;
}
