/**
 * Heads against clusters of mentions (Clark et al. 2019, §4.3): from the head word of a mention, is the earlier mention's head word that
 * a head looks at most one of the same cluster? Asked where there is one. The baseline is the nearest mention before. A document goes
 * in as passages: as many successive sentences as the model takes, so that only mentions of one passage can be antecedents.
 */
import type { CorpusSource, HeadRelationsState } from '../../../protocol/attention';
import type { Traceable } from '../../session/internals';
import type { InputRow } from '../../session/languageModel';
import { mentionsOf } from '../corpora/entities';
import { treebankOf, type NumberedSentence } from '../corpora/treebanks';
import { patternsOf, type Patterned, type PatternShape } from './batches';
import { newCoreference } from './relationState';
import { piecesOf, wordWeight } from './wordMaps';

/** BERT's window; longer passages cost more than they tell. */
const MOST_TOKENS = 512;

interface Options {
  sources: readonly CorpusSource[];
  limit: number;
  isMine(sentence: number): boolean;
  skip(name: string, why: string): void;
}

type Found = NonNullable<HeadRelationsState['coreference']>;

/** A word that heads mentions: its tokens in the passage, and their clusters. */
export interface MentionWord {
  pieces: number[];
  clusters: Set<string>;
}

interface Passage {
  /** Index of its first sentence. */
  first: number;
  source: number;
  row: InputRow;
  mentions: MentionWord[];
}

/** Gives what is found so far after each run. */
export async function* corefer(
  model: Traceable,
  shape: PatternShape,
  options: Options,
  state: HeadRelationsState,
  signal: AbortSignal,
): AsyncGenerator<{ found: Found; fraction: number }> {
  const found = state.coreference ?? newCoreference(shape.layers * shape.heads);
  for await (const run of patternsOf(model, shape, passagesOf(model, shape, options, new Set(found.done)), signal)) {
    for (const each of run) {
      countPassage(each, shape, found);
      found.done.push(each.item.first);
    }
    yield { found, fraction: Math.max(...run.map(({ item }) => item.source)) / options.sources.length };
  }
}

async function* passagesOf(
  { tokenizer }: Pick<Traceable, 'tokenizer'>,
  { window }: PatternShape,
  { sources, limit, isMine, skip }: Options,
  done: ReadonlySet<number>,
): AsyncGenerator<Passage> {
  const most = Math.min(window, MOST_TOKENS);
  const specials = tokenizer.wrap(new Int32Array(0)).ids.length;
  let sentences: NumberedSentence[] = [];
  let tokens = specials;
  const close = (): Passage[] => {
    const [first] = sentences;
    const together = sentences;
    sentences = [];
    tokens = specials;
    if (first === undefined || !isMine(first.index) || done.has(first.index)) return [];
    const passage = prepare(tokenizer, together);
    if (passage.row.ids.length <= most) return [passage];
    skip(first.name, `line ${first.sentence.line}: the passage has ${passage.row.ids.length} tokens; ${most} fit`);
    return [];
  };
  // Each sentence is told of once, by the pass over relations.
  for await (const numbered of treebankOf(sources, limit, () => undefined)) {
    const size = tokenizer.encodeContent(numbered.sentence.text).ids.length;
    if (numbered.newDocument || tokens + size > most) yield* close();
    if (specials + size > most) continue;
    sentences.push(numbered);
    tokens += size;
  }
  yield* close();
}

function prepare(tokenizer: Traceable['tokenizer'], sentences: readonly NumberedSentence[]): Passage {
  let text = '';
  const words: { range: { start: number; end: number }; clusters: Set<string> }[] = [];
  for (const { sentence, entityFields } of sentences) {
    if (text !== '') text += ' ';
    const begin = text.length;
    const first = words.length;
    for (const { range } of sentence.words)
      words.push({ range: { start: begin + range.start, end: begin + range.end }, clusters: new Set() });
    for (const { head, cluster } of mentionsOf(sentence, entityFields)) words[first + head]?.clusters.add(cluster);
    text += sentence.text;
  }
  const { ids, segments, ranges } = tokenizer.encode(text);
  const pieces = piecesOf(ranges, words);
  const [first] = sentences as [NumberedSentence];
  return {
    first: first.index,
    source: first.source,
    row: { ids, segments },
    mentions: words.flatMap(({ clusters }, index) => {
      const own = pieces[index] as number[];
      return clusters.size === 0 || own.length === 0 ? [] : [{ pieces: own, clusters }];
    }),
  };
}

const corefers = (a: MentionWord, b: MentionWord): boolean =>
  [...a.clusters].some((cluster) => b.clusters.has(cluster));

function countPassage({ item: { mentions }, blocks }: Patterned<Passage>, { heads }: PatternShape, found: Found): void {
  const asked = mentions.flatMap((mention, place) => {
    const right = mentions.slice(0, place).map((earlier) => corefers(earlier, mention));
    return right.includes(true) ? [{ mention, right }] : [];
  });
  for (const { right } of asked) {
    found.n += 1;
    found.nearest += Number(right.at(-1));
  }
  for (const { layer, pattern } of blocks)
    for (let head = 0; head < pattern.heads; head++) {
      const index = layer * heads + head;
      for (const { mention, right } of asked) {
        let most = -1;
        let answer = 0;
        for (let place = 0; place < right.length; place++) {
          const weight = wordWeight(pattern, head, mention.pieces, (mentions[place] as MentionWord).pieces);
          if (weight > most) [most, answer] = [weight, place];
        }
        if (right[answer] === true) found.right[index] = (found.right[index] as number) + 1;
      }
    }
}
