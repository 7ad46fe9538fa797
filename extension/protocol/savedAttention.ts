/** What somebody looked at, as a file: enough to make the same picture again, in the editor or by the command line. Pure. */
import { ATTENTION_METHODS, COMBINATIONS, SPECIALS, type HeadRef } from './attention';
import type { AttentionLook, AttentionPage, PairFilter } from './attentionView';
import type { TextRange } from './engine';
import { LensError } from './errors';
import type { Scale } from './interventions';
import type { ContextKind } from './view';

export const SAVED_FORMAT = 'onnx-lens/attention';
export const SAVED_VERSION = 1;
export const SAVED_EXTENSION = 'lens.json';

export interface SavedAttention {
  format: typeof SAVED_FORMAT;
  version: typeof SAVED_VERSION;
  /** Which model, and by what to know that it is the same one. */
  model: { id: string; file: string; architecture: string | null; parameters: number };
  /** Where the texts stood: a path from the saved file's folder, or a URI; offsets of the texts in it. */
  document: { path: string; context: ContextKind; start: number; pairStart: number | null };
  text: string;
  pair: string | null;
  /** In `text`: what must be read when it is too long. */
  around: TextRange | null;
  target: { text: 0 | 1; range: TextRange } | null;
  look: Omit<AttentionLook, 'target'>;
  interventions: Scale[];
}

const PAGES: readonly AttentionPage[] = ['heads', 'head', 'steps', 'compare', 'effects', 'relations', 'corpus'];
const FILTERS: readonly PairFilter[] = ['all', 'A→A', 'A→B', 'B→A', 'B→B'];

/** Throws `bad-input` for a file that is no such state, saying where it is wrong. */
export function readSavedAttention(json: string): SavedAttention {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    throw new LensError('bad-input', 'The file is not JSON.', 'Choose a file written by “Save Attention State”.', {
      cause,
    });
  }
  const saved = object(value, 'the file');
  if (saved['format'] !== SAVED_FORMAT) throw wrong('format', `“${SAVED_FORMAT}”`);
  if (saved['version'] !== SAVED_VERSION) throw wrong('version', `${SAVED_VERSION}, all that this release knows`);
  const model = object(saved['model'], 'model');
  const document = object(saved['document'], 'document');
  const text = string(saved['text'], 'text');
  const pair = orNull(saved['pair'], 'pair', string);
  return {
    format: SAVED_FORMAT,
    version: SAVED_VERSION,
    model: {
      id: string(model['id'], 'model.id'),
      file: string(model['file'], 'model.file'),
      architecture: orNull(model['architecture'], 'model.architecture', string),
      parameters: whole(model['parameters'], 'model.parameters'),
    },
    document: {
      path: string(document['path'], 'document.path'),
      context: oneOf(document['context'], 'document.context', ['sentence', 'paragraph', 'window']),
      start: whole(document['start'], 'document.start'),
      pairStart: orNull(document['pairStart'], 'document.pairStart', whole),
    },
    text,
    pair,
    around: orNull(saved['around'], 'around', (each, name) => range(each, name, text)),
    target: orNull(saved['target'], 'target', (each, name) => {
      const target = object(each, name);
      const second = target['text'] === 1;
      return { text: second ? 1 : 0, range: range(target['range'], `${name}.range`, second ? (pair ?? '') : text) };
    }),
    look: look(saved['look']),
    interventions: list(saved['interventions'], 'interventions', change),
  };
}

function look(value: unknown): SavedAttention['look'] {
  const saved = object(value, 'look');
  const threshold = object(saved['threshold'], 'look.threshold');
  return {
    page: oneOf(saved['page'], 'look.page', PAGES),
    layer: whole(saved['layer'], 'look.layer'),
    heads: list(saved['heads'], 'look.heads', head),
    method: oneOf(saved['method'], 'look.method', ATTENTION_METHODS),
    combine: oneOf(saved['combine'], 'look.combine', COMBINATIONS),
    words: flag(saved['words'], 'look.words'),
    specials: oneOf(saved['specials'], 'look.specials', SPECIALS),
    drawing: oneOf<AttentionLook['drawing']>(saved['drawing'], 'look.drawing', ['lines', 'matrix']),
    threshold: {
      kind: oneOf<'weight' | 'mass'>(threshold['kind'], 'look.threshold.kind', ['weight', 'mass']),
      value: number(threshold['value'], 'look.threshold.value'),
    },
    direction: oneOf<'from' | 'to'>(saved['direction'], 'look.direction', ['from', 'to']),
    filter: oneOf(saved['filter'], 'look.filter', FILTERS),
    sort: oneOf<AttentionLook['sort']>(saved['sort'], 'look.sort', ['layer', 'type', 'entropy', 'importance']),
    type: orNull(saved['type'], 'look.type', string),
  };
}

const wrong = (name: string, expected: string): LensError =>
  new LensError(
    'bad-input',
    `The saved state is damaged: ${name} should be ${expected}.`,
    'Save it again, or choose another file.',
  );

function object(value: unknown, name: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw wrong(name, 'an object');
}
function string(value: unknown, name: string): string {
  if (typeof value === 'string') return value;
  throw wrong(name, 'a text');
}
function number(value: unknown, name: string): number {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  throw wrong(name, 'a number');
}
function whole(value: unknown, name: string): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw wrong(name, 'a whole number');
}
function flag(value: unknown, name: string): boolean {
  if (typeof value === 'boolean') return value;
  throw wrong(name, 'true or false');
}
function oneOf<T extends string>(value: unknown, name: string, allowed: readonly T[]): T {
  const found = allowed.find((each) => each === value);
  if (found !== undefined) return found;
  throw wrong(name, `one of ${allowed.join(', ')}`);
}
function list<T>(value: unknown, name: string, read: (each: unknown, name: string) => T): T[] {
  if (!Array.isArray(value)) throw wrong(name, 'a list');
  return value.map((each, index) => read(each, `${name}[${index}]`));
}
const orNull = <T>(value: unknown, name: string, read: (value: unknown, name: string) => T): T | null =>
  value === null ? null : read(value, name);

function head(value: unknown, name: string): HeadRef {
  const saved = object(value, name);
  return { layer: whole(saved['layer'], `${name}.layer`), head: whole(saved['head'], `${name}.head`) };
}
function change(value: unknown, name: string): Scale {
  const { neuron, position, ...saved } = object(value, name);
  const rest = {
    scale: number(saved['scale'], `${name}.scale`),
    ...(position === undefined ? {} : { position: whole(position, `${name}.position`) }),
  };
  if (neuron === undefined) return { ...head(value, name), ...rest };
  return { layer: whole(saved['layer'], `${name}.layer`), neuron: whole(neuron, `${name}.neuron`), ...rest };
}
function range(value: unknown, name: string, text: string): TextRange {
  const saved = object(value, name);
  const [start, end] = [whole(saved['start'], `${name}.start`), whole(saved['end'], `${name}.end`)];
  if (start <= end && end <= text.length) return { start, end };
  throw wrong(name, 'a range of its text');
}
