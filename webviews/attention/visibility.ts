/** Which weights of a picture are drawn: those over the threshold, between the texts that are asked for. Pure. */
import type { AttentionUnit } from '../../extension/protocol/attention';
import type { AttentionLook, PairFilter } from '../../extension/protocol/attentionView';

export interface Visibility {
  /** The smallest weight that is drawn in a row [rows]; a weight of 0 never is. */
  cutoffs: Float32Array;
  rows: Uint8Array;
  columns: Uint8Array;
}

/** Smallest of the strongest weights that together have this part of the row's sum. */
function massCutoff(row: Float32Array, mass: number): number {
  const sorted = row.slice().sort();
  const wanted = mass * sorted.reduce((sum, value) => sum + value, 0);
  let sum = 0;
  for (let at = sorted.length - 1; at >= 0; at--) {
    sum += sorted[at]!;
    if (sum >= wanted) return sorted[at]!;
  }
  return 0;
}

const sides = (filter: PairFilter): [from: 0 | 1 | null, to: 0 | 1 | null] =>
  filter === 'all' ? [null, null] : [filter.startsWith('A') ? 0 : 1, filter.endsWith('A') ? 0 : 1];

export function visibilityOf(
  matrix: Float32Array,
  units: readonly Pick<AttentionUnit, 'text'>[],
  { threshold, filter }: Pick<AttentionLook, 'threshold' | 'filter'>,
): Visibility {
  const width = units.length;
  const cutoffs = Float32Array.from({ length: width }, (_, row) =>
    threshold.kind === 'weight'
      ? threshold.value
      : massCutoff(matrix.subarray(row * width, (row + 1) * width), threshold.value),
  );
  const [from, to] = sides(filter);
  const among = (side: 0 | 1 | null): Uint8Array =>
    Uint8Array.from(units, ({ text }) => (side === null || text === side ? 1 : 0));
  return { cutoffs, rows: among(from), columns: among(to) };
}

export const isShown = (visibility: Visibility, row: number, column: number, value: number): boolean =>
  value > 0 && value >= visibility.cutoffs[row]! && visibility.rows[row] === 1 && visibility.columns[column] === 1;

/** The strongest columns of a row (or rows of a column), for words. */
export function strongest(
  matrix: Float32Array,
  width: number,
  at: { row: number } | { column: number },
  most: number,
): { index: number; value: number }[] {
  const values = Array.from({ length: width }, (_, index) => ({
    index,
    value: matrix['row' in at ? at.row * width + index : index * width + at.column]!,
  }));
  return values
    .filter(({ value }) => value > 0)
    .sort((a, b) => b.value - a.value)
    .slice(0, most);
}
