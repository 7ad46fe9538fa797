/** Checks of what comes in: a caller's mistake is told as such, and never reaches a model. All throw `bad-input`. */
import type {
  CorruptParams,
  EngineMethod,
  EngineParams,
  EngineSettings,
  FillMaskParams,
  MaskTarget,
  NextSentenceParams,
  ScoreParams,
  TokensParams,
  TraceParams,
} from '../../protocol/engine';
import { ATTENTION_READERS } from './attention';
import { FFN_READERS } from './ffn';
import { EMBEDDING_READERS } from './embeddings';
import { PROBE_READERS } from './probes';
import { fields, flag, integer, list, modelOf, oneOf, optional, rangeOf, textOf, wrong, type Fields } from './fields';
import { interventionsOf } from './interventions';

const MOST_PREDICTIONS = 1_000_000;
const MOST_TARGETS = 512;
const MOST_MASKS = 64;
const MOST_CANDIDATES = 200;
const LONGEST_CANDIDATE = 1000;
const MOST_BEAMS = 50;
const MOST_THREADS = 1024;
const MOST_HOOKS = 10_000;
const LONGEST_HOOK = 200;

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
    ...interventionsOf(params),
    ...optional(params, 'compare', flag),
  };
}

function scoreParams(params: Fields): ScoreParams {
  const { range } = params;
  return {
    model: modelOf(params),
    text: textOf(params['text'], 'text'),
    ...(range === undefined ? {} : { range: rangeOf(range, 'range') }),
    ...interventionsOf(params),
  };
}

function nextSentenceParams(params: Fields): NextSentenceParams {
  return {
    model: modelOf(params),
    first: textOf(params['first'], 'first'),
    second: textOf(params['second'], 'second'),
    ...interventionsOf(params),
  };
}

function corruptParams(params: Fields): CorruptParams {
  return {
    model: modelOf(params),
    text: textOf(params['text'], 'text'),
    seed: integer(params['seed'], 'seed', 0, Number.MAX_SAFE_INTEGER),
    wholeWord: flag(params['wholeWord'], 'wholeWord'),
    topK: integer(params['topK'], 'topK', 1, MOST_PREDICTIONS),
    ...interventionsOf(params),
  };
}

function traceParams(params: Fields): TraceParams {
  const { pair } = params;
  return {
    model: modelOf(params),
    text: textOf(params['text'], 'text'),
    ...(pair === undefined ? {} : { pair: textOf(pair, 'pair') }),
    hooks: list(params['hooks'], 'hooks', MOST_HOOKS).map((hook) => textOf(hook, 'hooks', LONGEST_HOOK)),
    ...optional(params, 'top', (top, name) => integer(top, name, 1, MOST_PREDICTIONS)),
    ...interventionsOf(params),
  };
}

function tokensParams(params: Fields): TokensParams {
  return { model: modelOf(params), text: textOf(params['text'], 'text') };
}

function settingsOf(params: Fields): Partial<EngineSettings> {
  const size = (name: string): number => {
    const value = params[name];
    if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
    throw wrong(name, 'a number, 0 or more');
  };
  const readers: { [K in keyof EngineSettings]: () => EngineSettings[K] } = {
    threads: () => integer(params['threads'], 'threads', 0, MOST_THREADS),
    executionProvider: () => oneOf(params['executionProvider'], 'executionProvider', ['cpu', 'cuda', 'dml', 'coreml']),
    quantised: () => oneOf(params['quantised'], 'quantised', ['exact', 'fast']),
    lowMemory: () => flag(params['lowMemory'], 'lowMemory'),
    idleMinutes: () => size('idleMinutes'),
    maxModelMegabytes: () => size('maxModelMegabytes'),
  };
  const given = Object.entries(readers).filter(([name]) => params[name] !== undefined);
  return Object.fromEntries(given.map(([name, read]) => [name, read()]));
}

export type Reader<M extends EngineMethod> = (params: Fields) => EngineParams<M>;

const READERS: { [M in EngineMethod]: Reader<M> } = {
  ...ATTENTION_READERS,
  ...FFN_READERS,
  ...EMBEDDING_READERS,
  ...PROBE_READERS,
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
