/** What a model expects at masked places of a text: the main job. */
import type {
  CandidateScore,
  FillMaskParams,
  FillMaskResult,
  JointFill,
  MaskResult,
  ModelInfo,
  UnchangedMask,
} from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import type { LanguageModel, RunContext } from '../session/languageModel';
import { scoreCandidates, candidateReserve } from './candidates';
import type { Distribution } from './distribution';
import { askAll } from './forward';
import { fillLeftToRight, fillPrefix, fillTogether, MaskedSpan, type SpanFill } from './joint';
import { planHoles } from './leftToRight';
import { planMasks, type Plan } from './masking';
import { actualToken, fillFilter, topPredictions } from './predictions';
import { readTargets } from './targets';

/** More masks than this are too many for a search. */
export const MAX_JOINT_MASKS = 8;

/** The kind of a model that predicts tokens. Throws `no-lm-head`. */
export function requireLanguageModel(info: ModelInfo): 'masked' | 'causal' {
  if (info.kind === 'masked' || info.kind === 'causal') return info.kind;
  throw new LensError(
    'no-lm-head',
    `The model “${info.id}” has no language-model head, so it predicts no tokens.`,
    'Choose a masked or causal language model.',
  );
}

/** A mask with its place in the input, and the token that stands there if it is comparable. */
interface Mask {
  position: number;
  target: number;
  actual: number | null;
}

function masksOf(plan: Plan): Mask[] {
  return plan.targets
    .flatMap(({ positions, actual }, target) =>
      positions.map((position, index): Mask => ({ position, target, actual: actual?.[index] ?? null })),
    )
    .sort((a, b) => a.position - b.position);
}

/** What the two kinds of model answer in their own way. */
interface Answers {
  distributions: Distribution[];
  joint: SpanFill[];
  actualLogprob: number | null;
}

type Ask = (
  model: LanguageModel,
  plan: Plan,
  masks: readonly Mask[],
  beam: number,
  signal: AbortSignal,
) => Promise<Answers>;

/** `beside`: the unchanged model, when its answers are to stand beside those of a changed one. */
export async function fillMask(
  model: LanguageModel,
  params: Omit<FillMaskParams, 'model' | 'interventions' | 'compare'>,
  context: RunContext,
  beside: LanguageModel | null = null,
): Promise<FillMaskResult> {
  const started = performance.now();
  const { info, tokenizer } = model;
  const kind = requireLanguageModel(info);
  const targets = readTargets(params.text, params.targets, tokenizer);
  const candidates = params.candidates ?? [];
  const reserve = candidateReserve(candidates, targets, tokenizer);
  const plan = (kind === 'masked' ? planMasks : planHoles)(params.text, targets, tokenizer, info.maxTokens, reserve);
  const masks = masksOf(plan);
  const beam = masks.length >= 2 && masks.length <= MAX_JOINT_MASKS ? (params.joint?.beam ?? 0) : 0;
  const ask = kind === 'masked' ? askMasked : askCausal;
  const answers = await ask(model, plan, masks, beam, context.signal);

  const said = (
    distribution: Distribution,
    actual: number | null,
  ): Pick<MaskResult, 'predictions' | 'entropy' | 'actual'> => ({
    predictions: topPredictions(tokenizer, distribution, params.topK),
    entropy: distribution.entropy(),
    actual: actual === null ? null : actualToken(tokenizer, distribution, actual),
  });
  const results = masks.map(({ position, target, actual }, index): MaskResult => ({
    position,
    target,
    ...said(answers.distributions[index] as Distribution, actual),
  }));
  const scored = async (by: LanguageModel): Promise<CandidateScore[]> =>
    candidates.length === 0 ? [] : scoreCandidates(by, kind, params.text, targets, plan, candidates, context.signal);
  const scores = await scored(model);
  const unchanged = async (by: LanguageModel): Promise<NonNullable<FillMaskResult['unchanged']>> => {
    const { distributions, actualLogprob } = await ask(by, plan, masks, 0, context.signal);
    return {
      masks: masks.map(({ actual }, index): UnchangedMask => {
        const [before, after] = [distributions[index], answers.distributions[index]] as [Distribution, Distribution];
        const own = said(before, actual);
        return {
          ...own,
          logprobs: (results[index] as MaskResult).predictions.map(({ id }) => before.logprob(id)),
          after: own.predictions.map(({ id }) => after.logprob(id)),
        };
      }),
      candidates: await scored(by),
      actualLogprob,
    };
  };
  return {
    model: info.id,
    kind,
    tokens: plan.tokens.map((token) => {
      const mask = masks.findIndex(({ position }) => position === token.index);
      return { ...token, mask: mask < 0 ? null : mask };
    }),
    window: plan.window,
    targets: plan.targets.map(({ result }, target) => {
      const maskIndices = masks.flatMap((mask, index) => (mask.target === target ? [index] : []));
      const tooMany = params.joint !== undefined && target === 0 && masks.length > MAX_JOINT_MASKS;
      const notes = [
        ...(result.note === undefined ? [] : [result.note]),
        ...(tooMany ? [`The masks are filled together only when they are at most ${MAX_JOINT_MASKS}.`] : []),
      ];
      return { ...result, maskIndices, ...(notes.length === 0 ? {} : { note: notes.join(' ') }) };
    }),
    masks: results,
    joint: answers.joint.map((fill): JointFill => {
      const ids = plan.targets.map((_, target) => fill.ids.filter((_id, mask) => masks[mask]?.target === target));
      return {
        texts: ids.map((own) => tokenizer.join(own)),
        tokens: ids.map((own) => own.map((id) => tokenizer.token(id))),
        ids,
        logprob: fill.logprob,
        logprobs: fill.logprobs,
        independent: fill.independent,
      };
    }),
    actualLogprob: answers.actualLogprob,
    candidates: scores,
    vocabSize: info.vocabSize ?? tokenizer.vocabSize,
    ...(beside === null ? {} : { unchanged: await unchanged(beside) }),
    elapsed: performance.now() - started,
  };
}

/** The ids that stand at the masks, when all of them are known. */
function actualIds(masks: readonly Mask[]): number[] | null {
  const ids = masks.flatMap(({ actual }) => (actual === null ? [] : [actual]));
  return ids.length === masks.length ? ids : null;
}

const askMasked: Ask = async (model, plan, masks, beam, signal) => {
  const span = new MaskedSpan(
    model,
    plan.ids,
    masks.map(({ position }) => position),
    signal,
  );
  const [distributions] = (await span.ask([masks.map(() => null)])) as [Distribution[]];
  const actual = actualIds(masks);
  // With several masks this score costs a run of its own, so it is given with the joint fills that it is compared with.
  const scored = actual !== null && (beam > 0 || masks.length === 1) ? await span.score([actual]) : [];
  return {
    distributions,
    joint: beam > 0 ? await fillTogether(span, model, beam) : [],
    actualLogprob: scored[0]?.logprob ?? null,
  };
};

const askCausal: Ask = async (model, plan, masks, beam, signal) => {
  const holes = masks.map(({ position }) => position);
  const accept = fillFilter(model.tokenizer);
  const filled: number[] = [];
  for (const [index, { actual, position }] of masks.entries()) {
    // What really stands there, else the model's own best token. Nothing comes after the last one.
    if (actual !== null || index === masks.length - 1) {
      filled.push(actual ?? 0);
      continue;
    }
    const prefix = fillPrefix(plan.ids, holes, filled, position);
    const [[distribution]] = (await askAll(model, [{ ids: prefix, positions: [position - 1] }], signal)) as [
      [Distribution],
    ];
    filled.push(distribution.top(1, accept)[0] as number);
  }
  const end = holes.at(-1) as number;
  const row = fillPrefix(plan.ids, holes, filled.slice(0, -1), end);
  const [distributions] = (await askAll(
    model,
    [{ ids: row, positions: holes.map((position) => position - 1) }],
    signal,
  )) as [Distribution[]];
  const actual = actualIds(masks);
  return {
    distributions,
    joint: beam > 0 ? await fillLeftToRight(model, plan.ids, holes, beam, signal) : [],
    actualLogprob:
      actual?.reduce((total, id, index) => total + (distributions[index] as Distribution).logprob(id), 0) ?? null,
  };
};
