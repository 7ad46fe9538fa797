/**
 * `lens verify`: a model against reference tensors that another program computed (test/fixtures/README.md has the format). Every
 * case is run with all its hooks, every intervention is made, every text is tokenised; what differs or is missing is a failure.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Tensor } from 'onnxruntime-node';
import { LensError } from '../../extension/protocol/errors';
import { contributions } from '../../extension/engine/analysis/attention/contributions';
import { rollOn, withResidual } from '../../extension/engine/analysis/attention/rollout';
import type { Anatomy } from '../../extension/engine/anatomy/anatomy';
import { floatToHalf } from '../../extension/engine/onnx/elements';
import { DEFAULT_SETTINGS } from '../../extension/protocol/engine';
import { describeModel, type Description } from '../../extension/engine/session/describe';
import type { InputRow } from '../../extension/engine/session/languageModel';
import type { Activation, Intervention, Trace } from '../../extension/engine/session/internals';
import { Tracer } from '../../extension/engine/session/tracer';
import { Weights } from '../../extension/engine/session/weights';
import type { LensTokenizer } from '../../extension/engine/text/tokenizer';
import { readSafetensors, type ReferenceTensor } from './safetensors';

export interface ReferenceCase {
  id: string;
  text: (string | [string, string])[];
  input_ids: number[][];
  attention_mask: number[][];
  token_type_ids?: number[][];
  tokens: string[][];
  offsets: [number, number][][];
  past_length?: number;
}

interface ReferenceIntervention {
  case: string;
  id: string;
  kind: 'head' | 'neuron';
  layer: number;
  head?: number;
  neuron?: number;
  position: number | null;
  scale: number;
}

export interface Reference {
  fixture: string;
  architecture: string;
  head: 'mlm' | 'clm' | 'cls' | 'tok' | 'pretraining' | 'encoder';
  causal: boolean;
  layers: number;
  heads: number;
  kv_heads: number;
  d_head: number;
  d_model: number;
  d_ffn: number;
  vocab: number;
  norm: 'pre' | 'post';
  rotary: boolean;
  gated_ffn: boolean;
  parallel_residual: boolean;
  tied_layers: boolean;
  inputs: string[];
  /** ONNX output → tensor after the case's name. */
  outputs: Record<string, string>;
  tolerance: { default: number; pattern?: number; internal?: number };
  padded_positions?: { comparable: boolean };
  cases: ReferenceCase[];
  interventions?: ReferenceIntervention[];
  attributions?: unknown[];
}

export interface Check {
  /** Folder, and what was compared. */
  fixture: string;
  name: string;
  /** Largest differences; null when nothing could be compared. */
  absolute: number | null;
  relative: number | null;
  tolerance: number | null;
  status: 'ok' | 'off' | 'missing' | 'not yet supported';
  note?: string;
}

/** Tensors that analyses of later versions will be compared with. */
const NOT_YET = 'attributions/';
/** What analyses make of the hooks of a case. */
const DERIVED = /^(rollout|norm_attention)$/;
/** Scores of masked keys; their exact value means nothing. */
const MASKED_SCORE = -5000;

/** The folder itself when it is a fixture, else the fixtures in it. Throws `bad-input` when there is none. */
export function fixtureFolders(folder: string): string[] {
  const isFixture = (path: string): boolean =>
    existsSync(join(path, 'reference.json')) && existsSync(join(path, 'model.onnx'));
  if (isFixture(folder)) return [folder];
  const inside = existsSync(folder)
    ? readdirSync(folder, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => join(folder, name))
        .filter(isFixture)
        .sort()
    : [];
  if (inside.length === 0)
    throw new LensError(
      'bad-input',
      `There is no fixture in ${folder}.`,
      'A fixture is a folder with model.onnx, reference.json and reference.safetensors.',
    );
  return inside;
}

/** Every comparison of one fixture. Throws only when its files cannot be read. */
export async function verifyFixture(folder: string, threads: number): Promise<Check[]> {
  return verifyModel(await describeModel({ id: basename(folder), folder }), folder, threads);
}

/** A model against the references in a folder. */
export async function verifyModel(description: Description, folder: string, threads: number): Promise<Check[]> {
  const meta = JSON.parse(readFileSync(join(folder, 'reference.json'), 'utf8')) as Reference;
  const tensors = readSafetensors(join(folder, 'reference.safetensors'));
  const { fixture } = meta;
  const checks: Check[] = [];
  const fail = (name: string, note: string): void => {
    checks.push({ fixture, name, absolute: null, relative: null, tolerance: null, status: 'missing', note });
  };
  const tracer = new Tracer(description, { ...DEFAULT_SETTINGS, threads });
  try {
    const anatomy = await tracer.anatomy();
    checks.push(...compareDimensions(meta, anatomy));
    const { tokenizer } = description;
    if (tokenizer === null) fail('tokens', description.tokenizerError?.message ?? 'no tokenizer');
    for (const each of meta.cases) {
      if (tokenizer !== null) checks.push(...compareTokens(meta, each, tokenizer));
      const names = [...tensors.keys()].filter((name) => name.startsWith(`${each.id}/`));
      const hookOf = (name: string): string => {
        const tail = name.slice(each.id.length + 1);
        const output = Object.entries(meta.outputs).find(([, target]) => target === tail)?.[0];
        if (tail === 'unembed.logits' && anatomy.hooks.sites.has(tail)) return tail;
        return output ?? tail;
      };
      const inputs = new Set(description.info.inputs.map(({ name }) => `${each.id}/${name}`));
      const wanted = names.filter((name) => !inputs.has(name) && !name.startsWith(`${each.id}/interventions/`));
      for (const name of wanted.filter((each_) => each_.slice(each.id.length + 1).startsWith(NOT_YET)))
        checks.push({ fixture, name, absolute: null, relative: null, tolerance: null, status: 'not yet supported' });
      const tailOf = (name: string): string => name.slice(each.id.length + 1);
      const derived = wanted.filter((name) => DERIVED.test(tailOf(name)));
      const compared = wanted.filter((name) => !tailOf(name).startsWith(NOT_YET) && !DERIVED.test(tailOf(name)));
      const present = compared.filter((name) => anatomy.hooks.sites.has(hookOf(name)));
      for (const name of compared)
        if (!present.includes(name))
          fail(name, anatomy.hooks.missing.get(hookOf(name)) ?? anatomy.problems[0] ?? 'not found');
      try {
        const trace = await tracer.run(feedsOf(each, tracer, tensors), present.map(hookOf));
        for (const name of present)
          checks.push(
            compare(meta, each, name, trace.get(hookOf(name)) as Activation, tensors.get(name) as ReferenceTensor),
          );
        const weights = new Weights(description, { ...DEFAULT_SETTINGS, threads });
        for (const name of derived) {
          const actual = tailOf(name) === 'rollout' ? rollout(meta, trace) : await normAttention(meta, trace, weights);
          checks.push(compare(meta, each, name, actual, tensors.get(name) as ReferenceTensor));
        }
      } catch (thrown) {
        fail(`${each.id}/*`, LensError.from(thrown).message);
      }
    }
    for (const each of meta.interventions ?? []) {
      const source = meta.cases.find(({ id }) => id === each.case) as ReferenceCase;
      for (const [output, target] of Object.entries(meta.outputs)) {
        const tail = target === 'unembed.logits' ? 'logits' : target;
        const name = `${each.case}/interventions/${each.id}/${tail}`;
        const expected = tensors.get(name);
        if (expected === undefined) continue;
        const hook = target === 'unembed.logits' && anatomy.hooks.sites.has(target) ? target : output;
        try {
          const trace = await tracer.run(
            feedsOf(source, tracer, tensors),
            [hook],
            [intervention(each, source, anatomy)],
          );
          checks.push(compare(meta, source, name, trace.get(hook) as Activation, expected));
        } catch (thrown) {
          fail(name, LensError.from(thrown).message);
        }
      }
    }
  } finally {
    await tracer.release();
  }
  return checks;
}

/** [L,T,T] of a run of one text. */
function rollout({ layers, heads }: Reference, trace: Trace): Activation {
  const patterns = Array.from({ length: layers }, (_, layer) => at(trace, layer, 'attn.hook_pattern'));
  const length = patterns[0]?.dims.at(-1) as number;
  const data = new Float32Array(layers * length * length);
  let below: Float64Array | null = null;
  const all = Array.from({ length: heads }, (_, head) => head);
  for (const [layer, pattern] of patterns.entries()) {
    const mixed: Float64Array = withResidual(pattern.data, all, length);
    below = below === null ? mixed : rollOn(mixed, below, length);
    data.set(below, layer * length * length);
  }
  return { dims: [layers, length, length], data };
}

/** [L,H,T,T] of a run of one text. */
async function normAttention(meta: Reference, trace: Trace, weights: Weights): Promise<Activation> {
  const { layers, heads, d_head: headWidth, d_model: width } = meta;
  const length = at(trace, 0, 'attn.hook_pattern').dims.at(-1) as number;
  const data = new Float32Array(layers * heads * length * length);
  for (let layer = 0; layer < layers; layer++) {
    const { dims, data: values } = at(trace, layer, 'attn.hook_v');
    const numbers = {
      ...{ pattern: at(trace, layer, 'attn.hook_pattern').data, values, length, heads, headWidth, width },
      output: (await weights.read(`blocks.${layer}.attn.W_O`)).data,
      keyHeads: dims[2] as number,
    };
    const gates = new Float32Array(length * heads).fill(1);
    for (let head = 0; head < heads; head++)
      data.set(contributions(numbers, [head], gates, null).norms, (layer * heads + head) * length * length);
  }
  return { dims: [layers, heads, length, length], data };
}

const at = (trace: Trace, layer: number, hook: string): Activation =>
  trace.get(`blocks.${layer}.${hook}`) as Activation;

function compareDimensions(meta: Reference, anatomy: Anatomy): Check[] {
  const { fixture } = meta;
  const pairs: [string, number | string | null, number | string][] = [
    ['layers', anatomy.layers, meta.layers],
    ['heads', anatomy.heads, meta.heads],
    ['kv_heads', anatomy.keyHeads, meta.kv_heads],
    ['d_head', anatomy.headWidth, meta.d_head],
    ['d_model', anatomy.width, meta.d_model],
    ['d_ffn', anatomy.ffnWidth, meta.d_ffn],
    ['norm', anatomy.norm, meta.norm],
  ];
  return pairs.map(([name, found, expected]) => ({
    fixture,
    name,
    absolute: null,
    relative: null,
    tolerance: null,
    ...(found === expected
      ? { status: 'ok' as const }
      : { status: 'off' as const, note: `${String(found)}, expected ${String(expected)}` }),
  }));
}

/** Ids and pieces, and offsets in code points of the text ([0,0] for special tokens). */
function compareTokens({ fixture }: Reference, each: ReferenceCase, tokenizer: LensTokenizer): Check[] {
  if (each.past_length !== undefined) return []; // the continuation of another case
  return each.text.map((text, row) => {
    const name = `${each.id}/tokens/${row}`;
    const [first, second] = typeof text === 'string' ? [text] : text;
    const encoding = second === undefined ? tokenizer.encode(first) : tokenizer.encodePair(first, second);
    const length = (each.attention_mask[row] as number[]).reduce((sum, bit) => sum + bit, 0);
    const expected = (each.input_ids[row] as number[]).slice(0, length);
    const pieces = (each.tokens[row] as string[]).slice(0, length);
    const segments = each.token_type_ids?.[row]?.slice(0, length) ?? expected.map(() => 0);
    const offsets = encoding.ranges.map((range, index): [number, number] => {
      if (range === null) return [0, 0];
      const source = encoding.segments[index] === 1 ? (second ?? first) : first;
      const points = (end: number): number => [...source.slice(0, end)].length;
      return [points(range.start), points(range.end)];
    });
    const same =
      JSON.stringify([...encoding.ids]) === JSON.stringify(expected) &&
      JSON.stringify(encoding.tokens) === JSON.stringify(pieces) &&
      (each.token_type_ids === undefined || JSON.stringify([...encoding.segments]) === JSON.stringify(segments));
    const sameOffsets = offsets.every(([start, end], index) => {
      const [wantedStart, wantedEnd] = each.offsets[row]?.[index] ?? [-1, -1];
      // A word-start mark that stands for no character has an empty range with us, the next character's with others.
      if (encoding.tokens[index] === '▁' && start === end) return start === wantedStart;
      return isBlankDifference(first, [start, end], [wantedStart, wantedEnd]);
    });
    return {
      fixture,
      name,
      absolute: null,
      relative: null,
      tolerance: null,
      ...(same && sameOffsets
        ? { status: 'ok' as const }
        : {
            status: 'off' as const,
            note: same ? `offsets ${JSON.stringify(offsets)}` : `ids ${JSON.stringify([...encoding.ids])}`,
          }),
    };
  });
}

/** Both say the same but for white space around it, which some tokenizers count to the token and some do not. */
function isBlankDifference(text: string, ours: [number, number], theirs: [number, number]): boolean {
  const points = [...text];
  const trimmed = ([start, end]: [number, number]): string => {
    let [from, to] = [start, end];
    while (from < to && /\s/u.test(points[from] as string)) from++;
    while (to > from && /\s/u.test(points[to - 1] as string)) to--;
    return from === to ? 'blank' : `${from} ${to}`;
  };
  return trimmed(ours) === trimmed(theirs);
}

function feedsOf(
  each: ReferenceCase,
  tracer: Tracer,
  tensors: ReadonlyMap<string, ReferenceTensor>,
): Record<string, Tensor> {
  const past = each.past_length ?? 0;
  const rows = each.input_ids.map((ids, row): InputRow => ({
    ids: Int32Array.from(ids),
    ...(each.token_type_ids === undefined ? {} : { segments: Int32Array.from(each.token_type_ids[row] as number[]) }),
  }));
  // The reference says itself what stands at padding, and what a cache holds.
  const feeds = tracer.fill.feeds(rows);
  const integers = (name: string, values: number[][]): void => {
    const dims = [values.length, (values[0] as number[]).length];
    if (feeds[name]?.type === 'int32') feeds[name] = new Tensor('int32', Int32Array.from(values.flat()), dims);
    else if (feeds[name] !== undefined)
      feeds[name] = new Tensor('int64', BigInt64Array.from(values.flat(), BigInt), dims);
  };
  integers('attention_mask', each.attention_mask);
  if (past === 0) return feeds;
  const positions = each.input_ids.map((ids) => ids.map((_, index) => past + index));
  integers('position_ids', positions);
  for (const name of Object.keys(feeds)) {
    const cached = tensors.get(`${each.id}/${name}`);
    if (cached === undefined) continue;
    feeds[name] =
      feeds[name]?.type === 'float16'
        ? new Tensor('float16', Uint16Array.from(cached.data, floatToHalf), cached.shape)
        : new Tensor('float32', cached.data, cached.shape);
  }
  return feeds;
}

/** `scale` at one head or neuron, at one position or all. */
function intervention(each: ReferenceIntervention, source: ReferenceCase, anatomy: Anatomy): Intervention {
  const length = (source.input_ids[0] as number[]).length;
  const [hook, rest, index] =
    each.kind === 'head'
      ? [`blocks.${each.layer}.attn.hook_z`, [anatomy.heads ?? 0, 1], each.head ?? 0]
      : [`blocks.${each.layer}.mlp.hook_post`, [anatomy.ffnWidth ?? 0], each.neuron ?? 0];
  const width = rest[0] as number;
  const data = new Float32Array(length * width).fill(1);
  for (let position = 0; position < length; position++)
    if (each.position === null || each.position === position) data[position * width + index] = each.scale;
  return { hook, scale: { dims: [1, length, ...rest], data } };
}

function compare(
  meta: Reference,
  each: ReferenceCase,
  name: string,
  actual: Activation,
  expected: ReferenceTensor,
): Check {
  const { tolerance: tolerances } = meta;
  const isOutput =
    Object.values(meta.outputs).some((output) => name === `${each.id}/${output}`) || name.includes('/interventions/');
  const tolerance = name.endsWith('hook_pattern')
    ? // A fixture that could not measure it says 0.
      Math.max(tolerances.pattern ?? 0, tolerances.default)
    : isOutput
      ? tolerances.default
      : (tolerances.internal ?? tolerances.default);
  const check = { fixture: meta.fixture, name, tolerance };
  if (JSON.stringify(actual.dims) !== JSON.stringify(expected.shape))
    return {
      ...check,
      absolute: null,
      relative: null,
      status: 'off',
      note: `shape [${actual.dims.join(', ')}], expected [${expected.shape.join(', ')}]`,
    };
  const seen = visible(each, expected.shape, isOutput && meta.padded_positions?.comparable === true);
  let absolute = 0;
  let largest = 0;
  const isScores = name.endsWith('hook_attn_scores');
  for (let index = 0; index < expected.data.length; index++) {
    const wanted = expected.data[index] as number;
    if (!seen(index) || (isScores && wanted < MASKED_SCORE)) continue;
    const difference = Math.abs((actual.data[index] as number) - wanted);
    // NaN is a difference too.
    if (!(difference <= absolute)) absolute = Number.isNaN(difference) ? Infinity : difference;
    largest = Math.max(largest, Math.abs(wanted));
  }
  const status = absolute <= tolerance ? 'ok' : 'off';
  return { ...check, absolute, relative: largest === 0 ? 0 : absolute / largest, status };
}

/** Whether an element belongs to no padding: [B,T,…] by its token, [B,H,T,T] by both of its tokens. */
function visible(each: ReferenceCase, shape: readonly number[], all: boolean): (index: number) => boolean {
  const mask = each.attention_mask;
  if (all || each.past_length !== undefined || mask.every((row) => row.every((bit) => bit === 1))) return () => true;
  const length = (each.input_ids[0] as number[]).length;
  const rowSize = shape.slice(1).reduce((product, dim) => product * dim, 1);
  const isPairs = shape.length === 4 && shape[2] === length && shape[3] === length;
  const isTokens = shape.length >= 3 && shape[1] === length && !isPairs;
  const isCache = shape.length === 4 && !isPairs && shape[2] === length;
  if (!isPairs && !isTokens && !isCache) return () => true;
  const perToken = rowSize / length;
  return (index) => {
    const row = mask[Math.floor(index / rowSize)] as number[];
    const inner = index % rowSize;
    if (isTokens) return row[Math.floor(inner / perToken)] === 1;
    if (isCache) return row[Math.floor(inner / (shape[3] as number)) % length] === 1;
    return row[Math.floor(inner / length) % length] === 1 && row[inner % length] === 1;
  };
}
