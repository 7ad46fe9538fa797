/**
 * Non-negative factorisation A ≈ W H by alternating least squares (Paatero & Tapper 1994): with W held, each column of H is a non-negative least
 * squares problem, and the other way round. These are solved by ml-fcnnls (Van Benthem & Keenan 2004).
 */
import { fcnnls } from 'ml-fcnnls';
import { Matrix } from 'ml-matrix';
import { seededRandom } from '../random';

/** The error changes by less than this part of itself: the end. */
const SETTLED = 1e-4;
const MOST_STEPS = 60;

export interface Factors {
  /** W [n,k]: columns one after the other, k of n numbers each. */
  columns: Float64Array[];
  /** H [k,t]: rows. The largest number of each is 1, unless there is none. */
  rows: Float64Array[];
  /** ‖A − WH‖ / ‖A‖ (Frobenius). */
  error: number;
}

/** `a`: rows [n][t], nothing below 0. Between steps `pause` is waited for: it may throw. */
export async function factorise(
  a: readonly ArrayLike<number>[],
  count: number,
  seed: number,
  pause: (step: number) => Promise<void>,
): Promise<Factors> {
  const tokens = a[0]?.length ?? 0;
  const whole = new Matrix(a.map((row) => Array.from(row)));
  const turned = whole.transpose();
  const size = whole.norm();
  const random = seededRandom(seed);
  let h = new Matrix(Array.from({ length: count }, () => Array.from({ length: tokens }, () => random())));
  let w = Matrix.zeros(a.length, count);
  let error = Infinity;
  for (let step = 0; step < MOST_STEPS; step++) {
    await pause(step / MOST_STEPS);
    w = fcnnls(h.transpose(), turned).K.transpose();
    await pause((step + 0.5) / MOST_STEPS);
    h = fcnnls(w, whole).K;
    const now = size === 0 ? 0 : Matrix.sub(whole, w.mmul(h)).norm() / size;
    const isSettled = error - now < SETTLED * error;
    error = now;
    if (isSettled) break;
  }
  const rows = Array.from({ length: count }, (_, group) => Float64Array.from(h.getRow(group)));
  const columns = rows.map((row, group) => {
    const largest = Math.max(...row);
    const column = Float64Array.from(w.getColumn(group));
    // A row of zeros has nothing to be divided by.
    if (largest <= 0) return column.fill(0);
    row.forEach((value, at) => (row[at] = value / largest));
    return column.map((value) => value * largest);
  });
  return { columns, rows, error };
}
