/** From the relations of files to the questions that are put to the engine, and from its answers to the lines of a run. */
import type { ProbeFact, ProbeFactResult, ProbeRelation } from '../protocol/probes';
import { answersOf } from './facts';
import { runKey, type RunFact, type RunHeader, type RunRelation } from './runFile';
import { readWords, type SourceRelation } from './sources';

/** What answers are ranked among, before what the files say. Null: as the files say. */
export interface RankingChoice {
  /** Path of a file of words. */
  vocabulary: string | null;
  /** `relation`: its own answers; otherwise the path of a file of words. */
  candidates: string | null;
}

/** Relations with the words that their answers are ranked among. Throws `bad-input` for a file without words. */
export async function rankedRelations<R extends SourceRelation>(
  found: readonly R[],
  { vocabulary: vocabularyFile, candidates: candidatesFile }: RankingChoice,
): Promise<(RunRelation & Pick<R, 'places'>)[]> {
  const lists = new Map<string, string[]>();
  const wordsOf = async (file: string): Promise<string[]> => {
    const words = lists.get(file) ?? (await readWords(file));
    lists.set(file, words);
    return words;
  };
  const relations: (RunRelation & Pick<R, 'places'>)[] = [];
  for (const { id, templates, facts, answers, candidates, places, vocabulary } of found) {
    const file = vocabularyFile ?? vocabulary;
    const words = file === null ? null : await wordsOf(file);
    const rivals =
      candidatesFile === null
        ? candidates
        : candidatesFile === 'relation'
          ? answersOf({ facts })
          : await wordsOf(candidatesFile);
    relations.push({
      ...{ id, templates, facts, places },
      ...(answers === undefined ? {} : { answers }),
      ...(rivals === undefined ? {} : { candidates: rivals }),
      words,
      ranking: words === null && rivals !== undefined ? 'candidates' : 'vocabulary',
    });
  }
  return relations;
}

export interface ProbeQuestion {
  words: RunRelation['words'];
  asked: ProbeRelation[];
}

/** The shard's facts that are not done yet, so many at a time, those of one vocabulary together. */
export function* probeRequests(
  relations: readonly RunRelation[],
  factsTogether: number,
  shard: RunHeader['shard'] = { index: 0, of: 1 },
  done: ReadonlySet<string> = new Set(),
): Generator<ProbeQuestion> {
  let index = 0;
  let [asked, count, words]: [ProbeRelation[], number, RunRelation['words']] = [[], 0, null];
  for (const relation of relations) {
    const { id, templates, candidates } = relation;
    const answers = relation.answers ?? answersOf(relation);
    const own = relation.facts.filter(
      (fact) => index++ % shard.of === shard.index && (done.size === 0 || !done.has(runKey(relation.id, fact))),
    );
    for (let start = 0; start < own.length; start += factsTogether) {
      const facts = own.slice(start, start + factsTogether);
      if (asked.length > 0 && (relation.words !== words || count + facts.length > factsTogether)) {
        yield { words, asked };
        [asked, count] = [[], 0];
      }
      words = relation.words;
      count += facts.length;
      asked.push({ id, templates, facts, answers, ...(candidates === undefined ? {} : { candidates }) });
    }
  }
  if (asked.length > 0) yield { words, asked };
}

/** A fact as a line of a run. */
export function runFact({ relation, fact, ...result }: ProbeFactResult, asked: readonly ProbeFact[]): RunFact {
  const { subject, sentence, answers } = asked[fact] as ProbeFact;
  return { relation, subject, ...(sentence === undefined ? {} : { sentence }), answers, result };
}
