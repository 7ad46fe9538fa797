/** Classical multidimensional scaling (Torgerson 1952): places whose distances are as near as can be to given ones. */
import { EigenvalueDecomposition, Matrix } from 'ml-matrix';

/**
 * Distances [n,n] → places [n,2]: the two largest eigenvectors of B = −½ J D² J, times the roots of their eigenvalues (D² element by
 * element, J the centring). Eigenvectors have no sign of their own: in each axis the entry that is largest by amount is made positive.
 */
export function classicalScaling(distances: Float64Array, n: number): Float32Array {
  const places = new Float32Array(2 * n);
  if (n < 2) return places;
  const squares = distances.map((distance) => distance * distance);
  const means = Float64Array.from({ length: n }, (_, row) => {
    let sum = 0;
    for (let column = 0; column < n; column++) sum += squares[row * n + column] as number;
    return sum / n;
  });
  const mean = means.reduce((sum, value) => sum + value, 0) / n;
  const centred = new Matrix(n, n);
  for (let row = 0; row < n; row++)
    for (let column = 0; column < n; column++)
      centred.set(
        row,
        column,
        -0.5 * ((squares[row * n + column] as number) - (means[row] as number) - (means[column] as number) + mean),
      );
  const { realEigenvalues, eigenvectorMatrix } = new EigenvalueDecomposition(centred, { assumeSymmetric: true });
  const order = [...realEigenvalues.keys()].sort(
    (a, b) => (realEigenvalues[b] as number) - (realEigenvalues[a] as number),
  );
  for (const axis of [0, 1]) {
    const column = order[axis] as number;
    const vector = eigenvectorMatrix.getColumn(column);
    const largest = vector.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
    const scale = Math.sign(largest) * Math.sqrt(Math.max(0, realEigenvalues[column] as number));
    vector.forEach((value, row) => (places[2 * row + axis] = value * scale));
  }
  return places;
}
