/** Two runs over the same facts: models, prompts, interventions. */
import type { ComparisonLine } from '../protocol/probesView';
import { mainRanks } from './metrics';
import { runKey, type Run, type RunFact } from './runFile';
import { mcnemar } from './statistics';

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
    /** See `runKey`. */ key: string;
  }[];
  /** Facts that only one of them has ranked. */
  unpaired: number;
}

export function compareRuns(first: Run, second: Run): Comparison {
  const [a, b] = [rightOf(first), rightOf(second)];
  const byRelation = new Map<string, Counts>();
  const changes: Comparison['changes'] = [];
  const all = new Counts();
  for (const [key, { fact, right }] of a) {
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
        key,
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

/** By the main ranking and template of each run. */
function rightOf({ header, facts }: Run): Map<string, { fact: RunFact; right: boolean }> {
  const byRelation = new Map<string, RunFact[]>();
  for (const fact of facts) {
    if (fact.result.kind !== 'ranked') continue;
    const own = byRelation.get(fact.relation) ?? [];
    own.push(fact);
    byRelation.set(fact.relation, own);
  }
  const right = new Map<string, { fact: RunFact; right: boolean }>();
  for (const { id, ranking } of header.relations) {
    const own = byRelation.get(id) ?? [];
    const ranks = mainRanks(own, ranking, header.options.ensemble);
    own.forEach((fact, index) => {
      right.set(runKey(fact.relation, fact), { fact, right: ranks[index] === 1 });
    });
  }
  return right;
}
