/**
 * Memories over a corpus: how many are active, whether they write what follows their triggers (agreement), whether a layer's output is one
 * memory's word (composition; Geva et al. 2021), and from layer to layer which prediction stays (saturation) and is lost (elimination;
 * Geva et al. 2022). In a masked model one token of each sentence is masked, and the prediction there is looked at.
 */
import type { MemoryStatsParams, MemoryStatsResult, MemoryStatsState } from '../../../protocol/ffn';
import { LensError } from '../../../protocol/errors';
import type { Anatomy } from '../../anatomy/anatomy';
import { behindFfn, type Block } from '../../anatomy/blocks';
import { blockHook } from '../../anatomy/hooks';
import type { Activation, Internals, Trace } from '../../session/internals';
import { requireHead, type RunContext } from '../../session/languageModel';
import type { CachePlace } from '../cacheFile';
import { quantisesActivations } from '../attention/changedRuns';
import { SentenceScan, type ScannedSentence } from '../corpora/scan';
import { TOKENS_PER_RUN } from '../forward';
import { isCausal } from '../predicted';
import { randomBelow, seededRandom } from '../random';
import { tracedRuns } from '../runs';
import { headParts } from './headParts';
import { readHead, readStates, sourcesOf, sumOf, type Source } from './lensStates';
import { checkHead, ownLogits } from './logitLens';
import { memoryStatsResult, newMemoryStats, readMemoryStats } from './memoryStatsState';
import { buildIndex, readLayer } from './valueIndex';
import { scoresOf, scoresOfNothing, wordsMethod } from './valueWords';

/** What is traced at once. */
const BYTES_PER_RUN = 2 ** 27;

/** A sentence with the place where its prediction is read. */
interface Read extends ScannedSentence {
  /** Ids of the text as it stands, before a token is masked. */
  ids: Int32Array;
  at: number;
}

/** What all runs need of the model. */
interface Reading {
  model: Internals;
  anatomy: Anatomy;
  sources: readonly Source[];
  neurons: number;
  nothing: Float32Array | null;
  context: RunContext;
}

/** Throws `no-lm-head`, `bad-input`, `model-unsupported`, `storage`, `numeric`, `cancelled`. */
export async function memoryStats(
  model: Internals,
  params: Omit<MemoryStatsParams, 'model' | 'cache'>,
  place: CachePlace,
  context: RunContext,
): Promise<MemoryStatsResult> {
  const started = performance.now();
  const { signal, progress } = context;
  const { sources, threshold, seed, resume } = params;
  requireHead(model.info);
  const anatomy = await model.anatomy();
  const { sources: states, notes } = sourcesOf(anatomy, model.info.id, true);
  const neurons = neuronsOf(anatomy, model.info.id);
  const { layers } = anatomy;
  const what = { model: model.info.id, sources: sources.map(({ name }) => name), threshold, seed, layers, neurons };
  await buildIndex(model, place, context);
  const known = {
    first: await firstWords(place, layers, neurons),
    split: states.flatMap(({ layer, part }) => (part === 'attention' ? [layer] : [])),
    rule: ruleOf(model, anatomy),
    notes: [...notes, ...normNotes(anatomy)],
  };
  const state = resume === undefined ? newMemoryStats(what, known) : { ...readMemoryStats(resume, what), ...known };
  const scan = new SentenceScan(model, params, state);
  const width = (await model.weight('blocks.0.mlp.W_out')).dims[1] as number;
  const nothing = await scoresOfNothing(model, width);
  const reading: Reading = { model, anatomy, sources: states, neurons, nothing, context };

  const hooks = [...new Set([...states.flatMap((each) => each.hooks), ...ffnHooks(layers)])];
  const perToken = 4 * (layers * neurons + (hooks.length - layers) * width);
  const fits = (batch: number, length: number): boolean =>
    batch * length <= TOKENS_PER_RUN && batch * length * perToken <= BYTES_PER_RUN && !quantisesActivations(anatomy);
  let isProven = false;
  await scan.addAll(
    tracedRuns(model, withMasks(model, scan.rows(signal), seed), hooks, fits, signal, { only: true }),
    async ({ items, trace }) => {
      if (!isProven) await proveHead(reading, items[0] as Read);
      isProven = true;
      for (const [row, item] of items.entries()) addActivations(state, reading, item, trace, row);
      await addPredictions(state, reading, items, trace);
    },
    progress,
    (present) => ({ memoryStats: memoryStatsResult(present, performance.now() - started) }),
  );
  return memoryStatsResult(state, performance.now() - started);
}

const ffnHooks = (layers: number): string[] =>
  Array.from({ length: layers }, (_, layer) => [
    blockHook(layer, 'mlp.hook_post'),
    blockHook(layer, 'hook_mlp_out'),
  ]).flat();

/** F. Throws `model-unsupported` when there is a layer whose memories cannot be read, or layers of different width. */
function neuronsOf({ blocks, layers, hooks: { sites, missing } }: Anatomy, model: string): number {
  const refuse = (why: string): LensError =>
    new LensError(
      'model-unsupported',
      `The memories of ${model} cannot be read in all layers: ${why}.`,
      '“lens inspect” lists what was found in the model, and why the rest is missing.',
    );
  const unread = ffnHooks(layers).find((hook) => !sites.has(hook));
  if (unread !== undefined) throw refuse(`${unread}: ${missing.get(unread) ?? 'it was not found'}`);
  const widths = new Set(blocks.map(({ ffn }) => ffn?.width ?? 0));
  if (widths.size > 1) throw refuse('they have different numbers of them');
  return [...widths][0] as number;
}

function normNotes({ blocks, subject, norms }: Anatomy): string[] {
  const normed = blocks.some((block: Block) => behindFfn(subject, norms, block) !== 'nothing');
  return normed
    ? [
        'What a network writes goes through a norm first; its own prediction is read behind that, words of values are not.',
      ]
    : [];
}

/** [L·F]. */
async function firstWords(place: CachePlace, layers: number, neurons: number): Promise<Int32Array> {
  const first = new Int32Array(layers * neurons);
  for (let layer = 0; layer < layers; layer++) {
    const index = await readLayer(place, layer);
    if (index === null)
      throw new LensError('storage', 'The index of the values changed while it was read.', 'Try again.');
    for (let neuron = 0; neuron < neurons; neuron++)
      first[layer * neurons + neuron] = index.ids[2 * neuron * index.words] as number;
  }
  return first;
}

const masks = (model: Internals): boolean => !isCausal(model) && model.tokenizer.maskId !== null;

const ruleOf = (model: Internals, anatomy: Anatomy): string =>
  [
    'each sentence by itself',
    masks(model)
      ? 'one of its tokens, drawn by the seed, is masked: predictions are read there, activations at all others but special tokens'
      : 'predictions are read at one of its tokens, drawn by the seed, activations at all but special tokens',
    'a memory without m > 0 anywhere has no trigger',
    `states of the stream go through ${headParts(anatomy)}`,
    `words of values and of what a network writes ${wordsMethod(anatomy)}`,
  ].join('; ');

/** One token of each sentence is chosen by the seed and the sentence's number, so that shards choose as the whole does. */
async function* withMasks(model: Internals, rows: AsyncIterable<ScannedSentence>, seed: number): AsyncGenerator<Read> {
  for await (const each of rows) {
    const random = seededRandom(seed + each.sentence.index);
    const at = each.content[randomBelow(random, each.content.length)] as number;
    const { ids } = each.row;
    if (!masks(model)) {
      yield { ...each, ids, at };
      continue;
    }
    const masked = ids.slice();
    masked[at] = model.tokenizer.maskId as number;
    yield { ...each, row: { ...each.row, ids: masked }, ids, at };
  }
}

const vectorAt = (trace: Trace, hook: string, row: number, token: number): Float32Array => {
  const { dims, data } = trace.get(hook) as Activation;
  const [, tokens, width] = dims as [number, number, number];
  const from = (row * tokens + token) * width;
  return data.subarray(from, from + width);
};

/** Active shares and triggers, at the tokens that stand as they are. */
function addActivations(
  state: MemoryStatsState,
  { model, anatomy, neurons }: Reading,
  { ids, at, content, sentence }: Read,
  trace: Trace,
  row: number,
): void {
  state.sentences++;
  const looked = content.filter((token) => token !== at || !masks(model));
  state.tokens += looked.length;
  const isContent = new Set(content);
  for (let layer = 0; layer < anatomy.layers; layer++) {
    let [positive, active] = [0, 0];
    for (const token of looked) {
      const own = vectorAt(trace, blockHook(layer, 'mlp.hook_post'), row, token);
      const [itself, next] = [ids[token] as number, isContent.has(token + 1) ? (ids[token + 1] as number) : -1];
      for (let neuron = 0, memory = layer * neurons; neuron < neurons; neuron++, memory++) {
        const m = own[neuron] as number;
        // A test that NaN does not pass either.
        if (!(Math.abs(m) < Infinity))
          throw new LensError(
            'numeric',
            `${model.info.id} gave ${m} in layer ${layer} in “${sentence.text.slice(0, 60)}”.`,
            'float16 exports overflow on some inputs; try a float32 export or another text.',
          );
        if (Math.abs(m) > state.threshold) active++;
        if (m <= 0) continue;
        positive++;
        if (m <= (state.largest[memory] as number)) continue;
        state.largest[memory] = m;
        state.itself[memory] = itself;
        state.next[memory] = next;
      }
    }
    state.positive[layer] = (state.positive[layer] as number) + positive / neurons;
    state.active[layer] = (state.active[layer] as number) + active / neurons;
  }
}

/** Composition, saturation and elimination at the tokens where predictions are read. */
async function addPredictions(
  state: MemoryStatsState,
  reading: Reading,
  items: readonly Read[],
  trace: Trace,
): Promise<void> {
  const { anatomy, sources, neurons, context } = reading;
  const { layers } = anatomy;
  const { first } = state;
  const quietly = { signal: context.signal, progress: () => undefined };
  const tops = await leadingWords(reading, items, trace, quietly);
  const written = await writtenWords(reading, items, trace);
  for (const [row, { at }] of items.entries()) {
    state.predictions++;
    const own = tops.subarray(row * sources.length, (row + 1) * sources.length);
    const ends: number[] = [];
    sources.forEach(({ layer, part }, index) => {
      if (part === 'attention' || sources[index - 1]?.part === 'attention') {
        const lost = part === 'attention' ? state.lostByAttention : state.lostByFfn;
        if (own[index] !== own[index - 1]) lost[layer] = (lost[layer] as number) + 1;
      }
      if (part !== 'attention') ends.push(own[index] as number);
    });
    const from = ends.findLastIndex((word) => word !== ends.at(-1)) + 1;
    state.saturated[from] = (state.saturated[from] as number) + 1;
    for (let layer = 0; layer < layers; layer++) {
      const word = written[row * layers + layer] as number;
      const m = vectorAt(trace, blockHook(layer, 'mlp.hook_post'), row, at);
      let [any, anyActive] = [false, false];
      for (let neuron = 0; neuron < neurons && !anyActive; neuron++) {
        if (first[layer * neurons + neuron] !== word) continue;
        any = true;
        anyActive = Math.abs(m[neuron] as number) > state.threshold;
      }
      if (!any) state.composed[layer] = (state.composed[layer] as number) + 1;
      if (!anyActive) state.composedOfActive[layer] = (state.composedOfActive[layer] as number) + 1;
    }
  }
}

/** The head must say of a sentence's last state what the model says of the sentence. Throws `model-unsupported`. */
async function proveHead({ model, anatomy, context }: Reading, { row, at }: Read): Promise<void> {
  const whole = quantisesActivations(anatomy);
  const positions = whole ? [...row.ids.keys()] : [at];
  const { numbers, logits } = await readStates(model, row, positions, [], { attention: false, verify: true });
  const last = numbers.at(-1) as Float32Array;
  const place = whole ? at : 0;
  let found = new Float32Array(0);
  await readHead(
    model,
    [last],
    last.length / positions.length,
    (each, index) => {
      if (index === place) found = each.slice();
    },
    { signal: context.signal, progress: () => undefined },
  );
  checkHead(anatomy, model.info.id, found, ownLogits(logits as Activation, place));
}

/** The likeliest word of every state at each item's token [items,S]. */
async function leadingWords(
  { model, anatomy, sources }: Reading,
  items: readonly Read[],
  trace: Trace,
  context: RunContext,
): Promise<Int32Array> {
  // Of activations that are quantised together the head must get all of a text at once; then there is one text in a run.
  const whole = quantisesActivations(anatomy);
  const streams = items.flatMap(({ at, row: { ids } }, row) =>
    sources.map(({ hooks }) =>
      sumOf(hooks.map((hook) => tokensAt(trace, hook, row, whole ? [0, ids.length] : [at, at + 1]))),
    ),
  );
  const width = (trace.get(sources[0]?.hooks[0] ?? '') as Activation).dims[2] as number;
  const tops = new Int32Array(items.length * sources.length);
  await readHead(
    model,
    streams,
    width,
    (logits, index) => {
      if (!whole) tops[index] = largestOf(logits, logits.length);
      else {
        const [{ row, at }] = items as [Read];
        if (index % row.ids.length === at) tops[Math.floor(index / row.ids.length)] = largestOf(logits, logits.length);
      }
    },
    context,
  );
  return tops;
}

const tokensAt = (trace: Trace, hook: string, row: number, [from, to]: [number, number]): Float32Array => {
  const { dims, data } = trace.get(hook) as Activation;
  const [, tokens, width] = dims as [number, number, number];
  return data.slice((row * tokens + from) * width, (row * tokens + to) * width);
};

/** The first word of what each network writes at each item's token [items,L]. */
async function writtenWords(
  { model, anatomy, nothing }: Reading,
  items: readonly Read[],
  trace: Trace,
): Promise<Int32Array> {
  const { layers } = anatomy;
  const vectors = items.flatMap(({ at }, row) =>
    Array.from({ length: layers }, (_, layer) => vectorAt(trace, blockHook(layer, 'hook_mlp_out'), row, at)),
  );
  const width = vectors[0]?.length ?? 0;
  const words = new Int32Array(vectors.length);
  // As many at once as one text has layers: scores are as wide as the vocabulary.
  for (let start = 0; start < vectors.length; start += layers) {
    const joined = new Float32Array(layers * width);
    for (let layer = 0; layer < layers; layer++) joined.set(vectors[start + layer] as Float32Array, layer * width);
    const { scores, vocab } = await scoresOf(model, joined, width, nothing);
    const known = Math.min(vocab, model.tokenizer.vocabSize);
    for (let layer = 0; layer < layers; layer++)
      words[start + layer] = largestOf(scores.subarray(layer * vocab), known);
  }
  return words;
}

/** Index of the largest of the first so many numbers, the lowest of equal ones. */
function largestOf(values: Float32Array, count: number): number {
  let best = 0;
  for (let at = 1; at < count; at++) if ((values[at] as number) > (values[best] as number)) best = at;
  return best;
}
