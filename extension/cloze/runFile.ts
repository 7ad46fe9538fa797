/**
 * A run as a file: JSON lines, the first with the model, the options and the versions, then one a fact. Lines are appended, so that
 * after a kill at most the last one is incomplete; it is cut off when the run goes on.
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { LensError } from '../protocol/errors';
import type { ModelFingerprint, ProbeFact, ProbeOptions, ProbeRelation } from '../protocol/probes';
import { factKey } from './facts';
import { readLines, type Line } from './lines';
import type { AnsweredFact, Ensemble, RankedRelation } from './metrics';
import { atOnce, inTurns, type Steps } from './steps';

const FORMAT = 'onnx-lens-probe-run';
const VERSION = 1;

export interface RunHeader {
  format: typeof FORMAT;
  version: typeof VERSION;
  model: { id: string; sha256: string };
  versions: Record<string, string>;
  /** Without the vocabulary's words, which are in `facts`. */
  options: Omit<ProbeOptions, 'vocabulary'> & { ensemble: Ensemble };
  relations: RankedRelation[];
  /** Of all shards together. */
  facts: { count: number; sha256: string };
  shard: { index: number; of: number };
}

/** A relation with all that its numbers depend on. */
export interface RunRelation extends ProbeRelation, RankedRelation {
  /** Of its vocabulary file. */
  words: readonly string[] | null;
}

export type RunFact = AnsweredFact & Pick<ProbeFact, 'subject' | 'sentence'>;

export interface Run {
  header: RunHeader;
  facts: RunFact[];
}

export const runKey = (relation: string, fact: ProbeFact): string => `${relation} ${factKey(fact)}`;

const FACTS_A_STEP = 256;

/** SHA-256 of all that a run asks. */
function* digestSteps(relations: readonly RunRelation[]): Steps<string> {
  const hash = createHash('sha256');
  let count = 0;
  for (const { id, templates, ranking, facts, candidates, words } of relations) {
    hash.update(JSON.stringify([id, templates, ranking, candidates, words]));
    for (const fact of facts) {
      hash.update(JSON.stringify(fact));
      if (++count % FACTS_A_STEP === 0) yield;
    }
  }
  return hash.digest('hex');
}

/** The same without holding up the event loop. */
export const digestInTurns = (relations: readonly RunRelation[]): Promise<string> => inTurns(digestSteps(relations));

/** What runs must share to be one. */
export function newHeader(
  model: string,
  { sha256, versions }: ModelFingerprint,
  options: RunHeader['options'],
  relations: readonly RunRelation[],
  shard: RunHeader['shard'],
  digest = atOnce(digestSteps(relations)),
): RunHeader {
  return {
    format: FORMAT,
    version: VERSION,
    model: { id: model, sha256 },
    versions,
    options,
    relations: relations.map(({ id, templates, ranking }) => ({ id, templates, ranking })),
    facts: {
      count: relations.reduce((sum, { facts }) => sum + facts.length, 0),
      sha256: digest,
    },
    shard,
  };
}

/** In words, what two headers differ in; null when their runs belong together. Shards may differ. */
export function difference(a: RunHeader, b: RunHeader): string | null {
  if (a.model.sha256 !== b.model.sha256) return `the model (${a.model.id}, ${b.model.id})`;
  if (JSON.stringify(a.options) !== JSON.stringify(b.options)) return 'the options';
  if (a.facts.sha256 !== b.facts.sha256) return 'the facts, templates or vocabulary';
  return null;
}

/** Throws `bad-input` for another file, or a line that is no fact. An incomplete last line is left out. */
export async function readRun(path: string): Promise<Run> {
  let header: RunHeader | null = null;
  const facts: RunFact[] = [];
  for await (const { number, text } of completeLines(path)) {
    const value = parsed(text);
    if (header === null) header = headerOf(value, path);
    else if (isFact(value)) facts.push(value);
    else throw new LensError('bad-input', `Line ${number} of the run ${path} is damaged.`, 'Run it again.');
  }
  if (header === null) throw notARun(path);
  return { header, facts };
}

/** Without the last one of a run that was killed while it wrote it. */
async function* completeLines(path: string): AsyncGenerator<Line> {
  const whole = endsWithNewline(path);
  let waiting: Line | null = null;
  for await (const line of readLines(path)) {
    if (waiting !== null) yield waiting;
    waiting = line;
  }
  if (waiting !== null && whole) yield waiting;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function headerOf(value: unknown, path: string): RunHeader {
  const { format, version } = (typeof value === 'object' && value !== null ? value : {}) as Partial<RunHeader>;
  if (format !== FORMAT) throw notARun(path);
  if (version !== VERSION)
    throw new LensError('bad-input', `${path} was written by another version of this program.`, 'Run it again.');
  return value as RunHeader;
}

const notARun = (path: string): LensError =>
  new LensError('bad-input', `${path} is no run of “lens probe --out”.`, 'Name a file that it has written.');

function isFact(value: unknown): value is RunFact {
  if (typeof value !== 'object' || value === null) return false;
  const { relation, answers, result } = value as Partial<RunFact>;
  return typeof relation === 'string' && Array.isArray(answers) && typeof result === 'object';
}

const NEWLINE = 10;

function endsWithNewline(path: string): boolean {
  let size: number;
  try {
    ({ size } = statSync(path));
  } catch {
    throw new LensError('bad-input', `There is no run ${path}.`, 'Check the path.');
  }
  return size > 0 && wholeLines(path) === size;
}

/** The bytes up to the last complete line. */
function wholeLines(path: string): number {
  const chunk = Buffer.alloc(2 ** 16);
  const file = openSync(path, 'r');
  try {
    for (let end = statSync(path).size; end > 0;) {
      const start = Math.max(0, end - chunk.length);
      readSync(file, chunk, 0, end - start, start);
      const newline = chunk.subarray(0, end - start).lastIndexOf(NEWLINE);
      if (newline >= 0) return start + newline + 1;
      end = start;
    }
    return 0;
  } finally {
    closeSync(file);
  }
}

/** Appends to a run file, which no other living process of this machine may do at the same time. */
export class RunWriter {
  private constructor(
    private readonly path: string,
    private readonly file: number,
    /** What the file held already. */
    readonly done: RunFact[],
  ) {}

  /** Throws `bad-input` when the file is there and not to be resumed, belongs to another run, or is being written. */
  static async open(path: string, header: RunHeader, resume: boolean): Promise<RunWriter> {
    if (!resume && existsSync(path))
      throw new LensError(
        'bad-input',
        `${path} is there already.`,
        'Go on with it by --resume, or choose another name.',
      );
    lock(path);
    try {
      const size = existsSync(path) ? wholeLines(path) : 0;
      if (size > 0) {
        const { header: before, facts } = await readRun(path);
        const other = difference(before, header) ?? shardDifference(before, header);
        if (other !== null)
          throw new LensError(
            'bad-input',
            `${path} is a run with something else: ${other} changed since it began.`,
            'Choose another name for this run.',
          );
        truncateSync(path, size);
        return new RunWriter(path, openSync(path, 'a'), facts);
      }
      const file = openSync(path, 'w');
      writeSync(file, `${JSON.stringify(header)}\n`);
      return new RunWriter(path, file, []);
    } catch (error) {
      unlock(path);
      throw error;
    }
  }

  append(facts: readonly RunFact[]): void {
    if (facts.length === 0) return;
    writeSync(this.file, facts.map((fact) => `${JSON.stringify(fact)}\n`).join(''));
  }

  close(): void {
    fsyncSync(this.file);
    closeSync(this.file);
    unlock(this.path);
  }
}

const shardDifference = ({ shard: a }: RunHeader, { shard: b }: RunHeader): string | null =>
  a.index === b.index && a.of === b.of ? null : 'the shard';

const lockOf = (path: string): string => `${path}.lock`;

/** The lock of a process that is gone, or of another machine, is taken over. */
function lock(path: string): void {
  const name = lockOf(path);
  const own = JSON.stringify({ pid: process.pid, host: hostname() });
  try {
    const file = openSync(name, 'wx');
    writeSync(file, own);
    closeSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    if (isHeld(name))
      throw new LensError(
        'bad-input',
        `${path} is being written by another run.`,
        'Wait for it, or choose another name.',
      );
    const file = openSync(name, 'w');
    writeSync(file, own);
    closeSync(file);
  }
}

function isHeld(name: string): boolean {
  try {
    const { pid, host } = JSON.parse(readFileSync(name, 'utf8')) as { pid: number; host: string };
    if (host !== hostname()) return false;
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives and is somebody else's.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function unlock(path: string): void {
  try {
    unlinkSync(lockOf(path));
  } catch {
    // another run has taken it over
  }
}

/** Facts of all shards, in the order of the shards. Throws `bad-input` when they do not belong together, or one is doubled. */
export function mergeRuns(runs: readonly { path: string; run: Run }[]): Run {
  const [first, ...others] = runs;
  if (first === undefined) throw new LensError('bad-input', 'No run was named.', 'Name the files of the shards.');
  const { header } = first.run;
  for (const { path, run } of others) {
    const other = difference(header, run.header);
    if (other !== null)
      throw new LensError('bad-input', `${first.path} and ${path} are not of one run: they differ in ${other}.`);
  }
  const owner = new Map<string, string>();
  for (const { path, run } of runs)
    for (const fact of run.facts) {
      const key = runKey(fact.relation, fact);
      const before = owner.get(key);
      if (before !== undefined)
        throw new LensError(
          'bad-input',
          `${before} and ${path} hold the same fact: ${fact.subject ?? fact.sentence ?? ''} → ${fact.answers.join(' | ')}.`,
          'Merge each shard once.',
        );
      owner.set(key, path);
    }
  return { header: { ...header, shard: { index: 0, of: 1 } }, facts: runs.flatMap(({ run }) => run.facts) };
}
