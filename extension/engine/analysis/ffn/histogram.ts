/**
 * A histogram of numbers whose range is not known before. Its bins are [i·w, (i+1)·w) with w a power of two, the least for which so many
 * bins are enough: it depends on the numbers alone, not on their order, and histograms of parts add up to that of the whole.
 */

export interface Histogram {
  /** w = 2^exponent. */
  exponent: number;
  /** i of the first bin. */
  first: number;
  counts: Float64Array;
}

const MOST_BINS = 64;
/** Finer ones would tell of rounding. */
const LEAST_EXPONENT = -16;

export const newHistogram = (): Histogram => ({ exponent: LEAST_EXPONENT, first: 0, counts: new Float64Array(0) });

/** `value` must be finite. */
export function addTo(histogram: Histogram, value: number, times = 1): void {
  let bin = Math.floor(value * 2 ** -histogram.exponent);
  while (spanWith(histogram, bin, bin) > MOST_BINS) {
    coarsen(histogram);
    bin = Math.floor(bin / 2);
  }
  widen(histogram, bin, bin);
  const at = bin - histogram.first;
  histogram.counts[at] = (histogram.counts[at] as number) + times;
}

/** What another one counted, too. */
export function addHistogram(histogram: Histogram, more: Readonly<Histogram>): void {
  const other = { ...more, counts: more.counts.slice() };
  if (other.counts.length === 0) return;
  while (other.exponent < histogram.exponent) coarsen(other);
  while (histogram.exponent < other.exponent) coarsen(histogram);
  const lastOf = (): number => other.first + other.counts.length - 1;
  while (spanWith(histogram, other.first, lastOf()) > MOST_BINS) {
    coarsen(histogram);
    coarsen(other);
  }
  widen(histogram, other.first, lastOf());
  other.counts.forEach((count, index) => {
    const at = other.first + index - histogram.first;
    histogram.counts[at] = (histogram.counts[at] as number) + count;
  });
}

/** Bins from the first to the last one, with those of a range in it. */
function spanWith({ first, counts }: Histogram, from: number, to: number): number {
  if (counts.length === 0) return to - from + 1;
  return Math.max(first + counts.length - 1, to) - Math.min(first, from) + 1;
}

function widen(histogram: Histogram, from: number, to: number): void {
  const { first, counts } = histogram;
  if (counts.length > 0 && from >= first && to < first + counts.length) return;
  const begin = counts.length === 0 ? from : Math.min(first, from);
  const wider = new Float64Array(spanWith(histogram, from, to));
  if (counts.length > 0) wider.set(counts, first - begin);
  histogram.first = begin;
  histogram.counts = wider;
}

/** Two bins as one. */
function coarsen(histogram: Histogram): void {
  const { first, counts } = histogram;
  histogram.exponent++;
  if (counts.length === 0) return;
  histogram.first = Math.floor(first / 2);
  const last = Math.floor((first + counts.length - 1) / 2);
  const coarser = new Float64Array(last - histogram.first + 1);
  counts.forEach((count, index) => {
    const at = Math.floor((first + index) / 2) - histogram.first;
    coarser[at] = (coarser[at] as number) + count;
  });
  histogram.counts = coarser;
}
