/**
 * How likely each token of a text is in its context. Masked models: pseudo-log-likelihood, every piece masked alone
 * (Salazar et al. 2020). Causal models: log-likelihood, from left to right.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ScoreColumns, ScoreParams, ScoreResult, TextRange } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import { count, counted } from '../../protocol/format';
import type { LanguageModel, RunContext } from '../session/languageModel';
import type { LensTokenizer } from '../text/tokenizer';
import type { Distribution } from './distribution';
import { requireLanguageModel } from './fillMask';
import { batches, runBatch, throwIfCancelled, type Question } from './forward';
import { startTokens } from './leftToRight';
import { requireMask } from './masking';
import { chooseWindow } from './window';

/** A masked model needs a row for each token, so that more than this takes hours. */
const MOST_MASKED_TOKENS = 20_000;
const MOST_CAUSAL_TOKENS = 1_000_000;
/** A token has at least a character nearly always; more text than this is not even cut into tokens. */
const CHARACTERS_PER_TOKEN = 16;
/** Logits of one run: 2²⁷ float32 are half a gigabyte. */
const MOST_LOGITS = 2 ** 27;

/** Tokens [begin, end) go in, of which [from, to) are scored. */
export interface ScoreWindow {
  begin: number;
  end: number;
  from: number;
  to: number;
}

/**
 * Windows of at most `size` tokens over the tokens [0, length) that score [from, to), each once. A scored token has at
 * least a quarter of the window as context on its left and, with `bothSides`, on its right, where there is as much text.
 */
export function scoreWindows(
  length: number,
  from: number,
  to: number,
  size: number,
  bothSides: boolean,
): ScoreWindow[] {
  const margin = Math.floor(size / 4);
  const windows: ScoreWindow[] = [];
  for (let next = from; next < to;) {
    const begin = Math.max(0, Math.min(next - margin, length - size));
    const end = Math.min(length, begin + size);
    const stop = Math.min(to, end < length && bothSides ? end - margin : end);
    windows.push({ begin, end, from: next, to: stop });
    next = stop;
  }
  return windows;
}

/** The text's tokens without specials, and which of them are to be scored. */
interface Tokens {
  ids: Int32Array;
  tokens: string[];
  ranges: TextRange[];
  from: number;
  to: number;
}

function tokensOf(
  params: Omit<ScoreParams, 'model'>,
  tokenizer: LensTokenizer,
  maxTokens: number,
  most: number,
): Tokens {
  const wanted = params.range ?? { start: 0, end: params.text.length };
  if (wanted.start < 0 || wanted.end > params.text.length || wanted.start > wanted.end)
    throw new LensError('bad-input', `The range ${wanted.start}–${wanted.end} is not inside the text.`);
  const tooLong = (what: string): LensError =>
    new LensError(
      'bad-input',
      `The text to be scored has ${what}; at most ${counted(most, 'token')} are scored at once.`,
      'Select a part of it.',
    );
  if (wanted.end - wanted.start > most * CHARACTERS_PER_TOKEN)
    throw tooLong(counted(wanted.end - wanted.start, 'character'));
  // Of a long text only what can be context is cut into tokens: as much as a model takes, on each side.
  const reach = 2 * (wanted.end - wanted.start) + 2 * maxTokens;
  const { range, text } =
    params.range === undefined
      ? { range: wanted, text: params.text }
      : chooseWindow(params.text, wanted, tokenizer, { maxTokens: reach });
  const encoding = tokenizer.encodeContent(text);
  const ranges = encoding.ranges.map((token) => ({
    start: range.start + (token?.start ?? 0),
    end: range.start + (token?.end ?? 0),
  }));
  const inside = ({ start }: TextRange): boolean => start >= wanted.start && start < wanted.end;
  const from = ranges.findIndex(inside);
  const to = ranges.findLastIndex(inside) + 1;
  if (from < 0)
    throw new LensError(
      'bad-input',
      'There is no token to score: the text is empty or only white space.',
      'Select some text.',
    );
  if (to - from > most) throw tooLong(counted(to - from, 'token'));
  return { ids: encoding.ids, tokens: encoding.tokens, ranges, from, to };
}

/** A run's rows, and which tokens they score: one a distribution. */
interface Job {
  questions: Question[];
  scored: number[];
}

export async function score(
  model: LanguageModel,
  params: Omit<ScoreParams, 'model'>,
  { signal, progress }: RunContext,
): Promise<ScoreResult> {
  const started = performance.now();
  const { info, tokenizer } = model;
  const masked = requireLanguageModel(info) === 'masked';
  const all = tokensOf(params, tokenizer, info.maxTokens, masked ? MOST_MASKED_TOKENS : MOST_CAUSAL_TOKENS);
  const specials = tokenizer.wrap(new Int32Array(0));
  const size = Math.max(1, info.maxTokens - specials.ids.length);
  const causalSize = Math.min(size, Math.max(16, Math.floor(MOST_LOGITS / (info.vocabSize ?? tokenizer.vocabSize))));
  // The first token of a text has nothing on its left to be predicted from, unless the tokenizer puts a start before it.
  const skippedFirst = !masked && startTokens(tokenizer) === 0 && all.from === 0;
  const from = skippedFirst ? 1 : all.from;
  if (from >= all.to)
    throw new LensError(
      'bad-input',
      'The text is a single token, which a left-to-right model without a start token cannot score.',
      'Select more text.',
    );
  const windows = scoreWindows(all.ids.length, from, all.to, masked ? size : causalSize, masked);
  const jobs = masked ? maskedJobs(all, windows, tokenizer) : causalJobs(all, windows, tokenizer);

  const columns = newColumns(all.to - from);
  let done = 0;
  const expected = windows.reduce((sum, window) => sum + window.to - window.from, 0);
  for (const { questions, scored } of jobs) {
    throwIfCancelled(signal);
    const first = columns.tokens.length;
    const distributions = (await runBatch(model, questions)).flat();
    scored.forEach((index, place) => addToken(columns, all, index, distributions[place] as Distribution));
    done += scored.length;
    progress({
      message: `${count(done)} of ${counted(expected, 'token')}`,
      fraction: done / expected,
      partial: part(columns, first, columns.tokens.length),
    });
    await nextTurn();
  }
  throwIfCancelled(signal);
  const result = part(columns, 0, columns.tokens.length);
  const total = result.logprobs.reduce((sum, logprob) => sum + logprob, 0);
  return {
    ...result,
    model: info.id,
    kind: masked ? 'pseudo-log-likelihood' : 'log-likelihood',
    total,
    perplexity: Math.exp(-total / result.tokens.length),
    windows: windows.length,
    skippedFirst,
    elapsed: performance.now() - started,
  };
}

function* maskedJobs(all: Tokens, windows: readonly ScoreWindow[], tokenizer: LensTokenizer): Generator<Job> {
  const mask = requireMask(tokenizer);
  for (const window of windows) {
    const { ids, offset } = tokenizer.wrap(all.ids.subarray(window.begin, window.end));
    const scored: number[] = [];
    // A mask that stands in the text hides what is there.
    for (let index = window.from; index < window.to; index++) if (all.ids[index] !== mask.id) scored.push(index);
    const rowOf = (index: number): Question => {
      const position = index - window.begin + offset;
      const row = ids.slice();
      row[position] = mask.id;
      return { ids: row, positions: [position] };
    };
    // Rows of one window are equally long; only one batch of them exists at a time.
    const perRun = batches(scored.map(() => ({ ids, positions: [] })))[0]?.length ?? 1;
    for (let first = 0; first < scored.length; first += perRun) {
      const batch = scored.slice(first, first + perRun);
      yield { questions: batch.map(rowOf), scored: batch };
    }
  }
}

function* causalJobs(all: Tokens, windows: readonly ScoreWindow[], tokenizer: LensTokenizer): Generator<Job> {
  for (const { begin, end, from, to } of windows) {
    const { ids, offset } = tokenizer.wrap(all.ids.subarray(begin, end));
    const scored = Array.from({ length: to - from }, (_, index) => from + index);
    yield { questions: [{ ids, positions: scored.map((index) => index - begin + offset - 1) }], scored };
  }
}

function newColumns(length: number): ScoreColumns {
  return {
    tokens: [],
    ids: new Int32Array(length),
    starts: new Uint32Array(length),
    ends: new Uint32Array(length),
    logprobs: new Float64Array(length),
    ranks: new Uint32Array(length),
  };
}

function addToken(columns: ScoreColumns, all: Tokens, index: number, distribution: Distribution): void {
  const row = columns.tokens.length;
  const id = all.ids[index] as number;
  const range = all.ranges[index] as TextRange;
  columns.tokens.push(all.tokens[index] ?? '');
  columns.ids[row] = id;
  columns.starts[row] = range.start;
  columns.ends[row] = range.end;
  columns.logprobs[row] = distribution.logprob(id);
  columns.ranks[row] = distribution.rank(id);
}

/** A copy, so that what was sent does not change afterwards. */
function part(columns: ScoreColumns, from: number, to: number): ScoreColumns {
  return {
    tokens: columns.tokens.slice(from, to),
    ids: columns.ids.slice(from, to),
    starts: columns.starts.slice(from, to),
    ends: columns.ends.slice(from, to),
    logprobs: columns.logprobs.slice(from, to),
    ranks: columns.ranks.slice(from, to),
  };
}
