/**
 * Sentences of a corpus as rows of tokens, for work that can be divided, stopped and gone on with: those of a shard, from a place on, and
 * which of them are done. However large the corpus is, no more is remembered than one number.
 */
import type { CorpusSource } from '../../../protocol/attention';
import type { Progress } from '../../../protocol/engine';
import { LensError } from '../../../protocol/errors';
import type { DoneShard } from '../../../protocol/ffn';
import { count, counted, percent } from '../../../protocol/format';
import type { Internals } from '../../session/internals';
import type { RunContext } from '../../session/languageModel';
import { PROGRESS_MS } from '../attention/corpus';
import { fieldsOf, listOf, SkipList, unfit, wholeNumber } from '../attention/headState';
import { textRow, type TextRow } from '../embeddings/texts';
import { throwIfCancelled } from '../forward';
import type { TracedRun } from '../runs';
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

/** What every scan keeps of itself in its state. */
export interface ScanState {
  done: DoneShard[];
  sentences: number;
  /** That were looked at. */
  tokens: number;
  skipped: { name: string; why: string }[];
}

const WHOLE = { index: 0, of: 1 };
/** Sentences that are passed over before a cancel is looked for. */
const HEARING = 256;
/** Shards that are named in a message. */
const MOST_MISSING = 10;

/** Adds what is found to `state`, which may hold what was done before, of this shard or of others. */
export class SentenceScan<S extends ScanState> {
  private readonly skipped: SkipList;
  private readonly done: readonly DoneShard[];
  private counted = 0;
  private handedOut = 0;
  private finished = 0;
  private readonly from: number;
  private readonly shard: { index: number; of: number };

  /** Throws `bad-input` for a shard that overlaps with others. */
  constructor(
    private readonly model: Pick<Internals, 'tokenizer' | 'info'>,
    private readonly params: ScanParams,
    private readonly state: S,
  ) {
    this.shard = params.shard ?? WHOLE;
    this.done = state.done;
    this.skipped = new SkipList(state.skipped);
    const own = this.done.find((each) => isSame(each, this.shard));
    this.from = own?.next ?? 0;
    if (own === undefined && this.done.some((each) => overlaps(each, this.shard)))
      throw unfit('some of its sentences belong to this shard too');
  }

  /** Those that are wanted. A cancel is heard. */
  async *rows(signal: AbortSignal): AsyncGenerator<ScannedSentence> {
    const { sources, limit = Infinity } = this.params;
    for await (const sentence of corpusSentences(sources, (name, why) => this.skipped.add(name, why))) {
      const { index } = sentence;
      if (index % HEARING === 0) throwIfCancelled(signal);
      if (index >= limit) return;
      this.counted = index + 1;
      if (index < this.from || index % this.shard.of !== this.shard.index) continue;
      const row = this.tokensOf(sentence);
      if (row === null) continue;
      const content = row.tokens.flatMap(({ special, range }, token) => (special || range === null ? [] : [token]));
      if (content.length === 0) continue;
      this.handedOut++;
      yield { ...row, sentence, content };
    }
  }

  /** Null, and told, when there is no token in it. */
  private tokensOf({ text, source, lines }: CorpusSentence): TextRow | null {
    try {
      return textRow(this.model, text);
    } catch (thrown) {
      const error = LensError.from(thrown);
      if (error.code === 'internal') throw thrown;
      this.skipped.add(this.params.sources[source]?.name ?? '', `line ${lines[0]?.line}: ${error.message}`);
      return null;
    }
  }

  /**
   * Adds run after run. Now and then how far it is is told, with the state as far as `partial` shows it where that can be gone on from.
   * Throws `bad-input` for a corpus without a sentence.
   */
  async addAll<T extends ScannedSentence>(
    runs: AsyncIterable<TracedRun<T>>,
    add: (run: TracedRun<T>) => Promise<void> | void,
    progress: RunContext['progress'],
    partial: (state: S) => Partial<Progress>,
  ): Promise<void> {
    const { state } = this;
    const { sources, limit } = this.params;
    let told = performance.now();
    for await (const run of runs) {
      await add(run);
      this.finished += run.items.length;
      if (performance.now() - told < PROGRESS_MS) continue;
      told = performance.now();
      const source = Math.max(...run.items.map(({ sentence }) => sentence.source));
      const message = `${counted(state.sentences, 'sentence')}, ${count(state.tokens)} tokens`;
      const fraction = limit === undefined ? source / sources.length : Math.min(1, this.counted / limit);
      // Between these, not all that was found belongs to sentences that are done.
      const whole = this.note();
      progress({ message, fraction, ...(whole ? partial(structuredClone(state)) : {}) });
    }
    this.note();
    if (this.counted === 0) throw this.nothing;
  }

  /** What is to be said of a corpus without a sentence. */
  get nothing(): LensError {
    return new LensError(
      'bad-input',
      `There is no sentence in ${counted(this.params.sources.length, 'text')}${this.skipped.first}.`,
      'Choose text files in UTF-8, or a treebank.',
    );
  }

  /** Writes into the state what is done; false while some sentences before the last one that was handed out are not. */
  private note(): boolean {
    const { shardsDone } = this;
    this.state.skipped = this.skipped.list;
    if (shardsDone === null) return false;
    this.state.done = shardsDone;
    return true;
  }

  private get shardsDone(): DoneShard[] | null {
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

/** What scans of shards of one corpus keep of themselves, put together. Throws `bad-input` for sentences that are in both. */
export function joinScans(a: ScanState, b: ScanState): ScanState {
  if (a.done.some((one) => b.done.some((other) => overlaps(one, other))))
    throw unfit('both states hold some of the same sentences, which would count twice');
  return {
    done: [...a.done, ...b.done].sort((one, other) => one.of - other.of || one.index - other.index),
    sentences: a.sentences + b.sentences,
    tokens: a.tokens + b.tokens,
    skipped: new SkipList(a.skipped, b.skipped).list,
  };
}

/** Shards that do not overlap must be the whole corpus. Throws `bad-input`. */
export function requireAllShards(done: readonly DoneShard[]): void {
  const share = done.reduce((sum, { of }) => sum + 1 / of, 0);
  // Far less than the smallest shard.
  if (share > 1 - 1e-9) return;
  const missing = missingOf(done);
  throw new LensError(
    'bad-input',
    missing === null
      ? `These shards hold only ${percent(share)} of the sentences.`
      : `These shards are not all: ${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} missing.`,
    'Name the states of all shards.',
  );
}

/** The first of those that are missing, where all are of one division. */
function missingOf(done: readonly DoneShard[]): string[] | null {
  const of = done[0]?.of ?? 1;
  if (done.some((each) => each.of !== of)) return null;
  const missing: string[] = [];
  for (let index = 0; index < of && missing.length <= MOST_MISSING; index++)
    if (!done.some((each) => each.index === index)) missing.push(`${index}/${of}`);
  return missing.length > MOST_MISSING ? [...missing.slice(0, MOST_MISSING), 'more'] : missing;
}

/** Of a saved state. Throws `bad-input`. */
export const readDone = (value: unknown): DoneShard[] =>
  listOf(value, 'done').map((each) => {
    const { index, of, next } = fieldsOf(each, 'done');
    const shard = { index: wholeNumber(index, 'index'), of: wholeNumber(of, 'of'), next: wholeNumber(next, 'next') };
    if (shard.index >= shard.of) throw unfit('it holds a shard that cannot be');
    return shard;
  });
