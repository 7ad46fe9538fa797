/** Checks of what comes in: a caller's mistake is told as such, and never reaches a model. All throw `bad-input`. */
import { isAbsolute } from 'node:path';
import type {
  CorruptParams,
  EngineMethod,
  EngineParams,
  EngineSettings,
  FillMaskParams,
  MaskTarget,
  ModelRef,
  NextSentenceParams,
  ScoreParams,
  TextRange,
  TokensParams,
  TraceParams,
} from '../protocol/engine';
import { LensError } from '../protocol/errors';
import { count } from '../protocol/format';

/** UTF-16 units; 10 MB of plain text. */
const MOST_TEXT = 10 * 2 ** 20;
const MOST_PREDICTIONS = 1_000_000;
const MOST_TARGETS = 512;
const MOST_MASKS = 64;
const MOST_CANDIDATES = 200;
const LONGEST_CANDIDATE = 1000;
const MOST_BEAMS = 50;
const MOST_THREADS = 1024;
const MOST_HOOKS = 10_000;
const LONGEST_HOOK = 200;

type Fields = Record<string, unknown>;

const wrong = (name: string, expected: string): LensError =>
  new LensError('bad-input', `“${name}” must be ${expected}.`);

function fields(value: unknown, name: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(name, 'an object');
  return value as Fields;
}

function integer(value: unknown, name: string, least: number, most: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value;
  throw wrong(name, `a whole number from ${count(least)} to ${count(most)}`);
}

function flag(value: unknown, name: string): boolean {
  if (typeof value === 'boolean') return value;
  throw wrong(name, 'true or false');
}

function list(value: unknown, name: string, most: number): unknown[] {
  if (!Array.isArray(value)) throw wrong(name, 'a list');
  if (value.length > most) throw wrong(name, `a list of at most ${most} entries; it has ${count(value.length)}`);
  return value;
}

function textOf(value: unknown, name: string, most = MOST_TEXT): string {
  if (typeof value !== 'string') throw wrong(name, 'a text');
  if (value.length <= most) return value;
  throw new LensError(
    'bad-input',
    `“${name}” has ${count(value.length)} characters; at most ${count(most)} are taken.`,
    'Give a shorter text.',
  );
}

function rangeOf(value: unknown, name: string): TextRange {
  const { start, end } = fields(value, name);
  const first = integer(start, `${name}.start`, 0, MOST_TEXT);
  return { start: first, end: integer(end, `${name}.end`, first, MOST_TEXT) };
}

export function modelOf(params: unknown): ModelRef {
  const { id, folder, file } = fields(fields(params, 'params')['model'], 'model');
  if (typeof id !== 'string' || id === '') throw wrong('model.id', 'a name');
  if (typeof folder !== 'string' || !isAbsolute(folder) || folder.includes('\0'))
    throw wrong('model.folder', 'an absolute path');
  if (file === undefined) return { id, folder };
  if (typeof file !== 'string' || isAbsolute(file) || file.includes('\0') || file.split(/[\\/]/u).includes('..'))
    throw wrong('model.file', 'a path inside of the model folder');
  return { id, folder, file };
}

function targetOf(value: unknown, index: number): MaskTarget {
  const name = `targets[${index}]`;
  const { range, masks } = fields(value, name);
  const target = { range: rangeOf(range, `${name}.range`) };
  if (masks === undefined) return target;
  return { ...target, masks: masks === 'auto' ? masks : integer(masks, `${name}.masks`, 1, MOST_MASKS) };
}

function candidateOf(value: unknown, index: number): string {
  const text = textOf(value, `candidates[${index}]`, LONGEST_CANDIDATE).trim();
  if (text === '') throw wrong(`candidates[${index}]`, 'a text that is not empty');
  return text;
}

function fillMaskParams(params: Fields): FillMaskParams {
  const { candidates, joint } = params;
  return {
    model: modelOf(params),
    text: textOf(params['text'], 'text'),
    targets: list(params['targets'], 'targets', MOST_TARGETS).map(targetOf),
    topK: integer(params['topK'], 'topK', 1, MOST_PREDICTIONS),
    ...(candidates === undefined
      ? {}
      : { candidates: list(candidates, 'candidates', MOST_CANDIDATES).map(candidateOf) }),
    ...(joint === undefined
      ? {}
      : { joint: { beam: integer(fields(joint, 'joint')['beam'], 'joint.beam', 1, MOST_BEAMS) } }),
  };
}

function scoreParams(params: Fields): ScoreParams {
  const { range } = params;
  return {
    model: modelOf(params),
    text: textOf(params['text'], 'text'),
    ...(range === undefined ? {} : { range: rangeOf(range, 'range') }),
  };
}

function nextSentenceParams(params: Fields): NextSentenceParams {
  return {
    model: modelOf(params),
    first: textOf(params['first'], 'first'),
    second: textOf(params['second'], 'second'),
  };
}

function corruptParams(params: Fields): CorruptParams {
  return {
    model: modelOf(params),
    text: textOf(params['text'], 'text'),
    seed: integer(params['seed'], 'seed', 0, Number.MAX_SAFE_INTEGER),
    wholeWord: flag(params['wholeWord'], 'wholeWord'),
    topK: integer(params['topK'], 'topK', 1, MOST_PREDICTIONS),
  };
}

function traceParams(params: Fields): TraceParams {
  const { pair } = params;
  return {
    model: modelOf(params),
    text: textOf(params['text'], 'text'),
    ...(pair === undefined ? {} : { pair: textOf(pair, 'pair') }),
    hooks: list(params['hooks'], 'hooks', MOST_HOOKS).map((hook) => textOf(hook, 'hooks', LONGEST_HOOK)),
  };
}

function tokensParams(params: Fields): TokensParams {
  return { model: modelOf(params), text: textOf(params['text'], 'text') };
}

function settingsOf(params: Fields): Partial<EngineSettings> {
  const oneOf = <T extends string>(name: string, values: readonly T[]): T => {
    const value = values.find((candidate) => candidate === params[name]);
    if (value === undefined) throw wrong(name, `one of ${values.join(', ')}`);
    return value;
  };
  const size = (name: string): number => {
    const value = params[name];
    if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
    throw wrong(name, 'a number, 0 or more');
  };
  const readers: { [K in keyof EngineSettings]: () => EngineSettings[K] } = {
    threads: () => integer(params['threads'], 'threads', 0, MOST_THREADS),
    executionProvider: () => oneOf('executionProvider', ['cpu', 'cuda', 'dml', 'coreml']),
    quantised: () => oneOf('quantised', ['exact', 'fast']),
    lowMemory: () => flag(params['lowMemory'], 'lowMemory'),
    idleMinutes: () => size('idleMinutes'),
    maxModelMegabytes: () => size('maxModelMegabytes'),
  };
  const given = Object.entries(readers).filter(([name]) => params[name] !== undefined);
  return Object.fromEntries(given.map(([name, read]) => [name, read()]));
}

type Reader<M extends EngineMethod> = (params: Fields) => EngineParams<M>;

const READERS: { [M in EngineMethod]: Reader<M> } = {
  configure: settingsOf,
  inspect: (params) => ({ model: modelOf(params) }),
  anatomy: (params) => ({ model: modelOf(params) }),
  load: (params) => ({ model: modelOf(params) }),
  unload: (params) => ({ model: modelOf(params) }),
  tokens: tokensParams,
  fillMask: fillMaskParams,
  score: scoreParams,
  nextSentence: nextSentenceParams,
  corrupt: corruptParams,
  trace: traceParams,
  status: () => null,
};

export function isMethod(method: string): method is EngineMethod {
  return Object.hasOwn(READERS, method);
}

/** The parameters with exactly the known fields, each in its bounds. */
export function readParams<M extends EngineMethod>(method: M, params: unknown): EngineParams<M> {
  return READERS[method](method === 'status' ? {} : fields(params, 'params'));
}
