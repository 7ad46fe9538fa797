/**
 * Sentences of a corpus as rows of tokens, for work that can be divided, stopped and gone on with: those of a shard, from a place on, and
 * which of them are done. However large the corpus is, no more is remembered than one number.
 */
import type { CorpusSource } from '../../../protocol/attention';
import { LensError } from '../../../protocol/errors';
import type { DoneShard } from '../../../protocol/ffn';
import type { Internals } from '../../session/internals';
import { textRow, type TextRow } from '../embeddings/texts';
import { throwIfCancelled } from '../forward';
import { fieldsOf, listOf, unfit, wholeNumber } from '../attention/headState';
import { corpusSentences, type CorpusSentence } from './sentences';

export interface ScanParams {
  sources: readonly CorpusSource[];
  /** Only the first so many sentences. */
  limit?: number | undefined;
  shard?: { index: number; of: number } | undefined;
}

export interface ScannedSentence extends TextRow {
  sentence: CorpusSentence;
  /** Indices of its tokens that are not special. */
  content: number[];
}

const WHOLE = { index: 0, of: 1 };
/** Sentences that are passed over before a cancel is looked for. */
const HEARING = 256;

export class SentenceScan {
  private counted = 0;
  private handedOut = 0;
  private finished = 0;
  private readonly from: number;
  private readonly shard: { index: number; of: number };

  /** `done`: what was done before, of this shard or of others. Throws `bad-input` for a shard that overlaps with others. */
  constructor(
    private readonly model: Pick<Internals, 'tokenizer' | 'info'>,
    private readonly params: ScanParams,
    private readonly done: readonly DoneShard[],
  ) {
    this.shard = params.shard ?? WHOLE;
    const own = done.find((each) => isSame(each, this.shard));
    this.from = own?.next ?? 0;
    if (own === undefined && done.some((each) => overlaps(each, this.shard)))
      throw unfit('some of its sentences belong to this shard too');
  }

  /** Those that are wanted. A cancel is heard. */
  async *rows(skip: (name: string, why: string) => void, signal: AbortSignal): AsyncGenerator<ScannedSentence> {
    const { sources, limit = Infinity } = this.params;
    for await (const sentence of corpusSentences(sources, skip)) {
      const { index } = sentence;
      if (index % HEARING === 0) throwIfCancelled(signal);
      if (index >= limit) return;
      this.counted = index + 1;
      if (index < this.from || index % this.shard.of !== this.shard.index) continue;
      const row = this.tokensOf(sentence, skip);
      if (row === null) continue;
      const content = row.tokens.flatMap(({ special, range }, token) => (special || range === null ? [] : [token]));
      if (content.length === 0) continue;
      this.handedOut++;
      yield { ...row, sentence, content };
    }
  }

  /** Null, and told, when there is no token in it. */
  private tokensOf({ text, source, lines }: CorpusSentence, skip: (name: string, why: string) => void): TextRow | null {
    try {
      return textRow(this.model, text);
    } catch (thrown) {
      const error = LensError.from(thrown);
      if (error.code === 'internal') throw thrown;
      skip(this.params.sources[source]?.name ?? '', `line ${lines[0]?.line}: ${error.message}`);
      return null;
    }
  }

  /** So many of those that were handed out are done. */
  finish(count: number): void {
    this.finished += count;
  }

  /** Sentences of the corpus up to now, whoever works on them. */
  get seen(): number {
    return this.counted;
  }

  /** Shards with what is done of them; null while some before the last one that was handed out are not. */
  get progress(): DoneShard[] | null {
    if (this.finished < this.handedOut) return null;
    const next = Math.max(this.from, this.counted);
    return [...this.done.filter((each) => !isSame(each, this.shard)), { ...this.shard, next }];
  }
}

const isSame = (one: Pick<DoneShard, 'index' | 'of'>, other: Pick<DoneShard, 'index' | 'of'>): boolean =>
  one.index === other.index && one.of === other.of;

/** Whether some number is in both residue classes. */
function overlaps(one: Pick<DoneShard, 'index' | 'of'>, other: Pick<DoneShard, 'index' | 'of'>): boolean {
  let [a, b] = [one.of, other.of];
  while (b !== 0) [a, b] = [b, a % b];
  return (one.index - other.index) % a === 0;
}

/** Shards of one corpus put together. Throws `bad-input` for sentences that are in both. */
export function joinShards(before: readonly DoneShard[], more: readonly DoneShard[]): DoneShard[] {
  if (before.some((one) => more.some((other) => overlaps(one, other))))
    throw unfit('both states hold some of the same sentences, which would count twice');
  return [...before, ...more].sort((a, b) => a.of - b.of || a.index - b.index);
}

/** Of a saved state. Throws `bad-input`. */
export const readDone = (value: unknown): DoneShard[] =>
  listOf(value, 'done').map((each) => {
    const { index, of, next } = fieldsOf(each, 'done');
    const shard = { index: wholeNumber(index, 'index'), of: wholeNumber(of, 'of'), next: wholeNumber(next, 'next') };
    if (shard.index >= shard.of) throw unfit('it holds a shard that cannot be');
    return shard;
  });
