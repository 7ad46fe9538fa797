/**
 * Facts a second on LAMA's T-REx, beside PyTorch and transformers on the same queries with the same threads, in turns. Needs the data in
 * $ONNX_LENS_TEST_DATA and a Python with torch and transformers in $ONNX_LENS_PYTHON; without them it is told as not measured.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EngineClient } from '../../extension/client/engineClient';
import { readSources, readWords } from '../../extension/cloze/sources';
import type { EngineSettings, ModelRef } from '../../extension/protocol/engine';
import type { ProbeRelation } from '../../extension/protocol/probes';
import { median, type Figure } from './figure';

const ROUNDS = 3;
/** Every so many facts, so that all relations are in it. */
const STEP = 30;

export async function probeFigures(
  model: ModelRef,
  enginePath: string,
  settings: EngineSettings,
  report: (figure: Figure) => void,
): Promise<void> {
  const goals = { plain: 2, best: 1.15 };
  const data = process.env['ONNX_LENS_TEST_DATA'];
  const python = process.env['ONNX_LENS_PYTHON'];
  const told = (loop: keyof typeof goals, value: number | null, baseline: number | null): void => {
    const ratio = value === null || baseline === null ? null : value / baseline;
    report({
      name: `relation probes, T-REx, beside ${loop === 'plain' ? 'a plain' : 'the best'} PyTorch loop`,
      ...{ value, unit: 'facts/s', baseline, ratio },
      goal: `≥ ${goals[loop]} of it`,
      ok: ratio === null ? null : ratio >= goals[loop],
    });
  };
  if (data === undefined || python === undefined) {
    told('plain', null, null);
    told('best', null, null);
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'onnx-lens-bench-'));
  const client = new EngineClient({ enginePath, settings, log: () => undefined });
  try {
    const lama = join(data, 'data', 'lama');
    const vocabulary = await readWords(join(lama, 'optiprompt_relation_metainfo', 'common_vocab_cased.txt'));
    const { relations: all } = await readSources([join(lama, 'trex')]);
    const relations = all.map(({ id, templates, facts }): ProbeRelation => ({
      ...{ id, templates },
      facts: facts.filter((_, index) => index % STEP === 0),
    }));
    const queries = relations.flatMap(({ templates, facts }) =>
      facts.map(({ subject }) =>
        (templates[0]?.text ?? '').replace('[X]', () => subject ?? '').replace('[Y]', '[MASK]'),
      ),
    );
    const file = join(folder, 'queries.txt');
    writeFileSync(file, `${queries.join('\n')}\n`);
    const options = { vocabulary, topK: 10, variants: [], uhn: false, joint: 'pll', seed: 0 } as const;
    // One request for all, as for a folder on the command line.
    const ours = async (few?: number): Promise<number> => {
      const asked = few === undefined ? relations : relations.slice(0, few);
      const { facts, elapsed } = await client.request('probe', {
        ...{ model, relations: asked },
        options: { ...options, variants: [] },
      });
      return (facts.length / elapsed) * 1000;
    };
    const theirs = (): Record<string, number> => {
      const script = ['scripts/reference/lama_torch.py', model.folder, file, String(settings.threads)];
      const { status, stdout, stderr } = spawnSync(python, script, { encoding: 'utf8' });
      if (status !== 0) throw new Error(stderr);
      const lines = stdout.trim().split('\n');
      return Object.fromEntries(
        lines.map((line) => {
          const { loop, facts_per_second } = JSON.parse(line) as { loop: string; facts_per_second: number };
          return [loop, facts_per_second];
        }),
      );
    };
    await ours(1);
    const rounds: { ours: number; plain: number; best: number }[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const { plain = NaN, best = NaN } = theirs();
      rounds.push({ ours: await ours(), plain, best });
    }
    for (const loop of ['plain', 'best'] as const)
      told(loop, median(rounds.map((round) => round.ours)), median(rounds.map((round) => round[loop])));
  } finally {
    await client.dispose();
    rmSync(folder, { recursive: true });
  }
}
