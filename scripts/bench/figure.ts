/** One measured figure, how it is shown, and how it goes into the file of `--json`. */
import { performance } from 'node:perf_hooks';

export interface Figure {
  name: string;
  /** Null: not measured on this machine. */
  value: number | null;
  unit: string;
  /** What it is compared with, in the same unit: mostly the bare runtime; null where there is nothing to compare with. */
  baseline: number | null;
  ratio: number | null;
  goal: string;
  /** Null: not measured. */
  ok: boolean | null;
}

/** Shows the figure on standard error and keeps it in `figures`. */
export function reporter(figures: Figure[]): (figure: Figure) => void {
  return (figure) => {
    figures.push(figure);
    const { name, value, unit, baseline, ratio, goal, ok } = figure;
    const mark = ok === null ? '–' : ok ? '✓' : '✗';
    const measured = value === null ? 'not measured' : `${value.toFixed(1)} ${unit}`;
    const compared = ratio === null ? '' : `   ×${ratio.toFixed(2)} of ${baseline?.toFixed(1)} ${unit}`;
    process.stderr.write(`${mark} ${name.padEnd(64)} ${measured}${compared}   goal ${goal}\n`);
  };
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? NaN;
}

export const median = (values: readonly number[]): number => quantile(values, 0.5);

export async function timed(action: () => PromiseLike<unknown>): Promise<number> {
  const start = performance.now();
  await action();
  return performance.now() - start;
}
