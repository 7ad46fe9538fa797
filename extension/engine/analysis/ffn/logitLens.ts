/** What the model would say after each part of each layer (logit lens). */
import type {
  LensPlace,
  LensState,
  LogitLens,
  LogitLensParams,
  LogitLensTable,
  LogitLensTableParams,
  WatchedToken,
} from '../../../protocol/ffn';
import { LensError } from '../../../protocol/errors';
import type { Anatomy } from '../../anatomy/anatomy';
import { hasHalfFloats } from '../../anatomy/subject';
import type { Activation, Internals, Intervention } from '../../session/internals';
import { requireHead, type LanguageModel, type RunContext } from '../../session/languageModel';
import type { LensTokenizer } from '../../text/tokenizer';
import { quantisesActivations } from '../attention/changedRuns';
import { prepareInput } from '../attention/input';
import { Distribution } from '../distribution';
import { scaleInterventions } from '../interventions';
import { isCausal, predictedAt, predictedByDefault } from '../predicted';
import { describePrediction, topPredictions } from '../predictions';
import { headParts } from './headParts';
import { readHead, readStates } from './lensStates';
import { throughLens, type TunedLens } from './tunedLens';

/** Followed over the states beside those asked for. */
const MOST_LEADERS = 12;

/** Between the model's logits and those of its head alone, as a part of their largest. More, and the head is not what it looks like. */
const SAME = { exact: 1e-4, rounded: 3e-2 } as const;

/** Throws `no-lm-head`, `bad-input`, and `model-unsupported` for models whose stream or head cannot be taken apart. */
export async function logitLens(
  model: LanguageModel & Internals,
  params: Omit<LogitLensParams, 'model'>,
  context: RunContext,
  lens: TunedLens | null = null,
): Promise<LogitLens> {
  const started = performance.now();
  requireHead(model.info);
  const { row, tokens, window, notes } = prepareInput(model, params);
  const anatomy = await model.anatomy();
  const target = params.position ?? predictedByDefault(model, row.ids);
  const position = predictedAt(model, target, row.ids.length);
  const interventions = scaleInterventions(anatomy, params.interventions ?? [], row.ids.length);
  // All tokens are quantised together.
  const whole = quantisesActivations(anatomy);
  const positions = whole ? [...row.ids.keys()] : [position];
  const read = await readStates(model, row, positions, interventions, { attention: lens === null, verify: true });
  const width = (read.numbers[0]?.length ?? 0) / positions.length;
  const states = lens === null ? read.numbers : await throughLens(lens, read.places, read.numbers);
  const logits: Float32Array[] = [];
  await readHead(
    model,
    states,
    width,
    (each, index) => {
      if (!whole || index % positions.length === position) logits.push(each.slice());
    },
    context,
  );
  const own = ownLogits(read.logits as Activation, whole ? position : 0);
  checkHead(anatomy, model.info.id, logits.at(-1) as Float32Array, own);
  const distributions = logits.map((each) => new Distribution(each));
  const final = distributions.at(-1) as Distribution;
  const [answer] = final.top(1) as [number];
  const { watch = [], topK } = params;
  const size = own.length;
  for (const id of watch)
    if (id >= size)
      throw new LensError('bad-input', `There is no token with the id ${id}; the model predicts ${size}.`);
  const leaders = distributions.map((each) => each.top(1)[0] as number);
  const others = [...new Set(leaders)].filter((id) => id !== answer && !watch.includes(id)).slice(0, MOST_LEADERS);
  const described = distributions.map((distribution, index): LensState => ({
    ...(read.places[index] as LensPlace),
    predictions: topPredictions(model.tokenizer, distribution, topK),
    entropy: distribution.entropy(),
  }));
  return {
    model: model.info.id,
    tokens,
    window,
    target: { position: target, id: answer, token: wordOf(model.tokenizer, answer).token },
    states: described,
    watched: [...new Set([answer, ...watch, ...others])].map((id) => ({
      ...wordOf(model.tokenizer, id),
      ...followed(id, logits, distributions, read.places, anatomy.layers),
    })),
    head: headParts(anatomy),
    tuned: lens?.info ?? null,
    notes: [...notes, ...read.notes, ...tunedNotes(lens, interventions)],
    elapsed: performance.now() - started,
  };
}

const tunedNotes = (lens: TunedLens | null, interventions: readonly Intervention[]): string[] =>
  lens === null || interventions.length === 0
    ? []
    : ['The tuned lens was trained on the unchanged model; the maps are not those of the changed one.'];

function wordOf(tokenizer: LensTokenizer, id: number): { id: number; token: string; text: string } {
  const { token, text } = describePrediction(tokenizer, id, 0);
  return { id, token, text };
}

/** One position's logits out of [1,P,V]. */
export function ownLogits({ dims, data }: Activation, index: number): Float32Array {
  const vocab = dims.at(-1) as number;
  return data.subarray(index * vocab, (index + 1) * vocab);
}

/** The head, given the model's last state, must say what the model says. */
export function checkHead(anatomy: Anatomy, model: string, found: Float32Array, expected: Float32Array): void {
  const isRounded = quantisesActivations(anatomy) || hasHalfFloats(anatomy.subject);
  const limit = isRounded ? SAME.rounded : SAME.exact;
  let [worst, largest] = [0, 1];
  expected.forEach((logit, id) => {
    // Some exports mask rows of the vocabulary that no token has.
    if (!Number.isFinite(logit)) return;
    worst = Math.max(worst, Math.abs(logit - (found[id] as number)));
    largest = Math.max(largest, Math.abs(logit));
  });
  if (worst > limit * largest)
    throw new LensError(
      'model-unsupported',
      `The head of ${model}, given the model's own last state, does not say what the model says (logits off by ${worst.toPrecision(2)}).`,
      'Its graph does not do what its parts look like; export the model again.',
    );
}

/** A token over the states, from their logits. */
export function followed(
  id: number,
  logits: readonly Float32Array[],
  distributions: readonly Distribution[],
  places: readonly LensPlace[],
  layers: number,
): Omit<WatchedToken, 'id' | 'token' | 'text'> {
  const ranks = Int32Array.from(distributions, (each) => each.rank(id));
  const logprobs = Float32Array.from(distributions, (each) => each.logprob(id));
  const first = ranks.indexOf(1);
  const lastOther = ranks.findLastIndex((rank) => rank !== 1);
  const steps = { attention: new Float32Array(layers).fill(NaN), ffn: new Float32Array(layers).fill(NaN) };
  places.forEach(({ layer, part }, index) => {
    if (part !== 'input') steps[part][layer] = (logprobs[index] as number) - (logprobs[index - 1] as number);
  });
  return {
    logits: Float32Array.from(logits, (each) => each[id] as number),
    logprobs,
    ranks,
    appears: first < 0 ? null : first,
    saturates: lastOther === ranks.length - 1 ? null : lastOther + 1,
    lost: [...ranks.keys()].filter((index) => index > 0 && ranks[index - 1] === 1 && ranks[index] !== 1),
    steps,
  };
}

/** Throws as `logitLens`. */
export async function logitLensTable(
  model: LanguageModel & Internals,
  params: Omit<LogitLensTableParams, 'model'>,
  context: RunContext,
  lens: TunedLens | null = null,
): Promise<LogitLensTable> {
  const started = performance.now();
  requireHead(model.info);
  const { row, tokens, window, notes } = prepareInput(model, params);
  const anatomy = await model.anatomy();
  const length = row.ids.length;
  const interventions = scaleInterventions(anatomy, params.interventions ?? [], length);
  const read = await readStates(model, row, [...row.ids.keys()], interventions, {
    attention: params.attention,
    verify: false,
  });
  const states = lens === null ? read.numbers : await throughLens(lens, read.places, read.numbers);
  const count = read.places.length * length;
  const [top, ranks] = [new Int32Array(count), new Int32Array(count)];
  const [probs, entropies] = [new Float32Array(count), new Float32Array(count)];
  const answers: number[] = [];
  // The last state first: it says which token's rank is asked in the others.
  const order = [...read.places.keys()].reverse();
  await readHead(
    model,
    order.map((state) => states[state] as Float32Array),
    (read.numbers[0]?.length ?? 0) / length,
    (logits, index) => {
      const token = index % length;
      const at = (order[Math.floor(index / length)] as number) * length + token;
      const distribution = new Distribution(logits);
      const [first] = distribution.top(1) as [number];
      if (index < length) answers.push(first);
      top[at] = first;
      probs[at] = Math.exp(distribution.logprob(first));
      ranks[at] = distribution.rank(answers[token] as number);
      entropies[at] = distribution.entropy();
    },
    context,
  );
  return {
    model: model.info.id,
    tokens,
    window,
    places: read.places,
    predicts: isCausal(model) ? 'next' : 'itself',
    ...{ top, probs, ranks, entropies },
    words: [...new Set(top)].map((id) => wordOf(model.tokenizer, id)),
    head: headParts(anatomy),
    tuned: lens?.info ?? null,
    notes: [...notes, ...read.notes, ...tunedNotes(lens, interventions)],
    elapsed: performance.now() - started,
  };
}
