/** Two runs over the same facts: models, prompts, interventions. */
import type { ComparisonLine } from '../protocol/probesView';
import { mainRanks } from './metrics';
import { runKey, type Run, type RunFact } from './runFile';
import { mcnemar } from './statistics';
import { atOnce, type Steps } from './steps';

export interface Comparison {
  relations: ComparisonLine[];
  /** All facts together. */
  all: Omit<ComparisonLine, 'relation'>;
  /** Facts on which they differ. */
  changes: {
    relation: string;
    subject: string;
    answers: string[];
    change: 'gained' | 'lost';
    /** Among the facts of the second run. */
    index: number;
  }[];
  /** Facts that only one of them has ranked. */
  unpaired: number;
}

export const compareRuns = (first: Run, second: Run): Comparison => atOnce(comparisonSteps(first, second));

const FACTS_A_STEP = 256;

export function* comparisonSteps(first: Run, second: Run): Steps<Comparison> {
  const a = yield* rightSteps(first);
  const b = yield* rightSteps(second);
  const byRelation = new Map<string, Counts>();
  const changes: Comparison['changes'] = [];
  const all = new Counts();
  let count = 0;
  for (const [key, { fact, right }] of a) {
    if (++count % FACTS_A_STEP === 0) yield;
    const other = b.get(key);
    if (other === undefined) continue;
    const counts = byRelation.get(fact.relation) ?? new Counts();
    byRelation.set(fact.relation, counts);
    for (const each of [counts, all]) each.add(right, other.right);
    if (right !== other.right)
      changes.push({
        relation: fact.relation,
        subject: fact.subject ?? fact.sentence ?? '',
        answers: fact.answers,
        change: right ? 'lost' : 'gained',
        index: other.index,
      });
  }
  return {
    relations: [...byRelation].map(([relation, counts]) => ({ relation, ...counts.result() })),
    all: all.result(),
    changes,
    unpaired: a.size + b.size - 2 * all.n,
  };
}

class Counts {
  private gained = 0;
  private lost = 0;
  private right = 0;
  private wrong = 0;

  get n(): number {
    return this.gained + this.lost + this.right + this.wrong;
  }

  add(first: boolean, second: boolean): void {
    if (first) this[second ? 'right' : 'lost']++;
    else this[second ? 'gained' : 'wrong']++;
  }

  result(): Omit<ComparisonLine, 'relation'> {
    const { n, gained, lost, right, wrong } = this;
    const share = (count: number): number => (n === 0 ? 0 : count / n);
    return {
      ...{ n, first: share(right + lost), second: share(right + gained), gained, lost, right, wrong },
      p: mcnemar(gained, lost),
    };
  }
}

interface Judged {
  fact: RunFact;
  /** Among the run's facts. */
  index: number;
  right: boolean;
}

/** By the main ranking and template of each run. */
function* rightSteps({ header, facts }: Run): Steps<Map<string, Judged>> {
  const byRelation = new Map<string, { fact: RunFact; index: number }[]>();
  for (const [index, fact] of facts.entries()) {
    if (fact.result.kind !== 'ranked') continue;
    const own = byRelation.get(fact.relation) ?? [];
    own.push({ fact, index });
    byRelation.set(fact.relation, own);
  }
  const judged = new Map<string, Judged>();
  for (const { id, ranking } of header.relations) {
    const own = byRelation.get(id) ?? [];
    const ranks = mainRanks(
      own.map(({ fact }) => fact),
      ranking,
      header.options.ensemble,
    );
    for (const [place, { fact, index }] of own.entries()) {
      if (place % FACTS_A_STEP === 0) yield;
      judged.set(runKey(fact.relation, fact), { fact, index, right: ranks[place] === 1 });
    }
  }
  return judged;
}
