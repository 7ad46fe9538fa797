/** A matrix over tokens [T,T] → over the units of a picture [W,W]. */
import type { AttentionSelection, AttentionUnit } from '../../../protocol/attention';

/** Weights to a word are the sum over its pieces, from a word their mean (Clark et al. 2019): what a row has in all, it keeps. */
export function mergeUnits(matrix: ArrayLike<number>, length: number, units: readonly AttentionUnit[]): Float64Array {
  const result = new Float64Array(units.length ** 2);
  units.forEach(({ tokens: queries }, row) => {
    units.forEach(({ tokens: keys }, column) => {
      let sum = 0;
      for (const query of queries) for (const key of keys) sum += matrix[query * length + key] as number;
      result[row * units.length + column] = sum / queries.length;
    });
  });
  return result;
}

/** Rows that sum to one again; one with nothing in it stays empty. In place. */
export function renormaliseRows(matrix: Float64Array, size: number): void {
  for (let row = 0; row < size; row++) {
    const part = matrix.subarray(row * size, (row + 1) * size);
    const sum = part.reduce((total, weight) => total + weight, 0);
    if (sum > 0) for (let column = 0; column < size; column++) part[column] = (part[column] as number) / sum;
  }
}

export const shownUnits = (
  units: readonly AttentionUnit[],
  specials: AttentionSelection['specials'],
): AttentionUnit[] => (specials === 'show' ? [...units] : units.filter(({ special }) => !special));

/** 16-bit floats and sums of many pieces are a little off. */
const TOLERANCE = 0.01;

export function rowsSumToOne(matrix: ArrayLike<number>, size: number): boolean {
  for (let row = 0; row < size; row++) {
    let sum = 0;
    for (let column = 0; column < size; column++) sum += matrix[row * size + column] as number;
    if (Math.abs(sum - 1) > TOLERANCE) return false;
  }
  return true;
}
