/** Principal components: the axes along which rows vary most, found to the last digits. */
import { EigenvalueDecomposition, Matrix } from 'ml-matrix';
import { seededRandom } from '../random';
import { centred, gram, rowCount, type Rows } from './maths';

/** Axes that are followed beside those that are wanted: they make the iteration converge where eigenvalues lie close. */
const MORE_AXES = 8;
const MOST_STEPS = 2_000;
/** Of the largest eigenvalue: what an axis may still turn by. */
const TOLERANCE = 1e-9;
/** Of a vector's length: what is left outside of the span of others, when it lies in it. */
const DEPENDENT = 1e-12;
/** Up to this size all eigenvectors are found at once. */
const SMALL = 16;

export interface Components {
  /** Places of the rows [n,axes]. */
  scores: Float32Array;
  /** Share of the whole variance, by axis. */
  explained: number[];
}

/** Rows [n,D] → their first principal components. An axis has no sign of its own: its largest entry is made positive. */
export function principalComponents(rows: Rows, axes: number): Components {
  const n = rowCount(rows);
  const middle = centred(rows);
  const total = middle.data.reduce((sum, value) => sum + value * value, 0);
  const scores = new Float32Array(n * axes);
  const explained = new Array<number>(axes).fill(0);
  if (n < 2 || total === 0) return { scores, explained };
  const byRows = n <= rows.width;
  const matrix = byRows ? gram(middle) : gram(transposed(middle));
  const found = largestEigenpairs(matrix, Math.min(axes, byRows ? n : rows.width));
  found.forEach(({ value, vector }, axis) => {
    explained[axis] = Math.max(0, value) / total;
    // X·v, or of XXᵀ = UΛUᵀ the columns U·√Λ.
    const column = byRows ? vector.map((entry) => entry * Math.sqrt(Math.max(0, value))) : times(middle, vector);
    const largest = column.reduce((most, entry) => (Math.abs(entry) > Math.abs(most) ? entry : most), 0);
    column.forEach((entry, row) => (scores[row * axes + axis] = largest < 0 ? -entry : entry));
  });
  return { scores, explained };
}

/** σ₁² / Σσ² of the rows as they are. */
export function firstShare(rows: Rows): number {
  const total = rows.data.reduce((sum, value) => sum + value * value, 0);
  const [first] = largestEigenpairs(gram(rows), 1);
  return (first?.value ?? NaN) / total;
}

interface Eigenpair {
  value: number;
  vector: Float64Array;
}

/** Of a symmetric matrix without negative eigenvalues; largest first. */
export function largestEigenpairs(matrix: Float64Array, count: number): Eigenpair[] {
  const n = Math.sqrt(matrix.length);
  if (n <= SMALL) return allEigenpairs(matrix, n).slice(0, count);
  const size = Math.min(n, count + MORE_AXES);
  const random = seededRandom(1);
  let basis = orthonormal(Array.from({ length: size }, () => Float64Array.from({ length: n }, () => random() - 0.5)));
  let pairs: Eigenpair[] = [];
  for (let step = 0; step < MOST_STEPS; step++) {
    const images = basis.map((vector) => multiply(matrix, vector));
    // Rayleigh–Ritz: the best that can be said of the eigenvectors within the span.
    const inside = new Float64Array(size * size);
    for (let a = 0; a < size; a++)
      for (let b = 0; b < size; b++)
        inside[a * size + b] = product(basis[a] as Float64Array, images[b] as Float64Array);
    const ritz = allEigenpairs(inside, size);
    const combine = (vectors: readonly Float64Array[], by: Float64Array): Float64Array => {
      const sum = new Float64Array(n);
      vectors.forEach((vector, at) => {
        for (let row = 0; row < n; row++)
          sum[row] = (sum[row] as number) + (by[at] as number) * (vector[row] as number);
      });
      return sum;
    };
    pairs = ritz.map(({ value, vector }) => ({ value, vector: combine(basis, vector) }));
    const turned = ritz.map(({ vector }) => combine(images, vector));
    const largest = pairs[0]?.value ?? 0;
    const settled = pairs.slice(0, count).every(({ value, vector }, at) => {
      const image = turned[at] as Float64Array;
      let rest = 0;
      for (let row = 0; row < n; row++) rest += ((image[row] as number) - value * (vector[row] as number)) ** 2;
      return Math.sqrt(rest) <= TOLERANCE * Math.max(largest, Number.MIN_VALUE);
    });
    if (settled) break;
    basis = orthonormal(turned);
  }
  return pairs.slice(0, count);
}

function allEigenpairs(matrix: Float64Array, n: number): Eigenpair[] {
  const symmetric = new Matrix(n, n);
  for (let row = 0; row < n; row++)
    for (let column = 0; column < n; column++)
      symmetric.set(row, column, ((matrix[row * n + column] as number) + (matrix[column * n + row] as number)) / 2);
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(symmetric, { assumeSymmetric: true });
  return [...realEigenvalues.keys()]
    .sort((a, b) => (realEigenvalues[b] as number) - (realEigenvalues[a] as number))
    .map((at) => ({
      value: realEigenvalues[at] as number,
      vector: Float64Array.from(eigenvectorMatrix.getColumn(at)),
    }));
}

/** Gram–Schmidt, twice, which is as good as exact. What lies in the span of those before, as of rows that repeat, becomes 0. */
function orthonormal(vectors: Float64Array[]): Float64Array[] {
  vectors.forEach((vector, at) => {
    const before = Math.sqrt(product(vector, vector));
    for (let round = 0; round < 2; round++)
      for (const other of vectors.slice(0, at)) {
        const share = product(vector, other);
        for (let row = 0; row < vector.length; row++)
          vector[row] = (vector[row] as number) - share * (other[row] as number);
      }
    const length = Math.sqrt(product(vector, vector));
    // What is left of it is rounding, which points anywhere, into that span too.
    const isDependent = length <= DEPENDENT * before;
    for (let row = 0; row < vector.length; row++) vector[row] = isDependent ? 0 : (vector[row] as number) / length;
  });
  return vectors;
}

function product(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let at = 0; at < a.length; at++) sum += (a[at] as number) * (b[at] as number);
  return sum;
}

function multiply(matrix: Float64Array, vector: Float64Array): Float64Array {
  const n = vector.length;
  const image = new Float64Array(n);
  for (let row = 0; row < n; row++) {
    let sum = 0;
    const start = row * n;
    for (let at = 0; at < n; at++) sum += (matrix[start + at] as number) * (vector[at] as number);
    image[row] = sum;
  }
  return image;
}

function times({ width, data }: Rows, vector: Float64Array): Float64Array {
  return Float64Array.from({ length: data.length / width }, (_, row) => {
    let sum = 0;
    for (let at = 0; at < width; at++) sum += (data[row * width + at] as number) * (vector[at] as number);
    return sum;
  });
}

function transposed(rows: Rows): Rows {
  const n = rowCount(rows);
  const data = new Float32Array(rows.data.length);
  for (let row = 0; row < n; row++)
    for (let at = 0; at < rows.width; at++) data[at * n + row] = rows.data[row * rows.width + at] as number;
  return { width: n, data };
}
