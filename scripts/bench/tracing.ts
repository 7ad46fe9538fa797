/**
 * Tracing beside a bare runtime: the same original model with the same settings, in turns. Opening is measured in processes of their
 * own, since memory that was once used is not given back.
 */
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import * as ort from 'onnxruntime-node';
import type { EngineSettings, ModelRef } from '../../extension/protocol/engine';
import type { Anatomy } from '../../extension/engine/anatomy/anatomy';
import { describeModel } from '../../extension/engine/session/describe';
import type { Intervention } from '../../extension/engine/session/internals';
import { InstrumentedSession } from '../../extension/engine/session/instrumentedSession';
import { Tracer } from '../../extension/engine/session/tracer';
import { median, timed, type Figure } from './figure';

const LENGTHS = [16, 128, 512];
const MIN_ROUNDS = 7;
const MEGABYTE = 2 ** 20;
/** Our session, in a process of its own: `main.js --open-ours FOLDER`. */
export const OPEN_OURS = '--open-ours';

const CLS = 101n;
const SEP = 102n;
const WORD = 1385n;

interface Kind {
  name: string;
  limit: number;
  hooks(anatomy: Anatomy): string[];
  gated?: true;
  /** What scripts/reference/trace_torch.py calls it. */
  torch?: string;
}

const matching = (pattern: RegExp) => (anatomy: Anatomy) =>
  [...anatomy.hooks.sites.keys()].filter((hook) => pattern.test(hook));
const KINDS: readonly Kind[] = [
  { name: 'logits only', limit: 1.02, hooks: matching(/^unembed\.logits$/) },
  { name: 'all heads gated, open', limit: 1.05, hooks: matching(/^unembed\.logits$/), gated: true },
  {
    name: 'the patterns of one layer',
    limit: 1.1,
    hooks: matching(/^(blocks\.5\.attn\.hook_pattern|unembed\.logits)$/),
  },
  { name: 'all patterns', limit: 1.15, hooks: matching(/(attn\.hook_pattern|unembed\.logits)$/), torch: 'patterns' },
  { name: 'all hooks', limit: 1.5, hooks: matching(/^(blocks\.|unembed\.|hook_)/), torch: 'hooks' },
];

export async function tracingFigures(settings: EngineSettings, report: (figure: Figure) => void): Promise<void> {
  const large = process.env['ONNX_LENS_BERT_F32'];
  const bundled: ModelRef = { id: 'bert-base-cased', folder: join('models', 'bert-base-cased') };
  await traced('int8 file', bundled, settings, report);
  if (large === undefined) return;
  const ref = { id: 'float32 file', folder: large };
  await traced('float32 file', ref, settings, report);
  await opening(ref, settings, report);
}

async function traced(
  title: string,
  ref: ModelRef,
  settings: EngineSettings,
  report: (figure: Figure) => void,
): Promise<void> {
  const description = await describeModel(ref);
  const bare = await ort.InferenceSession.create(description.path, {
    intraOpNumThreads: settings.threads,
    logSeverityLevel: 3,
    extra: { session: { disable_quant_qdq: '1' } },
  });
  const inputs = new Set(bare.inputNames);
  for (const { name, limit, hooks, gated, torch } of KINDS) {
    // A session for each, so that the figures say what each costs by itself.
    const tracer = new Tracer(description, settings);
    const anatomy = await tracer.anatomy();
    const wanted = hooks(anatomy);
    const open = gated === true ? openHeads(anatomy) : [];
    const medians = new Map<number, number>();
    for (const length of LENGTHS) {
      const feeds = Object.fromEntries(Object.entries(feedsOf(length)).filter(([input]) => inputs.has(input)));
      const rounds = Math.max(MIN_ROUNDS, Math.ceil(600 / (length + 30)));
      const [ours, theirs]: [number[], number[]] = [[], []];
      for (let round = -1; round < rounds; round++) {
        const a = await timed(() => bare.run(feeds, [description.logits ?? (bare.outputNames[0] as string)]));
        const b = await timed(() => tracer.run(feeds, wanted, open));
        if (round < 0) continue; // warm-up
        theirs.push(a);
        ours.push(b);
      }
      medians.set(length, median(ours));
      // Of neighbours in time: other work on the machine comes and goes.
      const ratio = median(ours.map((time, round) => time / (theirs[round] as number)));
      report({
        name: `trace, ${title}, ${name}, T = ${length}`,
        value: median(ours),
        unit: 'ms',
        baseline: median(theirs),
        ratio,
        goal: `≤ ${limit.toFixed(2)} of a bare run`,
        ok: ratio <= limit,
      });
    }
    await tracer.release();
    if (torch !== undefined) besidePyTorch(`trace, ${title}, ${name}`, torch, medians, settings.threads, report);
  }
  await bare.release();
}

/** PyTorch's time for the same tensors, right after ours. Needs a Python with torch and transformers in $ONNX_LENS_PYTHON. */
function besidePyTorch(
  name: string,
  kind: string,
  ours: ReadonlyMap<number, number>,
  threads: number,
  report: (figure: Figure) => void,
): void {
  const python = process.env['ONNX_LENS_PYTHON'];
  if (python === undefined) return;
  const script = ['scripts/reference/trace_torch.py', kind, String(MIN_ROUNDS), String(threads)];
  const { status, stdout, stderr } = spawnSync(python, [...script, ...LENGTHS.map(String)], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  for (const line of stdout.trim().split('\n')) {
    const { T: length, ms: baseline } = JSON.parse(line) as { T: number; ms: number };
    const value = ours.get(length) ?? NaN;
    const ratio = value / baseline;
    report({
      name: `${name}, T = ${length}, beside PyTorch`,
      ...{ value, unit: 'ms', baseline, ratio },
      goal: '< 1.0 of PyTorch, eager, with the same tensors',
      ok: ratio < 1,
    });
  }
}

/** Interventions that change nothing, at every head of every layer. */
const openHeads = ({ layers, heads }: Anatomy): Intervention[] =>
  Array.from({ length: layers }, (_, layer) => ({
    hook: `blocks.${layer}.attn.hook_z`,
    scale: { dims: [1, 1, heads ?? 1, 1], data: new Float32Array(heads ?? 1).fill(1) },
  }));

function feedsOf(length: number): Record<string, ort.Tensor> {
  const ids = new BigInt64Array(length).fill(WORD);
  [ids[0], ids[length - 1]] = [CLS, SEP];
  const tensor = (data: BigInt64Array): ort.Tensor => new ort.Tensor('int64', data, [1, length]);
  return {
    input_ids: tensor(ids),
    attention_mask: tensor(new BigInt64Array(length).fill(1n)),
    token_type_ids: tensor(new BigInt64Array(length)),
  };
}

interface Opened {
  ms: number;
  megabytes: number;
}

/** Time and memory of reading a model and making the session for its patterns, beside a session made from the path. */
async function opening(ref: ModelRef, settings: EngineSettings, report: (figure: Figure) => void): Promise<void> {
  const { path } = await describeModel(ref);
  const script = `
    const ort = require('onnxruntime-node');
    const start = performance.now();
    ort.InferenceSession.create(${JSON.stringify(path)}, { intraOpNumThreads: ${settings.threads}, logSeverityLevel: 3 })
      .then(() => console.log(JSON.stringify({ ms: performance.now() - start, megabytes: process.memoryUsage().rss / 2 ** 20 })));`;
  const [ours, theirs]: [Opened[], Opened[]] = [[], []];
  for (let round = -1; round < 3; round++) {
    const a = await openedBy(['-e', script]);
    const b = await openedBy([process.argv[1] as string, OPEN_OURS, ref.folder]);
    if (round < 0) continue; // brings the files into the disk cache
    theirs.push(a);
    ours.push(b);
  }
  const figure = (name: string, key: keyof Opened, unit: string, limit: number): void => {
    const [value, baseline] = [median(ours.map((each) => each[key])), median(theirs.map((each) => each[key]))];
    const ratio = value / baseline;
    report({ name, value, unit, baseline, ratio, goal: `≤ ${limit} of create(path)`, ok: ratio <= limit });
  };
  figure(`trace, ${ref.id}, opening: time`, 'ms', 'ms', 0.7);
  figure(`trace, ${ref.id}, opening: memory`, 'megabytes', 'MB', 0.8);
}

async function openedBy(args: readonly string[]): Promise<Opened> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let out = '';
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  await new Promise((done) => child.once('close', done));
  return JSON.parse(out) as Opened;
}

/** What the child process of `opening` does: reads the model, opens the session and says what that took. */
export async function openOurs(folder: string, settings: EngineSettings): Promise<void> {
  const start = performance.now();
  const description = await describeModel({ id: 'opened', folder });
  const session = await InstrumentedSession.create(
    description,
    {
      taps: new Set(
        matching(/(attn\.hook_pattern|unembed\.logits)$/)(description.anatomy).map(
          (hook) => description.anatomy.hooks.sites.get(hook)?.value ?? '',
        ),
      ),
      picks: [],
      gates: new Set(),
      fed: null,
      exact: true,
    },
    settings,
    'many runs',
  );
  const opened: Opened = { ms: performance.now() - start, megabytes: process.memoryUsage().rss / MEGABYTE };
  process.stdout.write(JSON.stringify(opened));
  await session.release();
}
