/**
 * Memories of feed-forward networks at one token (Geva et al. 2021, 2022): a network writes Σ_i m_i v_i + b into the stream, m_i the
 * activation of neuron i (of a gated network act(gate)·up) and v_i its row of W_out. Which of them matter, by a chosen measure.
 */
import type { LayerWrites, Memories, MemoriesParams, Memory, NeuronRef } from '../../../protocol/ffn';
import type { Prediction } from '../../../protocol/engine';
import { LensError } from '../../../protocol/errors';
import { count } from '../../../protocol/format';
import type { Anatomy } from '../../anatomy/anatomy';
import { blockHook } from '../../anatomy/hooks';
import type { Activation, Internals, Part, Trace } from '../../session/internals';
import type { LanguageModel, RunContext } from '../../session/languageModel';
import { LOGITS, runChanges, type ChangedRuns } from '../attention/changedRuns';
import { checkLayer, prepareInput } from '../attention/input';
import { Distribution } from '../distribution';
import { topK } from '../../session/topK';
import { throwIfCancelled } from '../forward';
import { scaleInterventions } from '../interventions';
import { predictedAt, predictedByDefault } from '../predicted';
import { describePrediction, topPredictions } from '../predictions';
import { hooksAbove } from './streamsAbove';
import { dot, logitDirections, pathHooks, pathMethod, writtenBy } from './paths';
import { endsOf, scoresOf, scoresOfNothing, wordsMethod } from './valueWords';

/** Of the largest |m| of the layer. */
const ACTIVE_SHARE = 0.1;
const PREDICTIONS = 10;
/** Values whose scores over the vocabulary are held at once. */
const VALUES_AT_ONCE = 64;

/** One layer's numbers at the token. */
interface Layer {
  layer: number;
  /** [F]. */
  activations: Float32Array;
  norms: Float32Array;
  logits: Float32Array | null;
}

/** Throws `bad-input`, `model-unsupported` for models without readable networks, `no-lm-head` where words are asked of a model without. */
export async function memories(
  model: LanguageModel & Internals,
  params: Omit<MemoriesParams, 'model'>,
  context: RunContext,
): Promise<Memories> {
  const started = performance.now();
  const { by } = params;
  const { row, tokens, window, notes } = prepareInput(model, params);
  const anatomy = await model.anatomy();
  const length = row.ids.length;
  const predicts = anatomy.hooks.sites.has(LOGITS) && anatomy.unembedding !== null;
  if (!predicts && (by === 'logit' || by === 'ablation'))
    throw new LensError(
      'no-lm-head',
      `${model.info.id} predicts no words, so its memories add to none.`,
      'Rank them by activation or by norm.',
    );
  const position = params.position ?? predictedByDefault(model, row.ids);
  const read = predicts ? predictedAt(model, position, length) : tokenAt(position, length);
  const base = scaleInterventions(anatomy, params.interventions ?? [], length);
  const wanted = [...new Set(params.layers ?? anatomy.blocks.keys())].sort((a, b) => a - b);
  for (const layer of wanted) checkLayer(anatomy, layer);
  const readable = wanted.filter((layer) => missingOf(anatomy, layer) === null);
  if (readable.length === 0)
    throw new LensError(
      'model-unsupported',
      `The memories of ${model.info.id} cannot be read: ${
        wanted[0] === undefined ? 'no block was found' : (missingOf(anatomy, wanted[0]) ?? '')
      }.`,
      '“lens inspect” lists what was found in the model, and why the rest is missing.',
    );
  const trace = await traceAt(model, anatomy, row, read, base, predicts, by === 'ablation');
  throwIfCancelled(context.signal);
  const before = predicts ? new Distribution(dataOf(trace, LOGITS)) : null;
  const [likeliest = 0] = before?.top(1) ?? [];
  const id = before === null ? null : (params.token ?? likeliest);
  if (id !== null && id >= dataOf(trace, LOGITS).length)
    throw new LensError(
      'bad-input',
      `There is no token with the id ${id}; the model predicts ${dataOf(trace, LOGITS).length}.`,
    );
  const layers = await readLayers(
    model,
    anatomy,
    trace,
    readable,
    by === 'logit' || by === 'ablation' ? id : null,
    context,
  );
  const isAblated = by === 'ablation';
  const ranked = rank(layers, isAblated ? 'norm' : by, isAblated ? params.candidates : params.topK);
  const candidates = isAblated ? ranked : [];
  const effects =
    before === null || id === null || candidates.length === 0
      ? []
      : await effectsOf({ model, anatomy, row, base, position: read, context }, trace, candidates, id, before);
  const chosen =
    by === 'ablation'
      ? [...effects].sort((a, b) => Math.abs(b.ablation) - Math.abs(a.ablation)).slice(0, params.topK)
      : ranked.map((each) => ({ ...each, ablation: null, changedTo: null }));
  const words = predicts ? params.words : 0;
  return {
    model: model.info.id,
    tokens,
    window,
    target: {
      position,
      read,
      id,
      token: id === null ? null : describePrediction(model.tokenizer, id, 0).token,
      logprob: id === null || before === null ? null : before.logprob(id),
    },
    predictions: before === null ? [] : topPredictions(model.tokenizer, before, PREDICTIONS),
    by,
    layers: wanted.map((layer) => writesOf(anatomy, trace, layers, layer)),
    memories: await withWords(model, chosen, words, context),
    method: {
      logit: by === 'logit' || by === 'ablation' ? pathMethod(anatomy) : '',
      words: predicts ? wordsMethod(anatomy) : '',
    },
    notes: [
      ...notes,
      ...(by === 'ablation'
        ? [
            `Switched off one by one: ${candidates.length === 1 ? 'the memory' : `the ${count(candidates.length)} memories`} with the largest |m|·‖v‖.`,
          ]
        : []),
      ...(predicts ? [] : ['This model predicts no words, so its values have none.']),
    ],
    elapsed: performance.now() - started,
  };
}

function tokenAt(position: number, length: number): number {
  if (position < length) return position;
  throw new LensError('bad-input', `There is no token ${position}; the text has tokens 0 to ${length - 1}.`);
}

const dataOf = (trace: Trace, hook: string): Float32Array => (trace.get(hook) as Activation).data;

/** Why a layer's memories cannot be read; null when they can. */
function missingOf({ hooks: { sites, missing } }: Anatomy, layer: number): string | null {
  for (const hook of [blockHook(layer, 'mlp.hook_post'), blockHook(layer, 'hook_mlp_out')])
    if (!sites.has(hook)) return missing.get(hook) ?? 'the feed-forward network was not found';
  return null;
}

/** One run: everything at the token, and, for ablation, the streams that changed runs begin with. */
async function traceAt(
  model: Internals,
  anatomy: Anatomy,
  row: ChangedRuns['row'],
  position: number,
  base: ChangedRuns['base'],
  predicts: boolean,
  streams: boolean,
): Promise<Trace> {
  const { sites } = anatomy.hooks;
  const own = anatomy.blocks.flatMap((_, layer) => [
    blockHook(layer, 'mlp.hook_post'),
    blockHook(layer, 'hook_mlp_out'),
  ]);
  const here = [...own, ...(predicts ? [LOGITS, ...pathHooks(anatomy)] : [])].filter((hook) => sites.has(hook));
  if (streams) here.push(...hooksAbove(anatomy));
  const whole = streams
    ? anatomy.blocks.map((_, layer) => blockHook(layer, 'hook_resid_pre')).filter((hook) => sites.has(hook))
    : [];
  // Of a stream that is wanted whole, no part is asked for.
  const parts = new Map(
    here.filter((hook) => !whole.includes(hook)).map((hook): [string, Part] => [hook, { positions: [position] }]),
  );
  return model.trace([row], [...new Set([...here, ...whole])], base, { parts });
}

/** By what a trace gave at the token: it is the same array as long as the trace is known. */
const KNOWN_LOGITS = new WeakMap<Float32Array, Map<string, Float32Array | null>>();

/** `id`: also what each memory adds to this token's logit. */
async function readLayers(
  model: Internals,
  anatomy: Anatomy,
  trace: Trace,
  readable: readonly number[],
  id: number | null,
  { signal, progress }: RunContext,
): Promise<Layer[]> {
  const layers: Layer[] = [];
  for (const [done, layer] of readable.entries()) {
    throwIfCancelled(signal);
    progress({ message: `Values of layer ${layer}`, fraction: done / readable.length });
    const activations = dataOf(trace, blockHook(layer, 'mlp.hook_post'));
    layers.push({ layer, activations, norms: valueNorms(await model.weight(valuesOf(layer))), logits: null });
  }
  if (id === null) return layers;
  const key = dataOf(trace, LOGITS);
  const known = KNOWN_LOGITS.get(key) ?? new Map<string, Float32Array | null>();
  KNOWN_LOGITS.set(key, known);
  if (layers.some(({ layer }) => !known.has(`${id} ${layer}`))) {
    const written: (Float32Array | null)[] = anatomy.blocks.map(() => null);
    for (const { layer, activations } of layers)
      written[layer] = writtenBy(activations, await model.weight(valuesOf(layer)));
    const directions = await logitDirections(model, trace, id, written);
    for (const { layer, activations } of layers) {
      throwIfCancelled(signal);
      const direction = directions[layer] ?? null;
      const { dims, data } = await model.weight(valuesOf(layer));
      const width = dims[1] as number;
      const logits = activations.map((activation, neuron) =>
        direction === null ? NaN : activation * dot(data.subarray(neuron * width, (neuron + 1) * width), direction),
      );
      known.set(`${id} ${layer}`, direction === null ? null : logits);
    }
  }
  return layers.map((each) => ({ ...each, logits: known.get(`${id} ${each.layer}`) ?? null }));
}

const valuesOf = (layer: number): string => `blocks.${layer}.mlp.W_out`;

const KNOWN_NORMS = new WeakMap<Float32Array, Float32Array>();

/** ‖v‖ of each row [F]; kept as long as the weight is. */
function valueNorms({ dims, data }: Activation): Float32Array {
  const known = KNOWN_NORMS.get(data);
  if (known !== undefined) return known;
  const width = dims[1] as number;
  const norms = Float32Array.from({ length: dims[0] as number }, (_, neuron) => {
    const value = data.subarray(neuron * width, (neuron + 1) * width);
    return Math.sqrt(dot(value, value));
  });
  KNOWN_NORMS.set(data, norms);
  return norms;
}

type Ranked = NeuronRef & Pick<Memory, 'activation' | 'norm' | 'logit'>;

/** The `count` memories with the largest of a measure, by absolute value; the largest first. */
function rank(layers: readonly Layer[], by: 'activation' | 'norm' | 'logit', count: number): Ranked[] {
  const all = layers.map(({ activations, norms, logits }) =>
    by === 'logit'
      ? (logits ?? new Float32Array(activations.length)).map(Math.abs)
      : activations.map((each, neuron) => Math.abs(each) * (by === 'norm' ? (norms[neuron] as number) : 1)),
  );
  const sizes = new Float32Array(all.reduce((sum, { length }) => sum + length, 0));
  const starts: number[] = [];
  let start = 0;
  for (const own of all) {
    sizes.set(own, start);
    starts.push(start);
    start += own.length;
  }
  return topK(sizes, count).map((index): Ranked => {
    const at = starts.findLastIndex((from) => from <= index);
    const { layer, activations, norms, logits } = layers[at] as Layer;
    const neuron = index - (starts[at] as number);
    const activation = activations[neuron] as number;
    return {
      ...{ layer, neuron, activation },
      norm: Math.abs(activation) * (norms[neuron] as number),
      logit: logits?.[neuron] ?? null,
    };
  });
}

type Effect = Ranked & { ablation: number; changedTo: Prediction | null };

async function effectsOf(
  runs: ChangedRuns,
  trace: Trace,
  candidates: readonly Ranked[],
  id: number,
  before: Distribution,
): Promise<Effect[]> {
  const { tokenizer } = runs.model;
  const ordered = [...candidates].sort((a, b) => a.layer - b.layer);
  const changes = ordered.map(({ layer, neuron }) => ({ layer, neuron, scale: 0, position: runs.position }));
  const read = (logits: Float32Array): { logprob: number; first: number; firstLogprob: number } => {
    const distribution = new Distribution(logits);
    const [first] = distribution.top(1) as [number];
    return { logprob: distribution.logprob(id), first, firstLogprob: distribution.logprob(first) };
  };
  const [plain, ...changed] = await runChanges(runs, trace, [null, ...changes], read, before.logprob(id));
  return changed.map(({ logprob, first, firstLogprob }, index) => ({
    ...(ordered[index] as Ranked),
    ablation: logprob - (plain?.logprob ?? 0),
    changedTo: first === plain?.first ? null : describePrediction(tokenizer, first, firstLogprob),
  }));
}

function writesOf(anatomy: Anatomy, trace: Trace, layers: readonly Layer[], layer: number): LayerWrites {
  const missing = missingOf(anatomy, layer);
  const own = layers.find((each) => each.layer === layer);
  if (missing !== null || own === undefined) return { layer, norm: 0, active: 0, logit: null, missing };
  const out = dataOf(trace, blockHook(layer, 'hook_mlp_out'));
  const largest = own.activations.reduce((most, each) => Math.max(most, Math.abs(each)), 0);
  const active = own.activations.filter((each) => Math.abs(each) > ACTIVE_SHARE * largest).length;
  return {
    layer,
    norm: Math.sqrt(dot(out, out)),
    active: active / own.activations.length,
    logit: own.logits?.reduce((sum, each) => sum + each, 0) ?? null,
    missing: null,
  };
}

/** Words of values, by the weight that they are rows of; kept as long as it is. */
const KNOWN_WORDS = new WeakMap<Float32Array, Map<string, Pick<Memory, 'promoted' | 'suppressed'>>>();

async function withWords(
  model: Internals,
  chosen: readonly (Ranked & Pick<Memory, 'ablation' | 'changedTo'>)[],
  words: number,
  { signal }: RunContext,
): Promise<Memory[]> {
  if (words === 0) return chosen.map((each) => ({ ...each, promoted: [], suppressed: [] }));
  const values = await Promise.all(chosen.map(({ layer }) => model.weight(valuesOf(layer))));
  const memoOf = (index: number): Map<string, Pick<Memory, 'promoted' | 'suppressed'>> => {
    const { data } = values[index] as Activation;
    const memo = KNOWN_WORDS.get(data) ?? new Map<string, Pick<Memory, 'promoted' | 'suppressed'>>();
    KNOWN_WORDS.set(data, memo);
    return memo;
  };
  const keyOf = (index: number): string => `${chosen[index]?.neuron} ${words}`;
  const unknown = [...chosen.keys()].filter((index) => !memoOf(index).has(keyOf(index)));
  const width = values[0]?.dims[1] ?? 0;
  const nothing = unknown.length === 0 ? null : await scoresOfNothing(model, width);
  for (let start = 0; start < unknown.length; start += VALUES_AT_ONCE) {
    throwIfCancelled(signal);
    const part = unknown.slice(start, start + VALUES_AT_ONCE);
    const vectors = new Float32Array(part.length * width);
    part.forEach((index, row) => {
      const neuron = chosen[index]?.neuron as number;
      vectors.set((values[index] as Activation).data.subarray(neuron * width, (neuron + 1) * width), row * width);
    });
    const { scores, vocab } = await scoresOf(model, vectors, width, nothing);
    part.forEach((index, row) => {
      memoOf(index).set(keyOf(index), endsOf(model.tokenizer, scores.subarray(row * vocab, (row + 1) * vocab), words));
    });
  }
  return chosen.map((each, index) => ({
    ...each,
    ...(memoOf(index).get(keyOf(index)) as Pick<Memory, 'promoted' | 'suppressed'>),
  }));
}
