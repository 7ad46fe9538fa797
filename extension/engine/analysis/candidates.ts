/** Texts scored against each other at one place. */
import type { CandidateScore } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import type { LanguageModel } from '../session/languageModel';
import type { LensTokenizer } from '../text/tokenizer';
import { logSumExp, type Distribution } from './distribution';
import { askAll, type Question } from './forward';
import { planHoles } from './leftToRight';
import { planMasks, type Plan } from './masking';
import type { Target } from './targets';

/** A word is looked at no further than this from the target. */
const LONGEST_WORD = 64;

/** Tokens that the longest candidate can need beside those that the text has already. */
export function candidateReserve(
  candidates: readonly string[],
  targets: readonly Target[],
  tokenizer: LensTokenizer,
): number {
  const present = tokenizer.encodeContent(targets[0]?.text ?? '').ids.length;
  // One token more than alone: in its place a word can be cut otherwise.
  return Math.max(0, ...candidates.map((text) => tokenizer.encodeContent(text).ids.length + 1 - present));
}

/** A candidate in its place: the row with a mask for each of its tokens. */
interface InPlace {
  ids: number[];
  row: Int32Array;
  positions: number[];
}

/**
 * Puts each candidate at the first target, in the window of `plan`; the other targets stay masked. Each is tokenised in
 * its place, and all its tokens count: masked models by pseudo-log-likelihood, causal ones by log-likelihood.
 */
export async function scoreCandidates(
  model: LanguageModel,
  kind: 'masked' | 'causal',
  text: string,
  targets: readonly Target[],
  plan: Plan,
  candidates: readonly string[],
  signal: AbortSignal,
): Promise<CandidateScore[]> {
  const places = candidates.map((candidate) => putInPlace(model, kind, text, targets, plan, candidate));
  const answers = await askDistinct(
    model,
    places.flatMap((place) => (kind === 'masked' ? maskedQuestions(place) : [causalQuestion(place)])),
    signal,
  );
  let next = 0;
  const scores = places.map(({ ids }, index) => {
    const distributions = kind === 'masked' ? ids.map(() => answers[next++]?.[0]) : (answers[next++] ?? []);
    const logprob = ids.reduce((sum, id, token) => sum + (distributions[token] as Distribution).logprob(id), 0);
    const only = ids.length === 1 ? (distributions[0] as Distribution) : null;
    return {
      text: candidates[index] as string,
      tokens: ids.map((id) => model.tokenizer.token(id)),
      logprob,
      meanLogprob: logprob / ids.length,
      rank: only?.rank(ids[0] as number) ?? null,
    };
  });
  const total = logSumExp(scores.map(({ logprob }) => logprob));
  return scores.map((score) => ({ ...score, share: Math.exp(score.logprob - total) }));
}

function putInPlace(
  model: LanguageModel,
  kind: 'masked' | 'causal',
  text: string,
  targets: readonly Target[],
  { window }: Plan,
  candidate: string,
): InPlace {
  const { tokenizer, info } = model;
  const first = targets[0] as Target;
  const { start, end } = first.range;
  const shift = candidate.length - (end - start);
  // The window's text only, so that all candidates are seen in the same context.
  const windowEnd = kind === 'masked' ? window.range.end : text.length;
  const from = window.range.start;
  const changed = text.slice(from, start) + candidate + text.slice(end, windowEnd);
  const moved = (target: Target): Target => {
    const by = target.range.start > start ? shift - from : -from;
    return { ...target, range: { start: target.range.start + by, end: target.range.end + by } };
  };
  const range = { start: start - from, end: start - from + candidate.length };
  const own: Target = { range, text: candidate, masks: 'auto', placeholder: false };
  const { ids, row, positions } = locate(
    kind,
    changed,
    [own, ...targets.slice(1).map(moved)],
    tokenizer,
    info.maxTokens,
  );
  if (ids.some((id) => tokenizer.isSpecial(id)))
    throw new LensError(
      'bad-input',
      `The candidate “${candidate}” holds a special token or a character that the model does not know.`,
      'Type it in other words.',
    );
  return { ids, row, positions };
}

/** The tokens that a whole-text encoding has under the candidate, even where its ends are no ends of tokens. */
function locate(
  kind: 'masked' | 'causal',
  text: string,
  [first, ...others]: readonly [Target, ...Target[]],
  tokenizer: LensTokenizer,
  maxTokens: number,
): InPlace {
  if (kind === 'causal' && others.some(({ placeholder, range }) => placeholder && range.start < first.range.start))
    throw new LensError(
      'bad-input',
      'A mask stands to the left of the candidates, where this model would have to read it.',
      'Mask one place only.',
    );
  const whole = widen(text, first, tokenizer);
  // A causal model reads what really stands at the other targets.
  const plan =
    kind === 'masked'
      ? planMasks(text, [whole, ...others], tokenizer, maxTokens)
      : planHoles(text, [whole], tokenizer, maxTokens);
  const own = plan.targets[0];
  if (own?.actual == null)
    throw new LensError(
      'bad-input',
      `The candidate “${first.text}” cannot be read as tokens of its own beside its neighbours.`,
      'Mask the whole word.',
    );
  return { ids: own.actual, row: plan.ids, positions: own.positions };
}

/** The target, with the rest of the tokens that it shares with the text around it. */
function widen(text: string, target: Target, tokenizer: LensTokenizer): Target {
  const near = text.slice(Math.max(0, target.range.start - LONGEST_WORD), target.range.start);
  const before = /\S*$/u.exec(near)?.[0].length ?? 0;
  const after = /^\S*/u.exec(text.slice(target.range.end, target.range.end + LONGEST_WORD))?.[0].length ?? 0;
  const from = Math.max(0, target.range.start - before - 1);
  const part = text.slice(from, target.range.end + after);
  const { ranges } = tokenizer.encodeContent(part);
  const shared = ranges.filter(
    (range): range is { start: number; end: number } =>
      range !== null && range.start + from < target.range.end && range.end + from > target.range.start,
  );
  const start = Math.min(target.range.start, ...shared.map((range) => range.start + from));
  const end = Math.max(target.range.end, ...shared.map((range) => range.end + from));
  return { ...target, range: { start, end }, text: text.slice(start, end) };
}

function maskedQuestions({ ids, row, positions }: InPlace): Question[] {
  return ids.map((_, hidden) => {
    const filled = row.slice();
    positions.forEach((position, index) => {
      if (index !== hidden) filled[position] = ids[index] as number;
    });
    return { ids: filled, positions: [positions[hidden] as number] };
  });
}

function causalQuestion({ ids, row, positions }: InPlace): Question {
  const filled = row.slice(0, -1);
  positions.slice(0, -1).forEach((position, index) => {
    filled[position] = ids[index] as number;
  });
  return { ids: filled, positions: positions.map((position) => position - 1) };
}

/** Equal questions, as all candidates of one token are, are asked once. */
async function askDistinct(
  model: LanguageModel,
  questions: readonly Question[],
  signal: AbortSignal,
): Promise<Distribution[][]> {
  const keyOf = ({ ids, positions }: Question): string => `${ids.join()};${positions.join()}`;
  const distinct = new Map(questions.map((question) => [keyOf(question), question]));
  const answers = await askAll(model, [...distinct.values()], signal);
  const byKey = new Map([...distinct.keys()].map((key, index) => [key, answers[index] as Distribution[]]));
  return questions.map((question) => byKey.get(keyOf(question)) as Distribution[]);
}
