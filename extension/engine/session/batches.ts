/**
 * A batch as runs that the model and the memory allow: rows of unlike lengths apart where padding cannot be masked, one by one where
 * an export takes no more, and no more at once than a limit of bytes. What they give is joined to what one run would give.
 */
import { LensError } from '../../protocol/errors';
import { elementsPerRow, type Layout, type Site } from '../anatomy/hooks';
import { sizeOf } from '../onnx/model';
import type { Activation, Intervention } from './internals';

/** Of results at once. The runtime holds them twice: its own, and the copy that it hands out. */
export const MAX_RUN_BYTES = 512 * 2 ** 20;

/** Divides groups of rows so that each run's results stay under `limit`; a single row is always let through. */
export function chunks(groups: readonly number[][], bytesPerRow: number, limit: number): number[][] {
  const most = Math.max(1, Math.floor(limit / Math.max(1, bytesPerRow)));
  return groups.flatMap((group) =>
    Array.from({ length: Math.ceil(group.length / most) }, (_, part) => group.slice(part * most, (part + 1) * most)),
  );
}

/** Bytes of a hook's numbers for one row; 0 where the graph alone knows. */
export function rowBytes({ layout }: Site, length: number): number {
  return (elementsPerRow(layout, length) ?? 0) * Float32Array.BYTES_PER_ELEMENT;
}

/** What of an intervention belongs to some rows of a batch, the longest of which has `length` tokens. */
export function forRows(
  intervention: Intervention,
  { layout }: Site,
  rows: readonly number[],
  length: number,
): Intervention {
  const { scale, offset } = intervention;
  return {
    ...intervention,
    ...(scale === undefined ? {} : { scale: rowsOf(scale, layout.kind, rows, length) }),
    ...(offset === undefined ? {} : { offset: rowsOf(offset, layout.kind, rows, length) }),
  };
}

/** Rows and the first tokens of a tensor in a hook's shape; where it has one element for all rows or all tokens, it keeps it. */
export function rowsOf(given: Activation, kind: Layout['kind'], rows: readonly number[], length: number): Activation {
  const tokenAxes = kind === 'pairs' ? [2, 3] : [1];
  const own = given.dims[0] === 1 ? [0] : rows;
  const dims = given.dims.map((size, axis) => (tokenAxes.includes(axis) ? Math.min(size, length) : size));
  const picked = { dims: [own.length, ...dims.slice(1)], data: new Float32Array(own.length * sizeOf(dims.slice(1))) };
  own.forEach((row, index) => copyRow(given, row, picked, index));
  return picked;
}

/** Results of runs at the places of their rows, with zeros as padding (−1 as indices). Throws `model-unsupported` when they have no rows. */
export function join(
  runs: readonly { rows: readonly number[]; result: Activation }[],
  batch: number,
  hook: string,
): Activation {
  const [first] = runs;
  if (first !== undefined && runs.length === 1) return first.result;
  const rank = first?.result.dims.length ?? 0;
  if (runs.some(({ rows, result: { dims } }) => dims.length !== rank || dims[0] !== rows.length))
    throw new LensError(
      'model-unsupported',
      `${hook} has no row for each text, so it cannot be told for several runs of the model.`,
      'Ask for one text at a time.',
    );
  const rest = Array.from({ length: rank - 1 }, (_, axis) =>
    Math.max(...runs.map(({ result: { dims } }) => dims[axis + 1] as number)),
  );
  const joined = { dims: [batch, ...rest], data: new Float32Array(batch * sizeOf(rest)) };
  for (const { rows, result } of runs) rows.forEach((row, index) => copyRow(result, index, joined, row));
  if (first?.result.indices === undefined) return joined;
  const places = { dims: joined.dims, data: new Int32Array(joined.data.length).fill(-1) };
  for (const { rows, result } of runs)
    rows.forEach((row, index) =>
      copyRow({ dims: result.dims, data: result.indices as Int32Array }, index, places, row),
    );
  return { ...joined, indices: places.data };
}

/** Copies one row of a tensor into one of another of the same rank, as far as both reach. */
function copyRow<T extends Float32Array | Int32Array>(
  from: { dims: readonly number[]; data: T },
  fromRow: number,
  to: { dims: readonly number[]; data: T },
  toRow: number,
): void {
  const last = from.dims.length - 1;
  const visit = (axis: number, source: number, target: number): void => {
    const [own, others] = [from.dims[axis] ?? 1, to.dims[axis] ?? 1];
    const shared = Math.min(own, others);
    if (axis >= last) {
      to.data.set(from.data.subarray(source * own, source * own + shared), target * others);
      return;
    }
    for (let index = 0; index < shared; index++) visit(axis + 1, source * own + index, target * others + index);
  };
  visit(1, fromRow, toRow);
}
