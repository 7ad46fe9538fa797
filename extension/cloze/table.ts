/** Runs as tables for people: the rows of facts, and the lines of relations with what else was asked. Pure. */
import { counted, signed } from '../protocol/format';
import type { ProbeAnswer } from '../protocol/probes';
import type { ProbeFactDetails, ProbeRow, RelationLine } from '../protocol/probesView';
import { mainRanks, type RankedRelation, type RelationSummary } from './metrics';
import type { Run, RunFact } from './runFile';
import { ANSWER } from './template';

/** Predictions in a row; all of them are in the details. */
const ROW_PREDICTIONS = 5;
export const BLANK = '____';

/** What is known of a run while it is under way, too. */
export interface RunContent {
  relations: readonly RankedRelation[];
  ensemble: Run['header']['options']['ensemble'];
  facts: readonly RunFact[];
}

export const contentOf = ({ header, facts }: Run): RunContent => ({
  relations: header.relations,
  ensemble: header.options.ensemble,
  facts,
});

/** The question as a person would read it. */
export function queryOf({ subject, sentence }: RunFact, relation: RankedRelation | undefined, template = 0): string {
  const text = sentence ?? relation?.templates[template]?.text ?? '[X]';
  return text.replaceAll('[X]', () => subject ?? '').replace(ANSWER, BLANK);
}

/** Where facts stand. */
type Places = readonly ({ file: string; line: number } | null | undefined)[];

/** One a fact, in the order of the run, which begins with the shortest. */
export function factRows({ relations, ensemble, facts }: RunContent, places: Places = []): ProbeRow[] {
  const byId = new Map(relations.map((relation) => [relation.id, relation]));
  const ranks = ranksOf(facts, byId, ensemble);
  const inFiles = orderOf(places);
  return facts.map((fact, index): ProbeRow => {
    const relation = byId.get(fact.relation);
    const { result, answers } = fact;
    const row = {
      relation: fact.relation,
      query: queryOf(fact, relation),
      ...{ answer: answers.join(' | '), why: null, logprob: null, rank: null, top: [] },
      place: inFiles.get(index) ?? null,
    };
    switch (result.kind) {
      case 'skipped':
        return { ...row, status: 'skipped', why: `${result.why}${result.detail === '' ? '' : `: ${result.detail}`}` };
      case 'open':
        return { ...row, status: 'open', top: shortTop(result.answers[0]?.top) };
      case 'joint': {
        const [first] = result.answers;
        const rank = first?.candidateRank ?? null;
        return { ...row, status: 'joint', answer: first?.answer ?? row.answer, logprob: first?.logprob ?? null, rank };
      }
      case 'ranked': {
        const [first] = result.answers;
        const rank = ranks[index] ?? null;
        return {
          ...row,
          status: rank === 1 ? 'right' : 'wrong',
          answer: first?.answer ?? row.answer,
          logprob: first?.logprob ?? null,
          rank,
          top: shortTop(first?.top),
        };
      }
    }
  });
}

/** Of the facts whose place is known: its number in the order of the files. */
function orderOf(places: Places): Map<number, number> {
  const known = [...places.entries()].flatMap(([index, place]) => (place == null ? [] : [{ index, ...place }]));
  const files = new Map([...new Set(known.map(({ file }) => file))].sort().map((file, number) => [file, number]));
  known.sort((a, b) => (files.get(a.file) ?? 0) - (files.get(b.file) ?? 0) || a.line - b.line || a.index - b.index);
  return new Map(known.map(({ index }, place) => [index, place]));
}

const shortTop = (top: ProbeAnswer['top'] | undefined): ProbeRow['top'] =>
  (top ?? []).slice(0, ROW_PREDICTIONS).map(({ text, logprob }) => ({ text, logprob }));

/** The rank in the run's main numbers, for those facts that have one. */
function ranksOf(
  facts: readonly RunFact[],
  relations: ReadonlyMap<string, RankedRelation>,
  ensemble: RunContent['ensemble'],
): (number | undefined)[] {
  const places = new Map<string, number[]>();
  facts.forEach(({ relation, result }, index) => {
    if (result.kind !== 'ranked') return;
    const own = places.get(relation) ?? [];
    own.push(index);
    places.set(relation, own);
  });
  const ranks = Array<number | undefined>(facts.length).fill(undefined);
  for (const [id, own] of places) {
    const asked = own.map((index) => facts[index] as RunFact);
    mainRanks(asked, relations.get(id)?.ranking ?? 'vocabulary', ensemble).forEach((rank, at) => {
      ranks[own[at] as number] = rank;
    });
  }
  return ranks;
}

/** Each template and each variant that was asked. */
export function factDetails(fact: RunFact, relation: RankedRelation | undefined): ProbeFactDetails['answers'] {
  const { result } = fact;
  const query = (template: number): string => queryOf(fact, relation, template);
  const said = (label: string, { template, answer, logprob, rank, top }: ProbeAnswer) => ({
    ...{ label, query: query(template), answer, logprob, rank, top },
  });
  if (result.kind === 'open')
    return result.answers.map(({ template, top }) => ({
      ...{ label: '', query: query(template), answer: '', logprob: NaN, rank: 0, top },
    }));
  if (result.kind === 'joint')
    return result.answers.map(({ template, answer, tokens, logprob, candidateRank }) => ({
      ...{ label: tokens.join(' '), query: query(template), answer, logprob, rank: candidateRank ?? 0, top: [] },
    }));
  if (result.kind !== 'ranked') return [];
  const { answers, negated, misprimed, context } = result;
  return [
    ...answers.map((answer) => said('', answer)),
    ...(negated === null ? [] : [said('negated', negated)]),
    ...(misprimed === null ? [] : [said(`misprimed with ${misprimed.prime}`, misprimed)]),
    ...(context === null ? [] : [said('with its context', context)]),
  ];
}

const percent = (share: number): string => (100 * share).toFixed(2);

/** What else was asked of a relation, a sentence each. */
export function relationDetails(summary: RelationSummary): string[] {
  const { candidates, templates, ensemble, pararel, negated, misprimed, context, joint, skipped } = summary;
  const lines: string[] = [];
  if (candidates !== null)
    lines.push(`among the candidates P@1 ${percent(candidates.p1)} %, MRR ${candidates.mrr.toFixed(4)}`);
  if (templates.length > 0) lines.push(`templates P@1 ${templates.map(({ p1 }) => percent(p1)).join(', ')} %`);
  if (ensemble !== null) lines.push(`mean of log-probabilities P@1 ${percent(ensemble.p1)} %`);
  if (pararel !== null)
    lines.push(
      `consistency ${percent(pararel.consistency)} %, accuracy ${percent(pararel.accuracy)} %, both ${percent(pararel.both)} %`,
    );
  if (negated !== null)
    lines.push(
      `negated P@1 ${percent(negated.p1)} %, same first prediction ${percent(negated.sameFirst)} %, overlap of the top ${percent(negated.overlap)} %`,
    );
  if (misprimed !== null)
    lines.push(`misprimed P@1 ${percent(misprimed.p1)} %, of the right ones lost ${percent(misprimed.lost)} %`);
  if (context !== null)
    lines.push(
      `with context P@1 ${percent(context.p1)} %, without ${percent(context.without)} %, of ${counted(context.n, 'fact')}`,
    );
  if (joint !== null)
    lines.push(
      `${counted(joint.n, 'answer')} of several tokens, mean log p ${signed(joint.meanLogprob)}, a token ${signed(joint.meanPerToken)}` +
        (joint.candidates === null ? '' : `, among the candidates P@1 ${percent(joint.candidates.p1)} %`),
    );
  for (const [why, n] of Object.entries(skipped)) lines.push(`${counted(n, 'fact')} left out: ${why}`);
  return lines;
}

export const relationLine = (summary: RelationSummary, relation: RankedRelation | undefined): RelationLine => {
  const { n, p1, p10, mrr, intervals, meanLogprob, majority, layers } = summary;
  return {
    ...{ relation: summary.relation, template: relation?.templates[0]?.text ?? '' },
    ...{ n, p1, p10, mrr, intervals, meanLogprob, majority, layers, details: relationDetails(summary) },
  };
};
