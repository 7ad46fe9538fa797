/** Tokens with log-probabilities at places in a document, kept in place while the document is edited. Pure. */
import type { ScoreColumns, TextRange } from '../protocol/engine';
import { hull, shifted } from './context';

export interface ScoredToken {
  token: string;
  /** Document offsets. */
  range: TextRange;
  /** Natural. */
  logprob: number;
  /** From 1. */
  rank: number;
}

function unpack({ tokens, starts, ends, logprobs, ranks }: ScoreColumns, offset: number): ScoredToken[] {
  return tokens.map((token, index) => ({
    token,
    range: { start: offset + (starts[index] ?? 0), end: offset + (ends[index] ?? 0) },
    logprob: logprobs[index] ?? Number.NaN,
    rank: ranks[index] ?? 0,
  }));
}

export class ScoredText {
  private final: ScoredToken[] = [];
  /** Of the piece that is being scored; its final columns take their place. */
  private early = new Map<number, ScoredToken>();
  private sum = 0;
  private scored = 0;
  private edited = false;

  /** Part of a piece, as it comes; `offset` is where the piece begins in the document. */
  addEarly(columns: ScoreColumns, offset: number): void {
    for (const token of unpack(columns, offset)) this.early.set(token.range.start, token);
  }

  /** A whole piece. */
  add(columns: ScoreColumns, offset: number): void {
    this.early.clear();
    this.final.push(...unpack(columns, offset));
    this.scored += columns.logprobs.length;
    for (const logprob of columns.logprobs) this.sum += logprob;
  }

  /** Tokens of finished pieces; edits do not take any away. */
  get count(): number {
    return this.scored;
  }

  /** Sum of the log-probabilities of finished pieces, in nats. */
  get total(): number {
    return this.sum;
  }

  /** exp(−total / count) */
  get perplexity(): number {
    return Math.exp(-this.sum / this.scored);
  }

  /** The text was changed after it was scored: the sums belong to the text as it was. */
  get changed(): boolean {
    return this.edited;
  }

  get tokens(): readonly ScoredToken[] {
    return this.early.size === 0 ? this.final : [...this.final, ...this.early.values()];
  }

  at(offset: number): ScoredToken | undefined {
    return this.tokens.find(({ range }) => range.start <= offset && offset < range.end);
  }

  /** Moves what stands behind the edit, and forgets the tokens that it touched. */
  onEdit(edit: { offset: number; length: number; inserted: number }): void {
    const { tokens } = this;
    if (tokens.length === 0) return;
    const all = hull(tokens.map(({ range }) => range));
    const editEnd = edit.offset + edit.length;
    if (edit.offset < all.end && editEnd > all.start) this.edited = true;
    this.final = tokens
      .filter(({ range }) => edit.offset >= range.end || editEnd <= range.start)
      .map((token) => ({ ...token, range: shifted(token.range, edit) }));
    this.early.clear();
  }
}
