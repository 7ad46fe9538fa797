/** How one row of a pattern comes about: q·k, scale, position and mask, softmax, and what the weighed values write. */
import type { AttentionSteps, AttentionStepsParams } from '../../../protocol/attention';
import { LensError } from '../../../protocol/errors';
import type { Anatomy } from '../../anatomy/anatomy';
import type { Block } from '../../anatomy/blocks';
import { hasPositionTerms, precisionOf } from '../../anatomy/check';
import { blockHook } from '../../anatomy/hooks';
import { MASKED } from '../../anatomy/scoring';
import type { Activation, Internals } from '../../session/internals';
import type { LanguageModel, RunContext } from '../../session/languageModel';
import { headFactors, scaleInterventions } from '../interventions';
import { traceBlocks, type BlockHook, type Blocks } from './blocks';
import { normOf, written as writtenBy } from './contributions';
import { checkHeads, prepareInput } from './input';
import { addsDirectly } from './maps';

/** Always there, or the question has no answer. */
const NEEDED: readonly BlockHook[] = ['attn.hook_pattern', 'attn.hook_attn_scores', 'attn.hook_v', 'attn.hook_z'];
/** Of the rest what the block has. */
const WELCOME: readonly BlockHook[] = [
  'attn.hook_q',
  'attn.hook_k',
  'attn.hook_rot_q',
  'attn.hook_rot_k',
  'hook_attn_out',
  'hook_resid_pre',
];

/** Throws `model-unsupported` when the block's scores, pattern or values cannot be read; `bad-input`, and what `prepareInput` throws. */
export async function attentionSteps(
  model: LanguageModel & Internals,
  params: Omit<AttentionStepsParams, 'model'>,
  _context: RunContext,
): Promise<AttentionSteps> {
  const { layer, head, query } = params;
  const { row, tokens, notes: about } = prepareInput(model, params);
  const anatomy = await model.anatomy();
  checkHeads(anatomy, [{ layer, head }]);
  if (query >= tokens.length)
    throw new LensError('bad-input', `There is no token ${query}; the text has tokens 0 to ${tokens.length - 1}.`);
  const interventions = scaleInterventions(anatomy, params.interventions ?? [], tokens.length);
  const block = anatomy.blocks[layer] as Block;
  const has = (hook: BlockHook): boolean => anatomy.hooks.sites.has(blockHook(layer, hook));
  const blocks = await traceBlocks(model, { row, interventions }, [layer], [...NEEDED, ...WELCOME.filter(has)]);
  const place: Place = { anatomy, block, layer, head, query, length: tokens.length, has, blocks };
  const gates = headFactors(params.interventions ?? [], layer, block.attention.heads, tokens.length);
  const gate = gates[query * block.attention.heads + head] as number;
  const [matching, writing] = [match(place), await write(model, place, gate)];
  return {
    model: model.info.id,
    tokens,
    ...{ layer, head, query },
    ...matching.steps,
    ...writing.steps,
    notes: [...about, ...matching.notes, ...writing.notes],
  };
}

interface Place {
  anatomy: Anatomy;
  block: Block;
  layer: number;
  head: number;
  query: number;
  length: number;
  has(hook: BlockHook): boolean;
  blocks: Blocks;
}

type Matching = Pick<
  AttentionSteps,
  'queryVector' | 'keyVectors' | 'products' | 'scale' | 'bias' | 'scores' | 'pattern'
>;
type Writing = Omit<AttentionSteps, keyof Matching | 'model' | 'tokens' | 'layer' | 'head' | 'query' | 'notes'>;

/** Row `query` of a head in [1,H,T,T]. */
function rowOf({ data }: Activation, { head, query, length }: Place): Float32Array {
  const from = (head * length + query) * length;
  return data.slice(from, from + length);
}

/** A head's vector at a token in [1,T,N,d]; several heads of queries may share one of N. */
function vectorOf({ dims, data }: Activation, heads: number, head: number, token: number): Float32Array {
  const [, , groups, width] = dims as [number, number, number, number];
  const from = (token * groups + Math.floor((head * groups) / heads)) * width;
  return data.subarray(from, from + width);
}

/** Queries and keys up to the softmax. */
function match(place: Place): { steps: Matching; notes: string[] } {
  const { anatomy, block, query, length, blocks } = place;
  const { scale: factor } = block.attention;
  const pattern = rowOf(blocks(place.layer, 'attn.hook_pattern'), place);
  // What a mask forbids is written as a very large negative number in graphs.
  const scores = rowOf(blocks(place.layer, 'attn.hook_attn_scores'), place).map((score) =>
    score < MASKED ? -Infinity : score,
  );
  const notes: string[] = [];
  const steps: Matching = {
    queryVector: null,
    keyVectors: null,
    products: null,
    scale: null,
    bias: null,
    scores,
    pattern,
  };
  const pairs = factors(place);
  if (typeof pairs === 'string') return { steps, notes: [`Queries and keys cannot be shown: ${pairs}.`] };
  const { queries, keys, scale: own } = pairs;
  const products = productsOf(place, queries, keys, query);
  Object.assign(steps, {
    queryVector: queries(query).slice(),
    keyVectors: concatenated(Array.from({ length }, (_, key) => keys(key))),
    products: Float32Array.from(products),
  });
  if (pairs.note !== null) notes.push(pairs.note);
  if (typeof factor === 'string')
    return { steps, notes: [...notes, `What q·k is multiplied with cannot be told: ${factor}.`] };
  const scale = factor * own;
  const hasTerms = hasPositionTerms(anatomy.subject, block.attention);
  // Without terms of position there is nothing between scale·q·k and the scores of keys that may be seen.
  if (!hasTerms && !explains(place, queries, keys, scale))
    return {
      steps,
      notes: [...notes, 'What q·k is multiplied with cannot be told: the scores do not follow from it.'],
    };
  if (
    hasTerms &&
    scores.some(
      (score, key) => Number.isFinite(score) && Math.abs(score - scale * (products[key] as number)) > NO_SCORE,
    )
  )
    notes.push('Beside scale · q·k, position has a share in these scores; it stands in the bias.');
  const bias = scores.map((score, key) =>
    score === -Infinity ? -Infinity : score - scale * (products[key] as number),
  );
  return { steps: { ...steps, scale, bias }, notes };
}

/** Less than this is rounding. */
const NO_SCORE = 1e-3;

interface Factors {
  queries(token: number): Float32Array;
  keys(token: number): Float32Array;
  /** The factors of the graph's product are these times it. */
  scale: number;
  note: string | null;
}

/**
 * What is multiplied: queries and keys as the projections make them, if only a scale lies between them and the product (exports put
 * it before or after); else as they enter it. A text says why neither is there.
 */
function factors({ anatomy, block, layer, head, length, has, blocks }: Place): Factors | string {
  const { heads } = block.attention;
  const whyNot = (hook: BlockHook): string =>
    anatomy.hooks.missing.get(blockHook(layer, hook)) ?? 'they were not found';
  for (const hook of ['attn.hook_rot_q', 'attn.hook_rot_k'] as const) if (!has(hook)) return whyNot(hook);
  const vectors = (hook: BlockHook) => {
    const activation = blocks(layer, hook);
    return (token: number): Float32Array => vectorOf(activation, heads, head, token);
  };
  const [queries, keys] = [vectors('attn.hook_rot_q'), vectors('attn.hook_rot_k')];
  if (has('attn.hook_q') && has('attn.hook_k')) {
    const [plainQueries, plainKeys] = [vectors('attn.hook_q'), vectors('attn.hook_k')];
    const [a, b] = [ratio(plainQueries, queries, length), ratio(plainKeys, keys, length)];
    if (a !== null && b !== null) return { queries: plainQueries, keys: plainKeys, scale: a * b, note: null };
  }
  return {
    ...{ queries, keys, scale: 1 },
    note: 'Queries and keys are shown as they enter their product, after rotary positions, norms and scales of their own.',
  };
}

/** Relative to the largest number: rounding of 16-bit floats. */
const PROPORTIONAL = 2e-3;

/** c with other = c·one everywhere; null when there is none. */
function ratio(
  one: (token: number) => Float32Array,
  other: (token: number) => Float32Array,
  length: number,
): number | null {
  const [x, y] = [one, other].map((of) => concatenated(Array.from({ length }, (_, token) => of(token)))) as [
    Float32Array,
    Float32Array,
  ];
  if (x.length !== y.length) return null;
  let [xx, xy, largest] = [0, 0, 0];
  x.forEach((element, at) => {
    xx += element * element;
    xy += element * (y[at] as number);
    largest = Math.max(largest, Math.abs(y[at] as number));
  });
  if (xx === 0) return null;
  const c = xy / xx;
  return x.every((element, at) => Math.abs(c * element - (y[at] as number)) <= PROPORTIONAL * largest) ? c : null;
}

function concatenated(rows: readonly Float32Array[]): Float32Array {
  const width = rows[0]?.length ?? 0;
  const result = new Float32Array(rows.length * width);
  rows.forEach((row, index) => {
    result.set(row, index * width);
  });
  return result;
}

function productsOf(
  { length }: Place,
  queries: Factors['queries'],
  keys: Factors['keys'],
  query: number,
): Float64Array {
  const vector = queries(query);
  return Float64Array.from({ length }, (_, key) => {
    const other = keys(key);
    return vector.reduce((sum, element, at) => sum + element * (other[at] as number), 0);
  });
}

/** Relative to the largest score, as for other checks of a run. */
const EXPLAINED = { 32: 1e-3, 16: 3e-2 } as const;

/** scale·q·k are the scores of every query of the head, where nothing is masked. */
function explains(place: Place, queries: Factors['queries'], keys: Factors['keys'], scale: number): boolean {
  const { length, head, layer, anatomy, blocks } = place;
  const { data } = blocks(layer, 'attn.hook_attn_scores');
  const seen = data.subarray(head * length * length, (head + 1) * length * length);
  const largest = seen.reduce((most, score) => (score < MASKED ? most : Math.max(most, Math.abs(score))), 1);
  const bound = EXPLAINED[precisionOf(anatomy)] * largest;
  for (let query = 0; query < length; query++) {
    const products = productsOf(place, queries, keys, query);
    for (let key = 0; key < length; key++) {
      const score = seen[query * length + key] as number;
      if (score >= MASKED && !(Math.abs(score - scale * (products[key] as number)) <= bound)) return false;
    }
  }
  return true;
}

/** Values from the pattern to the residual stream. `gate`: the head's factor in this run. */
async function write(model: Internals, place: Place, gate: number): Promise<{ steps: Writing; notes: string[] }> {
  const { anatomy, block, layer, head, query, length, has, blocks } = place;
  const { heads } = block.attention;
  const notes: string[] = [];
  const pattern = rowOf(blocks(layer, 'attn.hook_pattern'), place);
  const values = blocks(layer, 'attn.hook_v');
  const vectors = Array.from({ length }, (_, token) => vectorOf(values, heads, head, token));
  const valueNorms = Float32Array.from(vectors, normOf);
  const z = vectorOf(blocks(layer, 'attn.hook_z'), heads, head, query).slice();
  const steps: Writing = {
    valueNorms,
    weightedNorms: pattern.map((weight, key) => weight * (valueNorms[key] as number) * Math.abs(gate)),
    ...{ writtenNorms: null, z, written: null, writtenNorm: null, shareOfAttnOut: null },
    attnOutNorm: null,
    residPreNorm: null,
  };
  const row = (hook: 'hook_attn_out' | 'hook_resid_pre'): Float32Array | null => {
    if (!has(hook)) return null;
    const { dims, data } = blocks(layer, hook);
    const width = dims.at(-1) as number;
    return data.subarray(query * width, (query + 1) * width);
  };
  const [attnOut, residPre] = [row('hook_attn_out'), row('hook_resid_pre')];
  if (attnOut !== null) steps.attnOutNorm = normOf(attnOut);
  if (residPre !== null) steps.residPreNorm = normOf(residPre);
  let output: Activation;
  try {
    output = await model.weight(`blocks.${layer}.attn.W_O`);
  } catch (thrown) {
    const error = LensError.from(thrown);
    if (error.code !== 'model-unsupported') throw error;
    return { steps, notes: [`What the head writes cannot be shown: ${error.message}`] };
  }
  const [, headWidth, width] = output.dims as [number, number, number];
  const shape = { output: output.data, headWidth, width };
  const vector = new Float64Array(width);
  steps.writtenNorms = Float32Array.from(vectors, (value, key) => {
    writtenBy(shape, head, value, 0, vector);
    return (pattern[key] as number) * normOf(vector) * Math.abs(gate);
  });
  writtenBy(shape, head, z, 0, vector);
  steps.written = Float32Array.from(vector);
  steps.writtenNorm = normOf(vector);
  if (attnOut === null) return { steps, notes };
  if (!addsDirectly(anatomy, block))
    notes.push(
      'What the heads write is normalised or scaled before it is added to the residual stream, so this head has no share of that sum.',
    );
  else if (steps.attnOutNorm !== null && steps.attnOutNorm > 0)
    steps.shareOfAttnOut =
      vector.reduce((sum, element, at) => sum + element * (attnOut[at] as number), 0) / steps.attnOutNorm ** 2;
  return { steps, notes };
}
