/** The figures that only a real VS Code window gives. Each round is a window of its own: activation happens once in one. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runHostTests } from '../rig/hostTests';
import { ensureBrowser, ensureServer, root, Unavailable } from '../rig/install';
import { median, type Figure } from './figure';
import type { WindowMeasurement } from './hostProbe';

const ROUNDS = 3;
const LIMIT_MS = 300_000;

/** Null where the machine cannot run the rig. */
async function measureWindows(): Promise<WindowMeasurement[] | null> {
  try {
    await ensureServer();
    await ensureBrowser();
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    process.stderr.write(`${error.message}\n`);
    return null;
  }
  const folder = mkdtempSync(join(tmpdir(), 'onnx-lens-bench-'));
  const file = join(folder, 'window.json');
  try {
    const measurements: WindowMeasurement[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const lines: string[] = [];
      const done = await runHostTests({
        tests: join(root, 'out', 'bench', 'hostProbe.js'),
        extension: root,
        workspace: join(root, 'samples', 'workspace'),
        env: { ONNX_LENS_BENCH_RESULT: file },
        limitMs: LIMIT_MS,
        print: (line) => lines.push(line),
      });
      if (!done) throw new Error(`The measurement in the extension host failed:\n${lines.join('\n')}`);
      measurements.push(JSON.parse(readFileSync(file, 'utf8')) as WindowMeasurement);
    }
    return measurements;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export async function windowFigures(report: (figure: Figure) => void): Promise<void> {
  const measured = await measureWindows();
  const figure = (
    name: string,
    key: keyof WindowMeasurement,
    limit: number,
    compared?: keyof WindowMeasurement,
  ): void => {
    const middle = (of: keyof WindowMeasurement | undefined): number | null => {
      const values = of === undefined || measured === null ? [] : measured.map((each) => each[of]);
      const known = values.filter((each) => each !== null);
      return known.length === 0 ? null : median(known);
    };
    const value = middle(key);
    const baseline = middle(compared);
    report({
      name,
      value,
      unit: 'ms',
      baseline,
      ratio: value === null || baseline === null ? null : value / baseline,
      goal: `< ${limit} ms`,
      ok: value === null ? null : value < limit,
    });
  };
  figure('VS Code: window ready to first prediction', 'firstPredictionMs', 3_000);
  figure('VS Code: activation of the extension', 'activationMs', 50);
  figure('VS Code: event-loop delay while predictions run, p99 (beside: idle)', 'busyDelayMs', 16, 'idleDelayMs');
  figure('VS Code: Probe This Line to its answer, model loaded', 'probedLineMs', 200);
  figure(
    'VS Code: event-loop delay while 1,000 facts are asked, p99 (beside: idle)',
    'probingDelayMs',
    16,
    'idleDelayMs',
  );
  figure(
    'VS Code: event-loop delay while typing above 1,000 hints, p99 (beside: idle)',
    'typingDelayMs',
    16,
    'idleDelayMs',
  );
}
