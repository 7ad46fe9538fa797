/** Occurrences into senses: k-means on directions, seeded, the best of several starts. */
import { randomBelow, seededRandom } from '../random';
import { dot, rowAt, rowCount, unit, type Rows } from './maths';

const STARTS = 10;
const MOST_STEPS = 100;
/** Rows that the silhouette is taken over; all when there are no more. */
const SILHOUETTE_ROWS = 1_000;

export interface Clustering {
  /** Of each row, from 0, the largest cluster first. */
  labels: Int32Array;
  clusters: number;
  /** Mean silhouette with the distance 1 − cosine: how much nearer rows are to their own cluster than to the next, −1…1. */
  silhouette: number;
}

/** `count`: so many clusters; or as many, up to `most`, as have the best silhouette. */
export function clusterRows(rows: Rows, count: number | { most: number }, seed: number): Clustering {
  const n = rowCount(rows);
  const units = Array.from({ length: n }, (_, row) => unit(rowAt(rows, row)));
  const counts =
    typeof count === 'number' ? [count] : Array.from({ length: Math.max(0, count.most - 1) }, (_, at) => at + 2);
  const tried = counts.filter((each) => each <= n).map((each) => kMeans(units, each, seed));
  const [first, ...others] = tried;
  if (first === undefined) return { labels: new Int32Array(n), clusters: Math.min(1, n), silhouette: NaN };
  return others.reduce((best, each) => (each.silhouette > best.silhouette ? each : best), first);
}

function kMeans(units: readonly Float64Array[], count: number, seed: number): Clustering {
  const random = seededRandom(seed);
  const starts = Array.from({ length: STARTS }, () => oneStart(units, count, random));
  const best = starts.reduce((least, each) => (each.spread < least.spread ? each : least));
  const labels = bySize(best.labels, count);
  return { labels, clusters: new Set(labels).size, silhouette: silhouette(units, labels, random) };
}

function oneStart(
  units: readonly Float64Array[],
  count: number,
  random: () => number,
): { labels: Int32Array; spread: number } {
  let centres = firstCentres(units, count, random);
  const labels = new Int32Array(units.length).fill(-1);
  let spread = 0;
  for (let step = 0; step < MOST_STEPS; step++) {
    let moved = false;
    spread = 0;
    for (const [row, vector] of units.entries()) {
      let [nearest, most] = [0, -Infinity];
      centres.forEach((centre, cluster) => {
        const likeness = dot(vector, centre);
        if (likeness > most) [nearest, most] = [cluster, likeness];
      });
      spread += 1 - most;
      if (labels[row] === nearest) continue;
      labels[row] = nearest;
      moved = true;
    }
    if (!moved) break;
    centres = centres.map((centre, cluster) => {
      const sum = new Float64Array(centre.length);
      units.forEach((vector, row) => {
        if (labels[row] === cluster)
          for (let at = 0; at < sum.length; at++) sum[at] = (sum[at] as number) + (vector[at] as number);
      });
      return sum.some((value) => value !== 0) ? unit(sum) : centre;
    });
  }
  return { labels, spread };
}

/** k-means++ (Arthur & Vassilvitskii 2007): each further centre likelier the farther it is from those chosen. */
function firstCentres(units: readonly Float64Array[], count: number, random: () => number): Float64Array[] {
  const centres = [units[randomBelow(random, units.length)] as Float64Array];
  const far = units.map(() => Infinity);
  while (centres.length < count) {
    units.forEach((vector, row) => {
      far[row] = Math.min(far[row] as number, Math.max(0, 1 - dot(vector, centres.at(-1) as Float64Array)));
    });
    let rest = random() * far.reduce((sum, value) => sum + value, 0);
    const next = far.findIndex((value) => (rest -= value) <= 0);
    centres.push(units[Math.max(0, next)] as Float64Array);
  }
  return centres;
}

function bySize(labels: Int32Array, count: number): Int32Array {
  const sizes = Array.from({ length: count }, (_, cluster) => labels.filter((label) => label === cluster).length);
  const order = [...sizes.keys()].sort((a, b) => (sizes[b] as number) - (sizes[a] as number) || a - b);
  return labels.map((label) => order.indexOf(label));
}

/** Rousseeuw 1987. A cluster of one row counts 0. */
export function silhouette(units: readonly Float64Array[], labels: Int32Array, random: () => number): number {
  const rows = [...units.keys()];
  const chosen =
    rows.length <= SILHOUETTE_ROWS
      ? rows
      : Array.from({ length: SILHOUETTE_ROWS }, () => randomBelow(random, rows.length));
  const clusters = Math.max(...labels) + 1;
  let total = 0;
  for (const row of chosen) {
    const sums = new Float64Array(clusters);
    const counts = new Float64Array(clusters);
    for (const other of chosen) {
      if (other === row) continue;
      const label = labels[other] as number;
      sums[label] = (sums[label] as number) + 1 - dot(units[row] as Float64Array, units[other] as Float64Array);
      counts[label] = (counts[label] as number) + 1;
    }
    const own = labels[row] as number;
    if (counts[own] === 0) continue;
    const inside = (sums[own] as number) / (counts[own] as number);
    let nearest = Infinity;
    for (let cluster = 0; cluster < clusters; cluster++)
      if (cluster !== own && (counts[cluster] as number) > 0)
        nearest = Math.min(nearest, (sums[cluster] as number) / (counts[cluster] as number));
    // Equal vectors everywhere (the static row) are near nothing in particular.
    const larger = Math.max(inside, nearest);
    if (Number.isFinite(nearest) && larger > 1e-12) total += (nearest - inside) / larger;
  }
  return total / chosen.length;
}
