/**
 * The likeliest fill of several masks together: a beam search over the order of filling, ranked in the end by the
 * pseudo-log-likelihood of the filled tokens (Salazar et al. 2020), `Σ log P(w_i | all the rest)`.
 */
import type { LanguageModel } from '../session/languageModel';
import type { Distribution } from './distribution';
import { askAll } from './forward';
import { fillFilter } from './predictions';

export interface SpanFill {
  /** One a mask. */
  ids: number[];
  logprob: number;
  logprobs: number[];
  independent: boolean;
}

/** One entry a mask; null where the mask is still there. */
type Partial = readonly (number | null)[];

interface State {
  fill: Partial;
  /** Sum of the log-probabilities with which its tokens were chosen, in the order of choosing. */
  score: number;
}

/** The masks of one input row, and all that the model has already said about it. */
export class MaskedSpan {
  /** Rows with one mask left are wanted twice, by the search and by the score, so they are kept. */
  private readonly last = new Map<string, Distribution>();

  constructor(
    private readonly model: LanguageModel,
    /** Masks in place. */
    private readonly row: Int32Array,
    readonly masks: readonly number[],
    private readonly signal: AbortSignal,
  ) {}

  /** For each fill, the distributions at its open masks. No row is run twice. */
  async ask(fills: readonly Partial[]): Promise<Distribution[][]> {
    const unknown = fills.filter((fill) => !this.last.has(keyOf(fill)));
    const answers = await askAll(
      this.model,
      unknown.map((fill) => ({ ids: this.fillRow(fill), positions: this.open(fill).map(({ position }) => position) })),
      this.signal,
    );
    const fresh = new Map<string, Distribution[]>();
    unknown.forEach((fill, index) => {
      const distributions = answers[index] as Distribution[];
      const [only] = distributions;
      if (distributions.length === 1 && only !== undefined) this.last.set(keyOf(fill), only);
      else fresh.set(keyOf(fill), distributions);
    });
    return fills.map((fill) => {
      const known = this.last.get(keyOf(fill));
      return known === undefined ? (fresh.get(keyOf(fill)) as Distribution[]) : [known];
    });
  }

  open(fill: Partial): { mask: number; position: number }[] {
    return this.masks.map((position, mask) => ({ mask, position })).filter(({ mask }) => fill[mask] === null);
  }

  /** Every token of every fill masked alone. */
  async score(fills: readonly (readonly number[])[]): Promise<{ logprob: number; logprobs: number[] }[]> {
    const holes = fills.flatMap((ids) => ids.map((_, mask) => ids.map((id, other) => (other === mask ? null : id))));
    // The same hole can belong to several fills.
    const distinct = [...new Map(holes.map((hole) => [keyOf(hole), hole])).values()];
    await this.ask(distinct);
    return fills.map((ids) => {
      const logprobs = ids.map((id, mask) => {
        const hole = ids.map((other, index) => (index === mask ? null : other));
        return (this.last.get(keyOf(hole)) as Distribution).logprob(id);
      });
      return { logprob: sum(logprobs), logprobs };
    });
  }

  private fillRow(fill: Partial): Int32Array {
    const row = this.row.slice();
    this.masks.forEach((position, mask) => {
      const id = fill[mask];
      if (id != null) row[position] = id;
    });
    return row;
  }
}

const keyOf = (fill: Partial): string => fill.join(',');
const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/**
 * Best first. The fill that takes each mask's own best token is always among them, so that the first is never less likely.
 * With three masks and a beam of 5 about 20 rows are run, in 4 runs when they are short.
 */
export async function fillTogether(span: MaskedSpan, model: LanguageModel, beam: number): Promise<SpanFill[]> {
  const accept = fillFilter(model.tokenizer);
  const empty: Partial = span.masks.map(() => null);
  const [marginals] = (await span.ask([empty])) as [Distribution[]];
  const independent = marginals.map((distribution) => distribution.top(1, accept)[0] as number);

  let states: State[] = expand([{ fill: empty, score: 0 }], [marginals], span, beam, accept);
  for (let step = 1; step < span.masks.length; step++) {
    const answers = await span.ask(states.map(({ fill }) => fill));
    states = expand(states, answers, span, beam, accept);
  }

  const fills = new Map<string, number[]>([[keyOf(independent), independent]]);
  for (const { fill } of states) fills.set(keyOf(fill), fill as number[]);
  const distinct = [...fills.values()];
  const scores = await span.score(distinct);
  return distinct
    .map((ids, index): SpanFill => {
      const { logprob, logprobs } = scores[index] as { logprob: number; logprobs: number[] };
      return { ids, logprob, logprobs, independent: keyOf(ids) === keyOf(independent) };
    })
    .sort((a, b) => b.logprob - a.logprob);
}

/** One more token each, at any open mask; different orders that lead to the same fill are one state. */
function expand(
  states: readonly State[],
  answers: readonly Distribution[][],
  span: MaskedSpan,
  beam: number,
  accept: (id: number) => boolean,
): State[] {
  const next = new Map<string, State>();
  states.forEach(({ fill, score }, index) => {
    span.open(fill).forEach(({ mask }, place) => {
      const distribution = answers[index]?.[place] as Distribution;
      for (const id of distribution.top(beam, accept)) {
        const state = { fill: fill.with(mask, id), score: score + distribution.logprob(id) };
        const known = next.get(keyOf(state.fill));
        if (known === undefined || known.score < state.score) next.set(keyOf(state.fill), state);
      }
    });
  });
  return [...next.values()].sort((a, b) => b.score - a.score).slice(0, beam);
}

/** The same for a causal model, from left to right: `Σ log P(w_i | all to its left)`. `row` ends with the last hole. */
export async function fillLeftToRight(
  model: LanguageModel,
  row: Int32Array,
  holes: readonly number[],
  beam: number,
  signal: AbortSignal,
): Promise<SpanFill[]> {
  const accept = fillFilter(model.tokenizer);
  const extend = async (fills: readonly SpanFill[], hole: number, width: number): Promise<SpanFill[]> => {
    const position = holes[hole] as number;
    const answers = await askAll(
      model,
      fills.map(({ ids }) => ({ ids: fillPrefix(row, holes, ids, position), positions: [position - 1] })),
      signal,
    );
    return fills.flatMap((fill, index) => {
      const distribution = answers[index]?.[0] as Distribution;
      return distribution.top(width, accept).map((id) => ({
        ids: [...fill.ids, id],
        logprob: fill.logprob + distribution.logprob(id),
        logprobs: [...fill.logprobs, distribution.logprob(id)],
        independent: false,
      }));
    });
  };
  const start: SpanFill = { ids: [], logprob: 0, logprobs: [], independent: false };
  let fills = [start];
  let greedy = start;
  for (let hole = 0; hole < holes.length; hole++) {
    // The greedy fill rides along, so that the first is never less likely than it.
    const key = greedy.ids.join();
    const kept = fills.some(({ ids }) => ids.join() === key) ? fills : [...fills, greedy];
    const next = await extend(kept, hole, beam);
    greedy = next.find(({ ids }) => ids.slice(0, -1).join() === key) as SpanFill;
    fills = next.sort((a, b) => b.logprob - a.logprob).slice(0, beam);
  }
  const greedyKey = greedy.ids.join();
  const all = fills.some(({ ids }) => ids.join() === greedyKey) ? fills : [...fills, greedy];
  return all.map((fill) => ({ ...fill, independent: fill.ids.join() === greedyKey }));
}

/** The row up to `end`, with the first holes filled. */
export function fillPrefix(row: Int32Array, holes: readonly number[], ids: readonly number[], end: number): Int32Array {
  const prefix = row.slice(0, end);
  ids.forEach((id, index) => {
    prefix[holes[index] as number] = id;
  });
  return prefix;
}
