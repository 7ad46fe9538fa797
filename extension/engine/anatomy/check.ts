/**
 * What must be true of the numbers if the anatomy is right. The structure of a graph proposes what each tensor is; a run on random
 * tokens proves it, so that a graph of an unforeseen form loses a hook instead of giving a wrong number under its name.
 */
import { sizeOf } from '../onnx/model';
import type { Anatomy } from './anatomy';
import type { Block } from './blocks';
import { valuesBetween } from './columns';
import { blockHook, type BLOCK_HOOKS } from './hooks';
import { MASKED } from './scoring';
import { hasHalfFloats } from './subject';

interface Numbers {
  dims: readonly number[];
  data: Float32Array;
}

/** Relative to the largest number of a tensor: float32 sums in another order, and 16-bit floats. */
const TOLERANCE = { 32: 1e-3, 16: 3e-2 } as const;
/** Correlation of scores with products of queries and keys: 1 but for rounding. */
const STRAIGHT = 0.998;

/** Bits of the floats that a model computes with. */
export const precisionOf = ({ subject }: Pick<Anatomy, 'subject'>): 16 | 32 => (hasHalfFloats(subject) ? 16 : 32);

/**
 * Hooks that contradict each other, with the reason; empty when all is as it should be. `trace` has all hooks of the blocks for
 * rows of `lengths` tokens, padded to the longest.
 */
export function contradictions(
  anatomy: Anatomy,
  trace: ReadonlyMap<string, Numbers>,
  lengths: readonly number[],
  precision: 32 | 16,
): Map<string, string> {
  const wrong = new Map<string, string>();
  const tolerance = TOLERANCE[precision];
  anatomy.blocks.forEach((block, layer) => {
    const get = (hook: (typeof BLOCK_HOOKS)[number]): Numbers | undefined => trace.get(blockHook(layer, hook));
    const blame = (why: string, ...hooks: (typeof BLOCK_HOOKS)[number][]): void => {
      for (const hook of hooks) wrong.set(blockHook(layer, hook), `a test run contradicts it: ${why}`);
    };
    const pattern = get('attn.hook_pattern');
    const scores = get('attn.hook_attn_scores');
    const value = get('attn.hook_v');
    const z = get('attn.hook_z');
    if (pattern !== undefined && !rowsSumToOne(pattern, lengths, tolerance))
      blame('the rows of the pattern do not sum to 1', 'attn.hook_pattern', 'attn.hook_attn_scores');
    else if (pattern !== undefined && scores !== undefined && !isSoftmax(pattern, scores, lengths, tolerance))
      blame('the pattern is not the softmax of the scores', 'attn.hook_attn_scores');
    if (
      pattern !== undefined &&
      value !== undefined &&
      z !== undefined &&
      !isMixture(z, pattern, value, lengths, tolerance)
    )
      blame('z is not the pattern times the values', 'attn.hook_v', 'attn.hook_z');
    const [query, key] = [get('attn.hook_q'), get('attn.hook_k')];
    const way = wayToScores(anatomy, block);
    if (query !== undefined && key !== undefined && scores !== undefined && way !== 'other')
      if (!followsProducts(scores, query, key, lengths, way))
        blame('the scores do not follow from queries and keys', 'attn.hook_q', 'attn.hook_k');
    const [left, right] = [get('attn.hook_rot_q'), get('attn.hook_rot_k')];
    if (left !== undefined && right !== undefined && scores !== undefined && isLinear(anatomy, block))
      if (!followsProducts(scores, left, right, lengths, 'everywhere'))
        blame('the scores do not follow from their product', 'attn.hook_rot_q', 'attn.hook_rot_k');

    const [pre, attention, mid] = [get('hook_resid_pre'), get('hook_attn_out'), get('hook_resid_mid')];
    const [out, post] = [get('hook_mlp_out'), get('hook_resid_post')];
    if (
      pre !== undefined &&
      attention !== undefined &&
      mid !== undefined &&
      !isSum(mid, [pre, attention], lengths, tolerance)
    )
      blame('it is not the stream plus the attention output', 'hook_attn_out', 'hook_resid_mid');
    const before = block.parallel ? [pre, attention] : [get('hook_mlp_in') ?? mid];
    const addends = [...before, out].filter((each) => each !== undefined);
    if (post !== undefined && out !== undefined && !isSum(post, addends, lengths, tolerance))
      blame('it is not the stream plus the feed-forward output', 'hook_mlp_out', 'hook_resid_post');

    const [gate, up, active] = [get('mlp.hook_pre'), get('mlp.hook_pre_linear'), get('mlp.hook_post')];
    if (gate !== undefined && active !== undefined && (block.ffn?.up == null || up !== undefined))
      if (!isActivated(active, gate, up, lengths, tolerance))
        blame('it is no known activation of what stands before it', 'mlp.hook_pre', 'mlp.hook_pre_linear');
  });
  return wrong;
}

/** Calls for every token that is no padding, with the index of its first element. False as soon as one says so. */
function everyToken(
  { dims }: Numbers,
  lengths: readonly number[],
  holds: (from: number, size: number) => boolean,
): boolean {
  const length = dims[1] as number;
  const size = sizeOf(dims.slice(2));
  return lengths.every((tokens, row) => {
    for (let token = 0; token < tokens; token++) if (!holds((row * length + token) * size, size)) return false;
    return true;
  });
}

/** Calls for every row of a pattern [B,H,T,T] whose query is no padding. */
function everyQuery(
  { dims }: Numbers,
  lengths: readonly number[],
  holds: (from: number, keys: number, place: { row: number; head: number; query: number }) => boolean,
): boolean {
  const [, heads, queries, keys] = dims as [number, number, number, number];
  return lengths.every((tokens, row) => {
    for (let head = 0; head < heads; head++)
      for (let query = 0; query < tokens; query++)
        if (!holds(((row * heads + head) * queries + query) * keys, keys, { row, head, query })) return false;
    return true;
  });
}

function largest({ data }: Numbers): number {
  let most = 0;
  for (const element of data) if (Number.isFinite(element)) most = Math.max(most, Math.abs(element));
  return most;
}

function rowsSumToOne(pattern: Numbers, lengths: readonly number[], tolerance: number): boolean {
  return everyQuery(pattern, lengths, (from, keys) => {
    let sum = 0;
    for (let key = 0; key < keys; key++) sum += pattern.data[from + key] as number;
    return Math.abs(sum - 1) <= 10 * tolerance || Math.abs(sum) <= tolerance;
  });
}

function isSoftmax(pattern: Numbers, scores: Numbers, lengths: readonly number[], tolerance: number): boolean {
  return everyQuery(pattern, lengths, (from, keys) => {
    const row = scores.data.subarray(from, from + keys);
    const top = row.reduce((most, score) => Math.max(most, score), -Infinity);
    let sum = 0;
    for (const score of row) sum += Math.exp(score - top);
    // A row without any key that may be seen is set to 0, or left as it comes.
    if (top < MASKED) return true;
    return row.every(
      (score, key) => Math.abs(Math.exp(score - top) / sum - (pattern.data[from + key] as number)) <= 10 * tolerance,
    );
  });
}

/** z[i,h] = Σ_j pattern[h,i,j]·v[j,kv(h)], kv(h) = ⌊h·K/H⌋. */
function isMixture(
  z: Numbers,
  pattern: Numbers,
  value: Numbers,
  lengths: readonly number[],
  tolerance: number,
): boolean {
  const [, length, heads, width] = z.dims as [number, number, number, number];
  const keyHeads = value.dims[2] as number;
  const bound = 10 * tolerance * largest(value);
  return everyQuery(pattern, lengths, (from, keys, { row, head, query }) => {
    const group = Math.floor((head * keyHeads) / heads);
    for (let place = 0; place < width; place++) {
      let sum = 0;
      for (let key = 0; key < keys; key++)
        sum +=
          (pattern.data[from + key] as number) *
          (value.data[((row * length + key) * keyHeads + group) * width + place] as number);
      if (Math.abs(sum - (z.data[((row * length + query) * heads + head) * width + place] as number)) > bound)
        return false;
    }
    return true;
  });
}

function isSum(total: Numbers, addends: readonly Numbers[], lengths: readonly number[], tolerance: number): boolean {
  const bound = tolerance * Math.max(largest(total), ...addends.map(largest));
  return everyToken(total, lengths, (from, size) => {
    for (let at = from; at < from + size; at++) {
      const sum = addends.reduce((partial, { data }) => partial + (data[at] as number), 0);
      if (!(Math.abs(sum - (total.data[at] as number)) <= bound)) return false;
    }
    return true;
  });
}

/** Whether scores are products of queries and keys in a way that can be tested: everywhere, only of a token with itself, or not. */
function wayToScores({ subject, norms }: Anatomy, block: Block): 'everywhere' | 'itself' | 'other' {
  const { wires } = subject;
  const { query, key, scoringQuery } = block.attention;
  if (typeof query === 'string' || typeof key === 'string') return 'other';
  const before = valuesBetween(subject, query.linear.output, scoringQuery);
  // Queries and keys may have a norm of their own.
  if ([...before].some((value) => norms.byOutput.has(value) && value !== query.linear.output)) return 'other';
  if (!isLinear({ subject }, block)) return 'other';
  const turned = [...before].some((value) => /^(RotaryEmbedding|Concat)$/.test(wires.maker(value)?.opType ?? ''));
  // A rotation by position cancels out between a token and itself.
  return turned ? 'itself' : 'everywhere';
}

/** Scores that are not masked are the products of queries and keys times one number. */
function isLinear({ subject }: Pick<Anatomy, 'subject'>, { attention }: Block): boolean {
  const after = [...valuesBetween(subject, attention.scoring, attention.scores)].map((value) =>
    subject.wires.maker(value),
  );
  if (after.some((maker) => maker !== undefined && /^(Tanh|Clip)$/.test(maker.opType))) return false;
  return !hasPositionTerms(subject, attention);
}

/** Anything but masks and scales is added between the product and the softmax. */
export function hasPositionTerms(subject: Anatomy['subject'], { scores, scoring }: Block['attention']): boolean {
  const { wires, values } = subject;
  const after = valuesBetween(subject, scoring, scores);
  return [...after].some((value) => {
    const maker = wires.maker(value);
    if (maker?.opType !== 'Add' || value === scoring) return false;
    return maker.inputs.some((input) => {
      if (after.has(input)) return false;
      const data = values.get(input)?.data;
      return data == null || data.some((element) => element !== 0 && element > MASKED);
    });
  });
}

/** In every head, scores that are not masked lie on a straight line over q·k. */
function followsProducts(
  scores: Numbers,
  query: Numbers,
  key: Numbers,
  lengths: readonly number[],
  way: 'everywhere' | 'itself',
): boolean {
  const [, length, heads, width] = query.dims as [number, number, number, number];
  const keyHeads = key.dims[2] as number;
  const pairs = Array.from({ length: heads }, (): [number[], number[]] => [[], []]);
  everyQuery(scores, lengths, (from, keys, place) => {
    const group = Math.floor((place.head * keyHeads) / heads);
    for (let other = 0; other < Math.min(keys, lengths[place.row] as number); other++) {
      const score = scores.data[from + other] as number;
      if (score < MASKED || (way === 'itself' && other !== place.query)) continue;
      let product = 0;
      for (let at = 0; at < width; at++)
        product +=
          (query.data[((place.row * length + place.query) * heads + place.head) * width + at] as number) *
          (key.data[((place.row * length + other) * keyHeads + group) * width + at] as number);
      pairs[place.head]?.[0].push(product);
      pairs[place.head]?.[1].push(score);
    }
    return true;
  });
  return pairs.every(([products, found]) => correlation(products, found) > STRAIGHT);
}

/** Pearson's; 1 where there is no spread to speak of. */
function correlation(xs: readonly number[], ys: readonly number[]): number {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [mx, my] = [mean(xs), mean(ys)];
  let [xy, xx, yy] = [0, 0, 0];
  xs.forEach((x, index) => {
    const [dx, dy] = [x - mx, (ys[index] as number) - my];
    xy += dx * dy;
    xx += dx * dx;
    yy += dy * dy;
  });
  return xx < 1e-12 || yy < 1e-12 ? 1 : xy / Math.sqrt(xx * yy);
}

const erf = (x: number): number => {
  // Abramowitz and Stegun 7.1.26, to 1.5e-7.
  const t = 1 / (1 + 0.3275911 * Math.abs(x));
  const y =
    1 -
    ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t * Math.exp(-x * x);
  return x >= 0 ? y : -y;
};
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const ACTIVATIONS: readonly ((x: number) => number)[] = [
  (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  (x) => Math.max(0, x),
  (x) => x * sigmoid(x),
  (x) => x * sigmoid(1.702 * x),
  Math.tanh,
  (x) => Math.max(0, x) ** 2,
  sigmoid,
  (x) => (x > 0 ? x : Math.expm1(x)),
  (x) => x * Math.tanh(Math.log1p(Math.exp(x))),
];

/** post = f(pre), or f(pre)·up, for one of the activation functions in use. */
function isActivated(
  post: Numbers,
  pre: Numbers,
  up: Numbers | undefined,
  lengths: readonly number[],
  tolerance: number,
): boolean {
  const bound = 3 * tolerance * Math.max(largest(post), 1e-6);
  return ACTIVATIONS.some((f) =>
    everyToken(post, lengths, (from, size) => {
      for (let at = from; at < from + size; at++) {
        const expected = f(pre.data[at] as number) * (up === undefined ? 1 : (up.data[at] as number));
        if (!(Math.abs(expected - (post.data[at] as number)) <= bound)) return false;
      }
      return true;
    }),
  );
}
