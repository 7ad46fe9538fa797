/** From ranks to the numbers of the papers. Definitions with their sources are in docs/probes.md. */
import type {
  EnsembleAnswer,
  JointAnswer,
  LayerAnswer,
  ProbeAnswer,
  ProbeFactResult,
  ProbeRelation,
  ProbeSkip,
} from '../protocol/probes';
import { bootstrapSteps, type Interval } from './statistics';
import { atOnce, type Steps } from './steps';
import { clashes } from './template';

/** A fact with what was found. */
export type AnsweredFact = { relation: string; answers: string[] } & { result: FactOutcome };
/** A `ProbeFactResult` without its place in a request. */
export type FactOutcome = ProbeFactResult extends infer R
  ? R extends unknown
    ? Omit<R, 'relation' | 'fact'>
    : never
  : never;
type Ranked = Extract<FactOutcome, { kind: 'ranked' }>;

/** Ranks beyond it count nothing in MRR, as in LAMA's code. */
const LAST_RANK = 1000;

export interface RankMetrics {
  n: number;
  p1: number;
  p10: number;
  mrr: number;
}

/** Which ranking the main numbers are of: that of the vocabulary (a file's, or the model's), or that of the candidates. */
export type MainRanking = 'vocabulary' | 'candidates';
/** Which template the main numbers are of. `best` is chosen by P@1 on the same facts, so it flatters; `mean`: of log-probabilities. */
export type Ensemble = 'first' | 'best' | 'mean';

/** What a summary must know of a relation. */
export interface RankedRelation extends Pick<ProbeRelation, 'id' | 'templates'> {
  ranking: MainRanking;
}

export interface RelationSummary extends RankMetrics {
  relation: string;
  /** 95 %, bootstrap over facts. */
  intervals: { p1: Interval; p10: Interval; mrr: Interval };
  /** Mean log-probability of the answers in the whole vocabulary. */
  meanLogprob: number;
  /** P@1 of always giving the commonest answer. */
  majority: number;
  /** The same facts in the model's whole vocabulary, and among the candidates. */
  full: RankMetrics;
  candidates: RankMetrics | null;
  /** With several templates. */
  templates: (RankMetrics & { template: number })[];
  ensemble: RankMetrics | null;
  pararel: ParaRel | null;
  negated: NegatedSummary | null;
  misprimed: MisprimedSummary | null;
  context: ContextSummary | null;
  joint: JointSummary | null;
  /** When it was asked by layer: before the first one, then after each. */
  layers: LayerMetrics[] | null;
  skipped: Partial<Record<ProbeSkip, number>>;
}

export interface LayerMetrics extends RankMetrics {
  meanLogprob: number;
}

export interface ParaRel {
  facts: number;
  /** Share of ordered pairs of patterns with the same first candidate. */
  consistency: number;
  /** Of the first pattern. */
  accuracy: number;
  /** Share of facts for which every pattern is right. */
  both: number;
}

export interface NegatedSummary {
  n: number;
  p1: number;
  /** Share of facts with the same first prediction as the template that is not denied. */
  sameFirst: number;
  /** Mean share of the top predictions that are the same. */
  overlap: number;
}

export interface MisprimedSummary {
  n: number;
  p1: number;
  /** Of the facts that were right without the prime: the share that is wrong with it. */
  lost: number;
}

export interface ContextSummary {
  /** Facts that have a context. */
  n: number;
  p1: number;
  /** Of the same facts. */
  without: number;
}

export interface JointSummary {
  n: number;
  meanLogprob: number;
  /** Log-probability divided by the number of tokens, then the mean over facts. */
  meanPerToken: number;
  candidates: RankMetrics | null;
}

export interface Summary {
  relations: RelationSummary[];
  /** Unweighted mean over relations that have ranked facts. */
  macro: Omit<RankMetrics, 'n'> & { intervals: RelationSummary['intervals'] };
}

export function rankMetrics(ranks: readonly number[]): RankMetrics {
  return {
    n: ranks.length,
    p1: mean(ranks.map((rank) => Number(rank === 1))),
    p10: mean(ranks.map((rank) => Number(rank <= 10))),
    mrr: mean(ranks.map(reciprocal)),
  };
}

const reciprocal = (rank: number): number => (rank <= LAST_RANK ? 1 / rank : 0);

/** 0 of nothing, so that every number can be written as JSON; `n` says that there was nothing. */
function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** `relations` in the order in which they shall be told; `random` makes the intervals. */
export const summarise = (...parameters: Parameters<typeof summarySteps>): Summary =>
  atOnce(summarySteps(...parameters));

/** The same, a resample of the intervals a step. */
export function* summarySteps(
  facts: Iterable<AnsweredFact>,
  relations: readonly RankedRelation[],
  ensemble: Ensemble,
  random: () => number,
): Steps<Summary> {
  const byRelation = new Map<string, AnsweredFact[]>(relations.map(({ id }) => [id, []]));
  for (const fact of facts) byRelation.get(fact.relation)?.push(fact);
  const columns: Float64Array[][] = [];
  const summaries: RelationSummary[] = [];
  for (const relation of relations) {
    const own = byRelation.get(relation.id) as AnsweredFact[];
    const ranks = mainRanks(own, relation.ranking, ensemble);
    const measures = [(rank: number) => Number(rank === 1), (rank: number) => Number(rank <= 10), reciprocal].map(
      (measure) => Float64Array.from(ranks, measure),
    );
    columns.push(measures);
    summaries.push(summariseRelation(relation, own, ranks, yield* intervalsOf([measures], random)));
  }
  const filled = summaries.filter(({ n }) => n > 0);
  return {
    relations: summaries,
    macro: {
      p1: mean(filled.map(({ p1 }) => p1)),
      p10: mean(filled.map(({ p10 }) => p10)),
      mrr: mean(filled.map(({ mrr }) => mrr)),
      intervals: yield* intervalsOf(columns, random),
    },
  };
}

function* intervalsOf(
  groups: readonly (readonly Float64Array[])[],
  random: () => number,
): Steps<RelationSummary['intervals']> {
  const none = { low: 0, high: 0 };
  const [p1 = none, p10 = none, mrr = none] = yield* bootstrapSteps(groups, random);
  return { p1, p10, mrr };
}

const rankedOf = (facts: readonly AnsweredFact[]): Ranked[] =>
  facts.flatMap(({ result }) => (result.kind === 'ranked' ? [result] : []));

type AnyRank = Pick<EnsembleAnswer, 'rank' | 'candidateRank'>;
/** A fact without candidates is ranked in the vocabulary. */
const rankIn = (answer: AnyRank, ranking: MainRanking): number =>
  ranking === 'candidates' ? (answer.candidateRank ?? answer.rank) : answer.rank;

/** One rank a ranked fact, of the template or templates that are meant. */
export function mainRanks(facts: readonly AnsweredFact[], ranking: MainRanking, ensemble: Ensemble): number[] {
  const ranked = rankedOf(facts);
  const best = ensemble === 'best' ? bestTemplate(ranked, ranking) : null;
  return ranked.map((result) => rankIn(mainAnswer(result, ensemble, best), ranking));
}

function mainAnswer({ answers, ensemble }: Ranked, which: Ensemble, best: number | null): AnyRank {
  const first = answers[0] as ProbeAnswer;
  if (which === 'mean') return ensemble ?? first;
  return answers.find(({ template }) => template === best) ?? first;
}

/** The template with the highest P@1, the earlier one of equals. */
function bestTemplate(ranked: readonly Ranked[], ranking: MainRanking): number | null {
  const templates = perTemplate(ranked, ranking);
  const [first] = templates.toSorted((a, b) => b.p1 - a.p1 || a.template - b.template);
  return first?.template ?? null;
}

function perTemplate(ranked: readonly Ranked[], ranking: MainRanking): RelationSummary['templates'] {
  const ranks = new Map<number, number[]>();
  for (const { answers } of ranked)
    for (const answer of answers) {
      const own = ranks.get(answer.template) ?? [];
      own.push(rankIn(answer, ranking));
      ranks.set(answer.template, own);
    }
  return [...ranks]
    .map(([template, own]) => ({ template, ...rankMetrics(own) }))
    .sort((a, b) => a.template - b.template);
}

function summariseRelation(
  { id, templates, ranking }: RankedRelation,
  facts: readonly AnsweredFact[],
  ranks: readonly number[],
  intervals: RelationSummary['intervals'],
): RelationSummary {
  const ranked = rankedOf(facts);
  const firsts = ranked.map(({ answers }) => answers[0] as ProbeAnswer);
  const inCandidates = firsts.flatMap(({ candidateRank }) => (candidateRank === null ? [] : [candidateRank]));
  const several = templates.length > 1;
  const skipped: RelationSummary['skipped'] = {};
  for (const { result } of facts) if (result.kind === 'skipped') skipped[result.why] = (skipped[result.why] ?? 0) + 1;
  return {
    relation: id,
    ...rankMetrics(ranks),
    intervals,
    meanLogprob: mean(firsts.map(({ logprob }) => logprob)),
    majority: majority(facts),
    full: rankMetrics(firsts.map(({ fullRank }) => fullRank)),
    candidates: inCandidates.length === 0 ? null : rankMetrics(inCandidates),
    templates: several ? perTemplate(ranked, ranking) : [],
    ensemble: several ? rankMetrics(ranked.map((result) => rankIn(mainAnswer(result, 'mean', null), ranking))) : null,
    pararel: several ? pararel(facts, templates) : null,
    negated: negatedSummary(ranked),
    misprimed: misprimedSummary(ranked),
    context: contextSummary(ranked),
    joint: jointSummary(facts),
    layers: layerSummary(firsts, ranking),
    skipped,
  };
}

/** Of the ranked facts; of several accepted answers each counts. */
export function majority(facts: readonly AnsweredFact[]): number {
  const counts = new Map<string, number>();
  let n = 0;
  for (const { answers, result } of facts) {
    if (result.kind !== 'ranked') continue;
    n++;
    for (const answer of answers) counts.set(answer, (counts.get(answer) ?? 0) + 1);
  }
  return n === 0 ? 0 : Math.max(...counts.values()) / n;
}

/** Elazar et al. 2021, with all patterns of a relation taken as paraphrases of each other. Null without candidates. */
export function pararel(facts: readonly AnsweredFact[], templates: ProbeRelation['templates']): ParaRel | null {
  let [same, pairs, right, both, n] = [0, 0, 0, 0, 0];
  for (const { answers, result } of facts) {
    if (result.kind !== 'ranked') continue;
    const choices = result.answers.flatMap(({ template, choice }) =>
      choice === null || clashes(templates[template]?.text ?? '', answers[0] ?? '') ? [] : [choice],
    );
    const [first] = choices;
    if (first === undefined) continue;
    n++;
    const counts = new Map<string, number>();
    for (const choice of choices) counts.set(choice, (counts.get(choice) ?? 0) + 1);
    for (const count of counts.values()) same += count * (count - 1);
    pairs += choices.length * (choices.length - 1);
    right += Number(answers.includes(first));
    both += Number(choices.every((choice) => answers.includes(choice)));
  }
  if (n === 0) return null;
  return { facts: n, consistency: pairs === 0 ? 1 : same / pairs, accuracy: right / n, both: both / n };
}

/** Of the facts that were asked by layer. */
function layerSummary(firsts: readonly ProbeAnswer[], ranking: MainRanking): LayerMetrics[] | null {
  const asked = firsts.flatMap(({ layers }) => (layers === undefined ? [] : [layers]));
  const [first] = asked;
  if (first === undefined) return null;
  return first.map((_, layer) => {
    const answers = asked.map((layers) => layers[layer] as LayerAnswer);
    return {
      ...rankMetrics(answers.map((answer) => rankIn(answer, ranking))),
      meanLogprob: mean(answers.map(({ logprob }) => logprob)),
    };
  });
}

function negatedSummary(ranked: readonly Ranked[]): NegatedSummary | null {
  const pairs = ranked.flatMap(({ answers: [plain], negated }) =>
    negated === null || plain === undefined ? [] : [{ plain, negated }],
  );
  if (pairs.length === 0) return null;
  return {
    n: pairs.length,
    p1: mean(pairs.map(({ negated }) => Number(negated.rank === 1))),
    sameFirst: mean(pairs.map(({ plain, negated }) => Number(plain.top[0]?.id === negated.top[0]?.id))),
    overlap: mean(
      pairs.map(({ plain, negated }) => {
        const ids = new Set(plain.top.map(({ id }) => id));
        return negated.top.filter(({ id }) => ids.has(id)).length / Math.max(1, ids.size);
      }),
    ),
  };
}

function misprimedSummary(ranked: readonly Ranked[]): MisprimedSummary | null {
  const pairs = ranked.flatMap(({ answers: [plain], misprimed }) =>
    misprimed === null || plain === undefined ? [] : [{ before: plain.rank === 1, after: misprimed.rank === 1 }],
  );
  if (pairs.length === 0) return null;
  const right = pairs.filter(({ before }) => before);
  return {
    n: pairs.length,
    p1: mean(pairs.map(({ after }) => Number(after))),
    lost: mean(right.map(({ after }) => Number(!after))),
  };
}

function contextSummary(ranked: readonly Ranked[]): ContextSummary | null {
  const pairs = ranked.flatMap(({ answers: [plain], context }) =>
    context === null || plain === undefined ? [] : [{ without: plain.rank === 1, given: context.rank === 1 }],
  );
  if (pairs.length === 0) return null;
  return {
    n: pairs.length,
    p1: mean(pairs.map(({ given }) => Number(given))),
    without: mean(pairs.map(({ without }) => Number(without))),
  };
}

function jointSummary(facts: readonly AnsweredFact[]): JointSummary | null {
  const answers = facts.flatMap(({ result }) => (result.kind === 'joint' ? [result.answers[0] as JointAnswer] : []));
  if (answers.length === 0) return null;
  const ranks = answers.flatMap(({ candidateRank }) => (candidateRank === null ? [] : [candidateRank]));
  return {
    n: answers.length,
    meanLogprob: mean(answers.map(({ logprob }) => logprob)),
    meanPerToken: mean(answers.map(({ meanLogprob }) => meanLogprob)),
    candidates: ranks.length === 0 ? null : rankMetrics(ranks),
  };
}
