/** Sentences behind a cell of the table of relations, with what the head says in each. */
import type { RelationExample, RelationExamplesParams } from '../../../protocol/attention';
import { LensError } from '../../../protocol/errors';
import type { Traceable } from '../../session/internals';
import type { RunContext } from '../../session/languageModel';
import { treebankOf } from '../corpora/treebanks';
import { patternShape, patternsOf } from './batches';
import { prepareSentence, questionsOf, type PreparedSentence } from './relations';
import { strongest, wordWeight } from './wordMaps';

/** The first `most` words with the relation (`all`: with any), right and wrong answers alike, in the order of the corpus. */
export async function relationExamples(
  model: Traceable,
  params: Omit<RelationExamplesParams, 'model'>,
  { signal }: RunContext,
): Promise<{ examples: RelationExample[] }> {
  const { sources, limit = Infinity, shard = { index: 0, of: 1 }, layer, head, relation, direction, most } = params;
  const shape = await patternShape(model);
  const hook = shape.hooks.find((each) => each.layer === layer);
  if (hook === undefined || head >= shape.heads)
    throw new LensError('bad-input', `There is no pattern of a head ${head} in layer ${layer} of ${model.info.id}.`);
  let found = 0;
  async function* wanted(): AsyncGenerator<PreparedSentence> {
    for await (const numbered of treebankOf(sources, limit, () => undefined)) {
      if (numbered.index % shard.of !== shard.index) continue;
      const prepared = prepareSentence(model, numbered, shape.window, () => undefined);
      const count = prepared === null ? 0 : asked(prepared).length;
      if (prepared !== null && count > 0) yield prepared;
      found += count;
      if (found >= most) return;
    }
  }
  const asked = ({ sentence, pieces }: PreparedSentence): ReturnType<typeof questionsOf> =>
    questionsOf(sentence.words, pieces).filter((question) => relation === 'all' || question.relation === relation);

  const examples: (RelationExample & { index: number })[] = [];
  for await (const run of patternsOf(model, { ...shape, hooks: [hook] }, wanted(), signal))
    for (const { item, blocks } of run) {
      const [{ pattern }] = blocks as [(typeof blocks)[number]];
      const { rows, columns } = strongest(pattern, head, item.pieces);
      for (const question of asked(item)) {
        const fromDependent = direction === 'dependent→head';
        const predicted = (fromDependent ? rows : columns)[question.asked] as number;
        const [own, other] = [item.pieces[question.asked] as number[], item.pieces[predicted] as number[]];
        examples.push({
          index: item.index,
          source: item.name,
          line: item.sentence.line,
          text: item.sentence.text,
          words: item.sentence.words.map(({ form, range }) => ({ form, range })),
          from: question.word,
          expected: question.expected,
          predicted,
          weight: fromDependent ? wordWeight(pattern, head, own, other) : wordWeight(pattern, head, other, own),
        });
      }
    }
  // Sentences of like length were run together.
  examples.sort((a, b) => a.index - b.index);
  return { examples: examples.slice(0, most).map(({ index: _, ...example }) => example) };
}
