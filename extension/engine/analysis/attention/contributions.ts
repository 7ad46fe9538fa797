/**
 * What each key gives to each query (Kobayashi et al. 2020, 2021; gorokoba560/norm-analysis-of-transformer). With
 * f^h(x_j) = v^h_j W_O^h, v with its bias and without the bias of the output projection:
 *
 *     norm             ‖Σ_h α^h_ij f^h(x_j)‖
 *     with residual    the stream x_i added to the summand j = i
 *     with LayerNorm   each summand u as (u − mean u) / √(var y_i + ε) ⊙ γ, where y_i is the sum that the norm really reads; β left out
 *
 * B texts (one), T tokens, H heads, K heads of values (that of head h is ⌊h·K/H⌋), d head width, D model width.
 */

export interface HeadNumbers {
  /** α [H,T,T], v [T,K,d], W_O [H,d,D]. */
  pattern: Float32Array;
  values: Float32Array;
  output: Float32Array;
  length: number;
  heads: number;
  keyHeads: number;
  /** d and D. */
  headWidth: number;
  width: number;
}

/** Factors of the heads' outputs at each query during the run [T,H]: 1 but for an intervention. */
export type Gates = Float32Array;

/** The norm after the sum: γ [D], and √(var y_i + ε) of each token [T]. */
export interface NormAfter {
  scale: Float32Array;
  deviations: Float64Array;
}

/** x_i [T,D], and the norm after the sum where it counts too. */
export interface Around {
  stream: Float32Array;
  norm: NormAfter | null;
}

const groupOf = (head: number, { heads, keyHeads }: Pick<HeadNumbers, 'heads' | 'keyHeads'>): number =>
  Math.floor((head * keyHeads) / heads);

/** ‖v‖ [T] of a head. */
export function valueNorms(numbers: Omit<HeadNumbers, 'pattern' | 'output' | 'width'>, head: number): Float64Array {
  const { values, length, keyHeads, headWidth } = numbers;
  const group = groupOf(head, numbers);
  return Float64Array.from({ length }, (_, token) => {
    const from = (token * keyHeads + group) * headWidth;
    return normOf(values.subarray(from, from + headWidth));
  });
}

export function normOf(vector: Float32Array | Float64Array): number {
  let sum = 0;
  for (const element of vector) sum += element * element;
  return Math.sqrt(sum);
}

/** x W_O^h into `target` [D]: x [d] begins at `from`. */
export function written(
  { output, headWidth, width }: Pick<HeadNumbers, 'output' | 'headWidth' | 'width'>,
  head: number,
  mixed: Float32Array,
  from: number,
  target: Float64Array,
): void {
  target.fill(0);
  for (let place = 0; place < headWidth; place++) {
    const factor = mixed[from + place] as number;
    const row = (head * headWidth + place) * width;
    for (let column = 0; column < width; column++)
      target[column] = (target[column] as number) + factor * (output[row + column] as number);
  }
}

/** As the norm after the sum takes a summand, but for its division: (u − mean u) ⊙ γ, in place. */
function centre(vector: Float64Array, scale: Float32Array): void {
  const mean = vector.reduce((sum, element) => sum + element, 0) / vector.length;
  for (let at = 0; at < vector.length; at++) vector[at] = ((vector[at] as number) - mean) * (scale[at] as number);
}

/** Of some heads together. */
export interface Contributions {
  /** Lengths of what key j gives to query i [T,T]. */
  norms: Float64Array;
  /** What each token gives to itself [T,D], with what is around it, but not divided by the norm's deviation. */
  own: Float64Array;
}

/**
 * What key j gives to query i. Instead of a vector for each pair, the products of the heads' vectors of one key with each other:
 * ‖Σ_h a_h f^h‖² = Σ_hk a_h a_k f^h·f^k.
 */
export function contributions(
  numbers: HeadNumbers,
  heads: readonly number[],
  gates: Gates,
  around: Around | null,
): Contributions {
  const { pattern, values, length, keyHeads, headWidth, width } = numbers;
  const size = heads.length;
  const norm = around?.norm ?? null;
  const norms = new Float64Array(length * length);
  const own = new Float64Array(length * width);
  const vectors = heads.map(() => new Float64Array(width));
  const products = new Float64Array(size * size);
  const weights = new Float64Array(size);
  for (let key = 0; key < length; key++) {
    heads.forEach((head, index) => {
      const vector = vectors[index] as Float64Array;
      written(numbers, head, values, (key * keyHeads + groupOf(head, numbers)) * headWidth, vector);
      if (norm !== null) centre(vector, norm.scale);
    });
    for (let a = 0; a < size; a++)
      for (let b = 0; b <= a; b++) {
        const product = dot(vectors[a] as Float64Array, vectors[b] as Float64Array);
        products[a * size + b] = product;
        products[b * size + a] = product;
      }
    for (let query = 0; query < length; query++) {
      for (let index = 0; index < size; index++) {
        const head = heads[index] as number;
        weights[index] =
          (pattern[(head * length + query) * length + key] as number) * (gates[query * numbers.heads + head] as number);
      }
      const deviation = norm === null ? 1 : (norm.deviations[query] as number);
      let square: number;
      if (query === key) {
        const summand = own.subarray(key * width, (key + 1) * width);
        addStream(summand, around, key);
        vectors.forEach((vector, index) => {
          for (let at = 0; at < width; at++)
            summand[at] = (summand[at] as number) + (weights[index] as number) * (vector[at] as number);
        });
        square = dot(summand, summand);
      } else square = quadratic(products, weights);
      norms[query * length + key] = Math.sqrt(Math.max(0, square)) / deviation;
    }
  }
  return { norms, own };
}

/** x_i as the norm takes it, where there is something around. */
function addStream(target: Float64Array, around: Around | null, token: number): void {
  if (around === null) return;
  const stream = Float64Array.from(around.stream.subarray(token * target.length, (token + 1) * target.length));
  if (around.norm !== null) centre(stream, around.norm.scale);
  for (let at = 0; at < target.length; at++) target[at] = (target[at] as number) + (stream[at] as number);
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let at = 0; at < a.length; at++) sum += (a[at] as number) * (b[at] as number);
  return sum;
}

function quadratic(products: Float64Array, weights: Float64Array): number {
  let sum = 0;
  for (let a = 0; a < weights.length; a++) {
    let row = 0;
    for (let b = 0; b < weights.length; b++)
      row += (products[a * weights.length + b] as number) * (weights[b] as number);
    sum += row * (weights[a] as number);
  }
  return sum;
}

/**
 * Of a whole block: ‖Σ_{j≠i}‖ / (‖Σ_{j≠i}‖ + ‖summand ii‖), the mean over tokens (Kobayashi et al. 2021). `mixed` is z [T,H,d] with the
 * gates in it: what all keys give together is z W_O. `own` is that of all heads.
 */
export function mixingRatio(
  numbers: HeadNumbers,
  mixed: Float32Array,
  { own }: Pick<Contributions, 'own'>,
  around: Around | null,
): number {
  const { length, heads, headWidth, width } = numbers;
  const norm = around?.norm ?? null;
  const vector = new Float64Array(width);
  let ratios = 0;
  for (let token = 0; token < length; token++) {
    const others = new Float64Array(width);
    for (let head = 0; head < heads; head++) {
      written(numbers, head, mixed, (token * heads + head) * headWidth, vector);
      for (let at = 0; at < width; at++) others[at] = (others[at] as number) + (vector[at] as number);
    }
    if (norm !== null) centre(others, norm.scale);
    addStream(others, around, token);
    const itself = own.subarray(token * width, (token + 1) * width);
    for (let at = 0; at < width; at++) others[at] = (others[at] as number) - (itself[at] as number);
    const [fromOthers, fromItself] = [normOf(others), normOf(itself)];
    ratios += fromOthers + fromItself === 0 ? 0 : fromOthers / (fromOthers + fromItself) / length;
  }
  return ratios;
}

/** √(var y_i + ε) of each row of y [T,D]. */
export function deviationsOf(sums: Float32Array, width: number, epsilon: number): Float64Array {
  return Float64Array.from({ length: sums.length / width }, (_, token) => {
    const row = sums.subarray(token * width, (token + 1) * width);
    const mean = row.reduce((total, element) => total + element, 0) / width;
    const variance = row.reduce((total, element) => total + (element - mean) ** 2, 0) / width;
    return Math.sqrt(variance + epsilon);
  });
}
