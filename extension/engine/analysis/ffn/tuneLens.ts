/**
 * Trains a tuned lens (Belrose et al. 2023). For each state h of the residual stream but the last an affine map h' = h + h·A + b, A and b
 * zero in the beginning, is learned that makes KL(p ‖ q) small: p is what the model says in the end, q what its frozen head says of h'.
 * All maps are learned together, by Adam at a rate that falls evenly to 0, on the same places of the texts. Sentences that are held out
 * say whether a map is used, and others of them how good it is.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { LensPlace, TunedLensInfo, TuneLensParams, TuneSettings } from '../../../protocol/ffn';
import { LensError } from '../../../protocol/errors';
import { count } from '../../../protocol/format';
import type { EngineSettings } from '../../../protocol/engine';
import type { Anatomy } from '../../anatomy/anatomy';
import { hasHalfFloats } from '../../anatomy/subject';
import { HeadGraph, type AffineMap, type MapGradients } from '../../session/headGraph';
import type { Activation, Internals } from '../../session/internals';
import { requireHead, type RunContext } from '../../session/languageModel';
import type { CachePlace } from '../cacheFile';
import { adamStep } from '../adam';
import { LOGITS, quantisesActivations } from '../attention/changedRuns';
import { throwIfCancelled } from '../forward';
import { sourcesOf, type Source } from './lensStates';
import { forgetTraining, newMaps, noMap, readTraining, writeLens, writeTraining, type TuneState } from './tunedLens';
import { sizesOf, statesAt, tuneRule, TuneTexts, type TuneItem } from './tuneTexts';

/** Of each of the two held-out parts. */
const HELD_OUT_PLACES = 256;
/** Log-probabilities at once. */
export const MOST_NUMBERS = 8 * 2 ** 20;
/** Maps, and what the optimiser remembers of them. */
const MOST_BYTES = 2 ** 30;
/** Of a training that is not stopped but ends no more is lost. */
export const SAVE_MS = 30_000;
/** States that the graph of our own is compared at with the model's head. */
const COMPARED = 8;
/** In log-probabilities, as a part of the largest. More, and the head is not what it looks like. */
const SAME = { exact: 1e-4, rounded: 3e-2 } as const;

/** What else a training needs of the engine. */
export interface TuneMeans {
  settings: EngineSettings;
  /** Waits until nothing else computes. */
  turn<T>(work: () => Promise<T>): Promise<T>;
  /** How often it is saved. */
  saveMs: number;
  /** Log-probabilities at once. */
  mostNumbers: number;
}

/** What computes. */
interface Computing extends Pick<TuneMeans, 'turn' | 'mostNumbers'> {
  graph: HeadGraph;
}

/** Throws `no-lm-head`, `bad-input`, `model-unsupported`, `storage`, `memory`, `numeric`, `cancelled`. */
export async function tuneLens(
  model: Internals,
  { begin }: Pick<TuneLensParams, 'begin'>,
  place: CachePlace,
  { settings, turn, saveMs, mostNumbers }: TuneMeans,
  context: RunContext,
): Promise<TunedLensInfo> {
  requireHead(model.info);
  const anatomy = await model.anatomy();
  const { sources, notes } = sourcesOf(anatomy, model.info.id, false);
  const state = begin === undefined ? await unfinished(place, model.info.id) : newState(begin);
  const texts = new TuneTexts(model, state.settings.sources, state.settings.seed, state.skipped);
  const { signal } = context;
  const choose = await texts.heldOut('choose', HELD_OUT_PLACES, signal);
  const report = await texts.heldOut('report', HELD_OUT_PLACES, signal);
  const held = {
    choose: await statesAt(model, sources, choose, signal),
    report: await statesAt(model, sources, report, signal),
  };
  const width = (held.report[0] as Float32Array).length / placesIn(report);
  if (state.maps.length === 0) {
    // Each map, two means of its gradients, and the gradients of a step.
    const bytes = 16 * (sources.length - 1) * width * (width + 1);
    if (bytes > MOST_BYTES)
      throw new LensError(
        'memory',
        `The maps of ${model.info.id} and what their training needs have ${Math.round(bytes / 2 ** 20)} MB, more than ${MOST_BYTES / 2 ** 20} MB.`,
        'Choose a model with fewer layers, or narrower ones.',
      );
    Object.assign(state, newMaps(sources.length - 1, width));
  }
  const graph = await HeadGraph.create(await model.headLayers(), width, settings, model.info.id);
  try {
    await compareHead(model, anatomy, sources, report[0] as TuneItem, graph, signal);
    const computing = { graph, turn, mostNumbers };
    await train({ model, sources, state, texts, computing, saveMs, place, context });
    // What follows takes a while too, and may be stopped.
    await writeTraining(place, state);
    context.progress({ message: 'Measuring on text that was held out', fraction: 1 });
    const states = await judge(computing, sources, state, held, signal);
    const { sources: files, ...how } = state.settings;
    const info: TunedLensInfo = {
      ...{ model: model.info.id, sources: files.map(({ name }) => name), ...how },
      ...{ tokens: state.tokens, heldOut: placesIn(report), steps: state.steps, rule: tuneRule(model), states },
      notes: [
        ...notes,
        ...(quantisesActivations(anatomy)
          ? ['The model rounds activations; the maps were trained through its head in float32.']
          : []),
      ],
      ...{ skipped: texts.skipped.list, seconds: state.seconds },
    };
    const maps = state.maps.map((map, index) => (states[index]?.used === true ? map : null));
    await writeLens(place, { info, maps }, width);
    await forgetTraining(place);
    return info;
  } finally {
    await graph.release();
  }
}

const placesIn = (items: readonly TuneItem[]): number => items.reduce((sum, { at }) => sum + at.length, 0);

function newState(settings: TuneSettings): TuneState {
  return {
    ...{ settings, sizes: sizesOf(settings.sources), next: { reading: 0, sentence: 0 } },
    ...{ tokens: 0, steps: 0, seconds: 0, skipped: [], width: 0, maps: [], adam: [] },
  };
}

async function unfinished(place: CachePlace, model: string): Promise<TuneState> {
  const state = await readTraining(place);
  if (state === null)
    throw new LensError('bad-input', `No training of ${model} was interrupted.`, 'Begin one with texts.');
  const { sources } = state.settings;
  const sizes = sizesOf(sources);
  const changed = sources.find((_, index) => sizes[index] !== state.sizes[index]);
  if (changed === undefined) return state;
  throw new LensError(
    'bad-input',
    `${changed.name} is not what it was when the training began.`,
    'Begin anew, with the texts as they are.',
  );
}

interface Training {
  model: Internals;
  sources: readonly Source[];
  state: TuneState;
  texts: TuneTexts;
  computing: Computing;
  saveMs: number;
  place: CachePlace;
  context: RunContext;
}

/** Changes the state, step by step, until its tokens are done. What was done when it is stopped is saved. */
async function train({ model, sources, state, texts, computing, saveMs, place, context }: Training): Promise<void> {
  const { settings } = state;
  const { signal, progress } = context;
  let [told, saved] = [performance.now(), performance.now()];
  if (state.tokens >= settings.tokens) return;
  try {
    for await (const { items, places, next } of texts.batches(state.next, settings.batch, signal)) {
      const states = await statesAt(model, sources, items, signal);
      const rate = settings.rate * Math.max(0, 1 - state.tokens / settings.tokens);
      const losses = await step(computing, state, states, places, rate, signal);
      if (!losses.every(Number.isFinite))
        throw new LensError(
          'numeric',
          `The training of ${model.info.id} gave ${losses.find((loss) => !Number.isFinite(loss))}.`,
          'Take a smaller rate.',
        );
      state.tokens += places;
      state.steps++;
      state.next = next;
      state.skipped = texts.skipped.list;
      state.seconds += (performance.now() - told) / 1000;
      told = performance.now();
      const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
      progress({
        message: `${count(Math.min(state.tokens, settings.tokens))} of ${count(settings.tokens)} tokens, mean KL ${mean.toFixed(2)} nats`,
        fraction: Math.min(1, state.tokens / settings.tokens),
      });
      if (state.tokens >= settings.tokens) return;
      if (performance.now() - saved >= saveMs) {
        await writeTraining(place, state);
        saved = performance.now();
      }
      // A step is whole or not made at all.
      throwIfCancelled(signal);
    }
  } catch (thrown) {
    if (signal.aborted && state.steps > 0) await writeTraining(place, state);
    throw thrown;
  }
}

/** One step of all maps: mean KL of each before it. A cancel is heard as long as no map was changed. */
async function step(
  computing: Computing,
  state: TuneState,
  states: readonly Float32Array[],
  places: number,
  rate: number,
  signal: AbortSignal,
): Promise<number[]> {
  const { graph, turn } = computing;
  const parts = await expectedIn(computing, states);
  const gradients: MapGradients[] = [];
  for (const part of parts)
    for (const { first, maps, rows } of groupsOf(computing, state.maps, states, part)) {
      // Other requests, a cancel among them, are read.
      await nextTurn();
      throwIfCancelled(signal);
      const found = await turn(() => graph.gradients(rows, maps, part.expected));
      found.forEach((each, index) => {
        const sum = gradients[first + index];
        if (sum === undefined) gradients[first + index] = each;
        else add(sum, each);
      });
    }
  gradients.forEach(({ matrix, bias }, index) => {
    const { matrix: ownMatrix, bias: ownBias } = state.maps[index] as AffineMap;
    const adam = state.adam[index] as TuneState['adam'][number];
    adamStep([ownMatrix, ownBias], [matrix, bias], adam, rate, 1 / places);
  });
  return gradients.map(({ loss }) => loss / places);
}

function add(sum: MapGradients, more: MapGradients): void {
  sum.loss += more.loss;
  for (const name of ['matrix', 'bias'] as const)
    for (let at = 0; at < sum[name].length; at++)
      sum[name][at] = (sum[name][at] as number) + (more[name][at] as number);
}

/** Rows that are looked at together, and what the model says of them in the end: log-probabilities. */
interface Rows {
  from: number;
  to: number;
  expected: Float32Array;
}

/** As many states as may be looked at together, with their maps: from `first` on. */
function* groupsOf(
  { graph: { width, vocab }, mostNumbers }: Computing,
  maps: readonly AffineMap[],
  states: readonly Float32Array[],
  { from, to }: Rows,
): Generator<{ first: number; maps: readonly AffineMap[]; rows: Float32Array[] }> {
  const together = Math.max(1, Math.floor(mostNumbers / (vocab * (to - from))));
  for (let first = 0; first < maps.length; first += together) {
    const own = maps.slice(first, first + together);
    const rows = states.slice(first, first + own.length).map((state) => state.subarray(from * width, to * width));
    yield { first, maps: own, rows };
  }
}

/** All rows, as many together as may be. */
async function expectedIn({ graph, turn, mostNumbers }: Computing, states: readonly Float32Array[]): Promise<Rows[]> {
  const { width, vocab } = graph;
  const last = states.at(-1) as Float32Array;
  const rows = last.length / width;
  const most = Math.max(1, Math.floor(mostNumbers / vocab));
  const parts: Rows[] = [];
  for (let from = 0; from < rows; from += most) {
    const to = Math.min(rows, from + most);
    const expected = await turn(() => graph.distribution(last.subarray(from * width, to * width)));
    parts.push({ from, to, expected });
  }
  return parts;
}

/** Means of KL(p ‖ q) of each state but the last. */
async function divergences(
  computing: Computing,
  states: readonly Float32Array[],
  maps: readonly AffineMap[],
  signal: AbortSignal,
): Promise<number[]> {
  const { graph, turn } = computing;
  const parts = await expectedIn(computing, states);
  const sums = maps.map(() => 0);
  for (const part of parts)
    for (const group of groupsOf(computing, maps, states, part)) {
      throwIfCancelled(signal);
      const found = await turn(() => graph.divergence(group.rows, group.maps, part.expected));
      found.forEach((rows, index) => {
        const at = group.first + index;
        sums[at] = rows.reduce((sum, each) => sum + each, sums[at] as number);
      });
    }
  const rows = (states[0] as Float32Array).length / graph.width;
  return sums.map((sum) => sum / rows);
}

/** A map is used where it is better than none on sentences by which nothing was learned; how much is told of others. */
async function judge(
  computing: Computing,
  sources: readonly Source[],
  { maps, width }: TuneState,
  held: { choose: Float32Array[]; report: Float32Array[] },
  signal: AbortSignal,
): Promise<TunedLensInfo['states']> {
  const nothing = noMap(width);
  const plainly = maps.map(() => nothing);
  const means = (states: Float32Array[], through: readonly AffineMap[]): Promise<number[]> =>
    divergences(computing, states, through, signal);
  const [plainChosen, chosen] = [await means(held.choose, plainly), await means(held.choose, maps)];
  const [plain, tuned] = [await means(held.report, plainly), await means(held.report, maps)];
  return maps.map((_, index) => {
    const { layer, part } = sources[index] as LensPlace;
    const used = (chosen[index] as number) < (plainChosen[index] as number);
    return { ...{ layer, part, used }, plain: plain[index] as number, tuned: (used ? tuned : plain)[index] as number };
  });
}

/**
 * The graph of our own must say of states what the model's head says of them: of the first, a middle and the last one, and, of a model whose
 * head cannot be run alone on few of them, of the last what the model says. Throws `model-unsupported`.
 */
async function compareHead(
  model: Internals,
  anatomy: Anatomy,
  sources: readonly Source[],
  { row, at, sentence }: TuneItem,
  graph: HeadGraph,
  signal: AbortSignal,
): Promise<void> {
  const isRounded = quantisesActivations(anatomy) || hasHalfFloats(anatomy.subject);
  const places = at.slice(0, COMPARED);
  const states = await statesAt(model, sources, [{ row, at: places, sentence }], signal);
  const logits = (await model.trace([row], [LOGITS], [], { parts: new Map([[LOGITS, { positions: places }]]) })).get(
    LOGITS,
  );
  const found: { own: Float32Array; expected: Float32Array }[] = [
    { own: await graph.distribution(states.at(-1) as Float32Array), expected: (logits as Activation).data },
  ];
  if (!quantisesActivations(anatomy))
    for (const index of [0, Math.floor(states.length / 2)]) {
      const data = states[index] as Float32Array;
      const { data: expected } = await model.runHead({ dims: [places.length, 1, graph.width], data });
      found.push({ own: await graph.distribution(data), expected });
    }
  const limit = isRounded ? SAME.rounded : SAME.exact;
  for (const { own, expected } of found) {
    const off = distance(own, expected, graph.vocab);
    if (off > limit)
      throw new LensError(
        'model-unsupported',
        `The head of ${model.info.id} does not do what its parts look like (log-probabilities off by ${off.toPrecision(2)} of the largest), so it cannot be trained through.`,
        'The plain logit lens works.',
      );
  }
}

/** Largest difference of log-probabilities `own` from logits, as a part of the largest. */
function distance(own: Float32Array, logits: Float32Array, vocab: number): number {
  if (own.length !== logits.length) return Infinity;
  let worst = 0;
  for (let from = 0; from < own.length; from += vocab) {
    const row = logits.subarray(from, from + vocab);
    const most = row.reduce((a, b) => Math.max(a, b), -Infinity);
    const norm = most + Math.log(row.reduce((sum, logit) => sum + Math.exp(logit - most), 0));
    let [off, largest] = [0, 1];
    row.forEach((logit, id) => {
      const [expected, found] = [logit - norm, own[from + id] as number];
      // What a model never says, neither may we.
      if (expected === -Infinity) off = found < -1e6 ? off : Infinity;
      else {
        off = Math.max(off, Math.abs(found - expected));
        largest = Math.max(largest, Math.abs(logit));
      }
    });
    worst = Math.max(worst, off / largest);
  }
  return worst;
}
