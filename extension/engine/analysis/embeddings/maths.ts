/** Measures of vectors and of lists of numbers. Sums are in double precision. Matrices are row-major [n,D]. */

/** Rows of a matrix. */
export interface Rows {
  width: number;
  data: Float32Array;
}

export const rowCount = ({ width, data }: Rows): number => (width === 0 ? 0 : data.length / width);
export const rowAt = ({ width, data }: Rows, row: number): Float32Array =>
  data.subarray(row * width, (row + 1) * width);

export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let at = 0; at < a.length; at++) sum += (a[at] as number) * (b[at] as number);
  return sum;
}

export const norm = (vector: ArrayLike<number>): number => Math.sqrt(dot(vector, vector));

/** NaN when one of them has no direction. */
export const cosine = (a: ArrayLike<number>, b: ArrayLike<number>): number => dot(a, b) / (norm(a) * norm(b));

/** Divided by its length; one without a length stays 0. */
export function unit(vector: ArrayLike<number>): Float64Array {
  const length = norm(vector);
  return Float64Array.from(vector, (value) => (length === 0 ? 0 : value / length));
}

export function meanRow(rows: Rows): Float64Array {
  const mean = new Float64Array(rows.width);
  for (let at = 0; at < rows.data.length; at++)
    mean[at % rows.width] = (mean[at % rows.width] as number) + (rows.data[at] as number);
  const count = Math.max(1, rowCount(rows));
  return mean.map((sum) => sum / count);
}

/** Every row minus the mean row. */
export function centred(rows: Rows): Rows {
  const mean = meanRow(rows);
  return { width: rows.width, data: rows.data.map((value, at) => value - (mean[at % rows.width] as number)) };
}

/** [n,n], each pair computed once. */
export function symmetric(n: number, valueOf: (row: number, column: number) => number): Float32Array {
  const matrix = new Float32Array(n * n);
  for (let row = 0; row < n; row++)
    for (let column = 0; column <= row; column++) {
      const value = valueOf(row, column);
      matrix[row * n + column] = value;
      matrix[column * n + row] = value;
    }
  return matrix;
}

/** Cosines of all rows with each other [n,n]. */
export function cosineMatrix(rows: Rows): Float32Array {
  const n = rowCount(rows);
  const units = Array.from({ length: n }, (_, row) => unit(rowAt(rows, row)));
  return symmetric(n, (row, column) => dot(units[row] as Float64Array, units[column] as Float64Array));
}

/** Pearson's r; NaN when one of them does not vary. */
export function pearson(x: ArrayLike<number>, y: ArrayLike<number>): number {
  const n = x.length;
  const mean = (values: ArrayLike<number>): number => Array.from(values).reduce((sum, value) => sum + value, 0) / n;
  const [meanX, meanY] = [mean(x), mean(y)];
  let [xy, xx, yy] = [0, 0, 0];
  for (let at = 0; at < n; at++) {
    const [a, b] = [(x[at] as number) - meanX, (y[at] as number) - meanY];
    xy += a * b;
    xx += a * a;
    yy += b * b;
  }
  return xy / Math.sqrt(xx * yy);
}

/** 1 for the smallest; equal values share the mean of their ranks. */
export function ranks(values: ArrayLike<number>): Float64Array {
  const order = Array.from({ length: values.length }, (_, at) => at).sort(
    (a, b) => (values[a] as number) - (values[b] as number),
  );
  const result = new Float64Array(values.length);
  for (let start = 0; start < order.length;) {
    let end = start + 1;
    while (end < order.length && values[order[end] as number] === values[order[start] as number]) end++;
    for (let at = start; at < end; at++) result[order[at] as number] = (start + end + 1) / 2;
    start = end;
  }
  return result;
}

/** Spearman's ρ, with ties. */
export const spearman = (x: ArrayLike<number>, y: ArrayLike<number>): number => pearson(ranks(x), ranks(y));

/** Products of all rows with each other [n,n]. */
export function gram(rows: Rows): Float64Array {
  const n = rowCount(rows);
  const products = new Float64Array(n * n);
  for (let row = 0; row < n; row++) {
    const own = rowAt(rows, row);
    for (let column = 0; column <= row; column++) {
      const value = dot(own, rowAt(rows, column));
      products[row * n + column] = value;
      products[column * n + row] = value;
    }
  }
  return products;
}

/**
 * Linear centred kernel alignment (Kornblith et al. 2019) of two descriptions of the same n things, from their kernels: the cosine of the
 * kernels.
 */
export const linearCka = (a: Float64Array, b: Float64Array): number => dot(a, b);

/** The Gram matrix of centred rows [n,n], of length one. */
export function centredKernel(products: Float64Array): Float64Array {
  const kernel = doublyCentred(products);
  const length = norm(kernel);
  return kernel.map((value) => value / length);
}

function doublyCentred(matrix: Float64Array): Float64Array {
  const n = Math.sqrt(matrix.length);
  const means = Float64Array.from({ length: n }, (_, row) => {
    let sum = 0;
    for (let column = 0; column < n; column++) sum += matrix[row * n + column] as number;
    return sum / n;
  });
  const mean = means.reduce((sum, value) => sum + value, 0) / n;
  return matrix.map((value, at) => value - (means[Math.floor(at / n)] as number) - (means[at % n] as number) + mean);
}

/** Agreement of two partitions, 0 for chance and 1 for the same (Hubert & Arabie 1985). */
export function adjustedRandIndex(a: readonly (string | number)[], b: readonly (string | number)[]): number {
  const pairs = (count: number): number => (count * (count - 1)) / 2;
  const sizes = (keys: readonly string[]): number => {
    const counts = new Map<string, number>();
    for (const key of keys) counts.set(key, (counts.get(key) ?? 0) + 1);
    return [...counts.values()].reduce((sum, count) => sum + pairs(count), 0);
  };
  const both = sizes(a.map((label, at) => JSON.stringify([label, b[at]])));
  const [first, second] = [sizes(a.map(String)), sizes(b.map(String))];
  const expected = (first * second) / Math.max(1, pairs(a.length));
  const most = (first + second) / 2;
  return most === expected ? 1 : (both - expected) / (most - expected);
}
