/**
 * Attention rollout (Abnar & Zuidema 2020): what reaches a token of the input when attention and the residual stream around it each
 * pass on one half. A = ½·W + ½·I with rows that sum to 1; R_0 = A_0, R_l = A_l·R_{l-1}. All [T,T].
 */

/** A of a block from patterns [H,T,T]: the mean over `heads`. */
export function withResidual(pattern: Float32Array, heads: readonly number[], length: number): Float64Array {
  const mixed = new Float64Array(length * length);
  for (const head of heads) {
    const from = head * length * length;
    for (let at = 0; at < mixed.length; at++)
      mixed[at] = (mixed[at] as number) + (pattern[from + at] as number) / heads.length;
  }
  for (let query = 0; query < length; query++) {
    const row = mixed.subarray(query * length, (query + 1) * length);
    row[query] = (row[query] as number) + 1;
    // A row that sees nothing has only itself.
    const sum = row.reduce((total, weight) => total + weight, 0);
    for (let key = 0; key < length; key++) row[key] = (row[key] as number) / sum;
  }
  return mixed;
}

/** A·R. */
export function rollOn(mixed: Float64Array, below: Float64Array, length: number): Float64Array {
  const result = new Float64Array(length * length);
  for (let query = 0; query < length; query++) {
    const row = result.subarray(query * length, (query + 1) * length);
    for (let middle = 0; middle < length; middle++) {
      const weight = mixed[query * length + middle] as number;
      if (weight === 0) continue;
      const from = middle * length;
      for (let key = 0; key < length; key++) row[key] = (row[key] as number) + weight * (below[from + key] as number);
    }
  }
  return result;
}
