/** Intervals and tests for shares and means. Random numbers are the caller's, so that a result can be made again. */
import { atOnce, type Steps } from './steps';

export interface Interval {
  low: number;
  high: number;
}

/** Two-sided level of the intervals. */
const LEVEL = 0.95;
export const RESAMPLES = 1000;

/** With linear interpolation between neighbours, as numpy's default. `sorted` ascending and not empty. */
export function percentile(sorted: readonly number[], share: number): number {
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  const low = sorted[below] as number;
  const high = sorted[Math.min(below + 1, sorted.length - 1)] as number;
  return low + (high - low) * (place - below);
}

/**
 * Percentile bootstrap of the mean over groups of their means (one group: the plain mean), for several measures of the same items:
 * `groups[g][m]` holds measure m of the items of group g. Items are drawn again within their group.
 */
export function* bootstrapSteps(
  groups: readonly (readonly Float64Array[])[],
  random: () => number,
  resamples = RESAMPLES,
): Steps<Interval[]> {
  const filled = groups.filter(([first]) => first !== undefined && first.length > 0);
  const measures = filled[0]?.length ?? 0;
  const draws = Array.from({ length: measures }, () => new Float64Array(resamples));
  const sums = new Float64Array(measures);
  for (let draw = 0; draw < resamples; draw++) {
    for (const columns of filled) {
      const size = (columns[0] as Float64Array).length;
      sums.fill(0);
      for (let item = 0; item < size; item++) {
        const chosen = Math.floor(random() * size);
        for (let measure = 0; measure < measures; measure++)
          sums[measure] = (sums[measure] as number) + ((columns[measure] as Float64Array)[chosen] as number);
      }
      draws.forEach((means, measure) => {
        means[draw] = (means[draw] as number) + (sums[measure] as number) / size / filled.length;
      });
    }
    yield;
  }
  return draws.map((means) => {
    const sorted = [...means.sort()];
    return { low: percentile(sorted, (1 - LEVEL) / 2), high: percentile(sorted, (1 + LEVEL) / 2) };
  });
}

export const bootstrapMeans = (...parameters: Parameters<typeof bootstrapSteps>): Interval[] =>
  atOnce(bootstrapSteps(...parameters));

/** Exact McNemar test: two-sided probability of so uneven a split of the facts on which two runs differ. */
export function mcnemar(gained: number, lost: number): number {
  const n = gained + lost;
  const fewer = Math.min(gained, lost);
  if (gained === lost) return 1;
  let logTerm = n * Math.log(0.5);
  let sum = Math.exp(logTerm);
  for (let count = 1; count <= fewer; count++) {
    logTerm += Math.log((n - count + 1) / count);
    sum += Math.exp(logTerm);
  }
  return Math.min(1, 2 * sum);
}
