/**
 * What heads do for a prediction: log P(target) with a head's mixed values z = Σ_j α_ij v_j changed before the output projection.
 * Zero ablation and the importance I_h = |∂L/∂ξ_h|, L = −log P(target), divided by the ℓ2 norm over the block's heads, are those of
 * Michel et al. 2019 (theirs is the mean over a data set; this is one text). Mean ablation puts the head's mean over the tokens of the
 * text in its place.
 */
import type { AblateParams, AblationResult, HeadEffect, HeadRef, PredictionTarget } from '../../../protocol/attention';
import type { Prediction } from '../../../protocol/engine';
import { LensError } from '../../../protocol/errors';
import type { Scale } from '../../../protocol/interventions';
import type { Anatomy } from '../../anatomy/anatomy';
import { blockHook } from '../../anatomy/hooks';
import { hasHalfFloats } from '../../anatomy/subject';
import type { Activation, Internals } from '../../session/internals';
import { checkFinite, requireHead, type LanguageModel, type RunContext } from '../../session/languageModel';
import { Distribution } from '../distribution';
import { throwIfCancelled } from '../forward';
import { scaleInterventions } from '../interventions';
import { predictedAt, predictedByDefault } from '../predicted';
import { actualToken, topPredictions } from '../predictions';
import { LOGITS, logitsAt, quantisesActivations, runChanges, zHook, type ChangedRuns } from './changedRuns';
import { meanOverTokens, type HeadChange } from './headChanges';
import { checkHeads, prepareInput } from './input';

/**
 * Of the gate, for the central difference. Measured against PyTorch's gradients on the fixtures: .01 is off by at most .001 for
 * gradients up to 2.5 (.005 and .02 are no better: what float32 rounds, and curvature); 16-bit activations need a larger step.
 */
const FINE_STEP = 0.01;
const COARSE_STEP = 0.1;

/** Throws `no-lm-head`, `bad-input`, `model-unsupported` for models whose heads cannot be changed. */
export async function ablate(
  model: LanguageModel & Internals,
  params: Omit<AblateParams, 'model'>,
  context: RunContext,
): Promise<AblationResult> {
  const started = performance.now();
  requireHead(model.info);
  const { row, tokens, notes } = prepareInput(model, params);
  const anatomy = await model.anatomy();
  const { interventions = [], ablate: what, topK } = params;
  const target = params.target ?? { position: predictedByDefault(model, row.ids) };
  const position = predictedAt(model, target.position, row.ids.length);
  const base = scaleInterventions(anatomy, interventions, row.ids.length);
  const asked = 'together' in what ? [] : headsOf(anatomy, what.each);
  const runs: ChangedRuns = { model, anatomy, row, base, position, context };
  const clean = await unchanged(runs, asked);
  throwIfCancelled(context.signal);
  const before = predictionOf(model, clean);
  const id = targetId(target, before, clean);
  const told = (distribution: Distribution): AblationResult['before'] => ({
    logprob: distribution.logprob(id),
    predictions: topPredictions(model.tokenizer, distribution, topK),
  });
  return {
    model: model.info.id,
    tokens,
    target: { position: target.position, id, token: actualToken(model.tokenizer, before, id).token },
    before: told(before),
    after: 'together' in what ? told(await changedTogether(runs, [...interventions, ...what.together])) : null,
    effects: asked.length === 0 ? [] : await effectsOf(runs, clean, asked, params, id, before.logprob(id)),
    notes: [...notes, ...('each' in what && params.importance ? stepNotes(anatomy) : [])],
    elapsed: performance.now() - started,
  };
}

/** Activations in 16 bits, or quantised as the model runs: small differences come in steps. */
const roundsActivations = (anatomy: Anatomy): boolean =>
  quantisesActivations(anatomy) || hasHalfFloats(anatomy.subject);

const stepOf = (anatomy: Anatomy): number => (roundsActivations(anatomy) ? COARSE_STEP : FINE_STEP);

const stepNotes = (anatomy: Anatomy): string[] => [
  `The gradient is the central difference over ${1 - stepOf(anatomy)} and ${1 + stepOf(anatomy)} times a head's output.`,
  ...(roundsActivations(anatomy) ? ['This model rounds its activations, so the gradient is a coarse one.'] : []),
];

/** In the order of layers and heads, each once. */
function headsOf(anatomy: Anatomy, asked: 'all' | readonly HeadRef[]): HeadRef[] {
  if (asked !== 'all') checkHeads(anatomy, asked);
  return anatomy.blocks.flatMap(({ attention }, layer) =>
    Array.from({ length: attention.heads }, (_, head): HeadRef => ({ layer, head })).filter(
      ({ head }) => asked === 'all' || asked.some((each) => each.layer === layer && each.head === head),
    ),
  );
}

type Clean = ReadonlyMap<string, Activation>;

/** The run that all effects are measured from, with the streams and heads that changed runs need. */
async function unchanged(
  { model, anatomy, row, base, position }: ChangedRuns,
  asked: readonly HeadRef[],
): Promise<Clean> {
  const streams = asked.length === 0 ? [] : anatomy.blocks.map((_, layer) => blockHook(layer, 'hook_resid_pre'));
  const heads = asked.map(({ layer }) => zHook(layer));
  const wanted = [LOGITS, ...streams.filter((hook) => anatomy.hooks.sites.has(hook)), ...heads];
  return model.trace([row], [...new Set(wanted)], base, logitsAt(position));
}

/** The prediction of a run that was traced with `logitsAt`. */
function predictionOf({ info }: Internals, trace: ReadonlyMap<string, Activation>): Distribution {
  const { dims, data } = trace.get(LOGITS) as Activation;
  checkFinite(data, dims.at(-1) as number, info.id);
  return new Distribution(data);
}

/** Throws `bad-input` for tokens without a probability, whose differences mean nothing. */
function targetId({ token }: PredictionTarget, before: Distribution, clean: Clean): number {
  const vocab = clean.get(LOGITS)?.dims.at(-1) as number;
  const [likeliest = 0] = before.top(1);
  const id = token ?? likeliest;
  if (id >= vocab)
    throw new LensError('bad-input', `There is no token with the id ${id}; the model predicts ${vocab}.`);
  if (!Number.isFinite(before.logprob(id)))
    throw new LensError('bad-input', `The model never predicts the token with the id ${id}.`, 'Ask for another one.');
  return id;
}

async function changedTogether(
  { model, anatomy, row, position, context }: ChangedRuns,
  scales: readonly Scale[],
): Promise<Distribution> {
  const changes = scaleInterventions(anatomy, scales, row.ids.length);
  const trace = await model.trace([row], [LOGITS], changes, logitsAt(position));
  throwIfCancelled(context.signal);
  return predictionOf(model, trace);
}

/** What is kept of a changed run. */
interface Outcome {
  logprob: number;
  first: Prediction;
}

async function effectsOf(
  runs: ChangedRuns,
  clean: Clean,
  asked: readonly HeadRef[],
  { mean, importance }: Pick<AblateParams, 'mean' | 'importance'>,
  id: number,
  before: number,
): Promise<HeadEffect[]> {
  const { model, anatomy } = runs;
  const step = stepOf(anatomy);
  const zOf = (layer: number): Activation => clean.get(zHook(layer)) as Activation;
  const changes: HeadChange[] = anatomy.blocks.flatMap(({ attention }, layer) => {
    const own = asked.filter((each) => each.layer === layer);
    if (own.length === 0) return [];
    // A block's importances are parts of a whole.
    const all = Array.from({ length: importance ? attention.heads : 0 }, (_, head) => ({ layer, head }));
    return [
      ...own.map((head) => ({ ...head, scale: 0, offset: null })),
      ...(mean
        ? own.map((head) => ({ ...head, scale: 0, offset: meanOverTokens(zOf(layer), head.head, runs.row.ids.length) }))
        : []),
      ...all.map((head) => ({ ...head, scale: 1 - step, offset: null })),
      ...all.map((head) => ({ ...head, scale: 1 + step, offset: null })),
    ];
  });
  const read = (logits: Float32Array): Outcome => {
    const distribution = new Distribution(logits);
    const [first] = topPredictions(model.tokenizer, distribution, 1) as [Prediction];
    return { logprob: distribution.logprob(id), first };
  };
  const [plain, ...outcomes] = (await runChanges(runs, clean, [null, ...changes], read, before)) as [
    Outcome,
    ...Outcome[],
  ];
  const at = new Map(changes.map((change, index) => [keyOf(change), outcomes[index] as Outcome]));
  const outcome = (head: HeadRef, scale: number, ofMean = false): Outcome =>
    at.get(`${head.layer}.${head.head} ${scale} ${ofMean}`) as Outcome;
  const gradientOf = (head: HeadRef): number =>
    (outcome(head, 1 - step).logprob - outcome(head, 1 + step).logprob) / (2 * step);
  const normOf = (layer: number): number =>
    Math.hypot(
      ...Array.from({ length: anatomy.blocks[layer]?.attention.heads ?? 0 }, (_, head) => gradientOf({ layer, head })),
    );
  return asked.map(({ layer, head }): HeadEffect => {
    const off = outcome({ layer, head }, 0);
    const gradient = importance ? gradientOf({ layer, head }) : null;
    return {
      layer,
      head,
      zero: off.logprob - plain.logprob,
      mean: mean ? outcome({ layer, head }, 0, true).logprob - plain.logprob : null,
      gradient,
      // A block whose heads all do nothing has nothing to divide by.
      importance: gradient === null ? null : Math.abs(gradient) / (normOf(layer) || 1),
      changedTo: off.first.id === plain.first.id ? null : off.first,
    };
  });
}

const keyOf = ({ layer, head, scale, offset }: HeadChange): string => `${layer}.${head} ${scale} ${offset !== null}`;
