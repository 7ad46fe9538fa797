/** `lens embed`: vectors of tokens, words and texts at any layer, as files for programs and for the Embedding Projector. */
import { readFileSync } from 'node:fs';
import { POOLS, type EmbedResult, type VectorLayer } from '../../extension/protocol/embeddings';
import type { ModelRef } from '../../extension/protocol/engine';
import { LensError } from '../../extension/protocol/errors';
import { counted } from '../../extension/protocol/format';
import { encodeNpy, encodeTsv, tsvLine } from './arrays';
import type { Command, CommandContext } from './commands';
import { choice, type OptionSpec, type OptionValues } from './options';
import { encodeSafetensors, writeChunks } from './safetensors';
import { table, visible } from './table';

/** Vectors in the table for people. */
const MOST_SHOWN = 40;

export const LAYERS_HELP =
  'hidden states, 0 (embeddings) to L, static, all (0 to L), or mix:S0,…,SL (weights, divided by their sum) or mix:FILE of lens mix';
export const LAYERS: OptionSpec = { type: 'string', value: 'K,…', help: `${LAYERS_HELP} (the last)` };

/** L of a model. Throws `model-*`. */
export async function lastLayer({ ask }: Pick<CommandContext, 'ask'>, model: ModelRef): Promise<number> {
  const { layers, id } = await ask('inspect', { model });
  if (layers === null) throw new LensError('model-unsupported', `The layers of ${id} are not known.`);
  return layers;
}

/** `all`, `static`, `0,6,12`, `mix:…`. */
export async function layersOf(context: CommandContext, name = 'layers'): Promise<VectorLayer[]> {
  const value = context.options[name];
  if (value === undefined) return [];
  const text = String(value);
  if (text === 'all') {
    const last = await lastLayer(context, context.model);
    return Array.from({ length: last + 1 }, (_, layer) => layer);
  }
  // A mix has commas of its own, so that it comes last.
  const [, before = '', mix] = /^(.*?)(?:(?<=^|,)mix:(.*))?$/su.exec(text) ?? [];
  const mixes = mix === undefined ? [] : [mixOf(mix)];
  if (before === '' && mix !== undefined) return mixes;
  const layers = before.replace(/,$/u, '').split(',');
  return layers
    .map((entry): VectorLayer => {
      const each = entry.trim();
      if (each === 'static') return each;
      if (/^\d+$/u.test(each)) return Number(each);
      throw new LensError('bad-input', `“${each}” is no layer.`, `--${name} takes ${LAYERS_HELP}.`);
    })
    .concat(mixes);
}

/** The one layer, for commands that look at one. */
export async function layerOf(context: CommandContext): Promise<VectorLayer | undefined> {
  const layers = await layersOf(context, 'layer');
  if (layers.length > 1) throw new LensError('bad-input', '--layer takes one layer.', 'For example --layer 8.');
  return layers[0];
}

function mixOf(text: string): VectorLayer {
  if (!/^[-\d.,eE\s]+$/u.test(text)) return mixFile(text);
  const weights = text.split(',').map(Number);
  const sum = weights.reduce((total, weight) => total + weight, 0);
  if (!weights.every((weight) => Number.isFinite(weight) && weight >= 0) || sum <= 0)
    throw new LensError(
      'bad-input',
      `“${text}” are no weights of a mix.`,
      'Give one number for each hidden state 0…L, none of them negative: --layers mix:0,0,1,1.',
    );
  return { weights: weights.map((weight) => weight / sum), gamma: 1 };
}

/** What `lens mix --out` wrote. */
function mixFile(path: string): VectorLayer {
  let value: { weights?: unknown; gamma?: unknown };
  try {
    value = JSON.parse(readFileSync(path, 'utf8')) as typeof value;
  } catch (error) {
    throw new LensError(
      'bad-input',
      `${path} is no mix of layers: ${error instanceof Error ? error.message : String(error)}.`,
      'Write mix:0.1,0.2,…, or name a file that lens mix wrote.',
    );
  }
  const { weights, gamma } = value;
  if (!Array.isArray(weights) || !weights.every(Number.isFinite) || !Number.isFinite(gamma))
    throw new LensError('bad-input', `${path} has no weights and gamma.`, 'Name a file that lens mix wrote.');
  return { weights: weights as number[], gamma: gamma as number };
}

/** The texts that a command is about: one, or each line of a file that is not blank. */
export async function textsOf({ options, text }: Pick<CommandContext, 'options' | 'text'>): Promise<string[]> {
  if ((options['text'] === undefined) === (options['file'] === undefined))
    throw new LensError('bad-input', 'Give --text or --file, and not both.');
  if (options['text'] !== undefined) return [await text('text')];
  const lines = readText(String(options['file']))
    .split(/\r?\n/u)
    .filter((line) => line.trim() !== '');
  if (lines.length === 0) throw new LensError('bad-input', `${String(options['file'])} has no text.`);
  return lines;
}

export function readText(path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path));
  } catch (error) {
    throw new LensError(
      'bad-input',
      `${path} could not be read: ${error instanceof Error ? error.message : String(error)}.`,
      'Name a text file in UTF-8.',
    );
  }
}

export const embedCommand: Command = {
  summary: 'vectors of tokens, words or texts at any layer, as .safetensors, .npy or .tsv',
  options: {
    text: { type: 'string', value: 'T', help: 'the text; - reads standard input' },
    file: { type: 'string', value: 'F', help: 'a text file instead; each line is a text' },
    layers: LAYERS,
    pool: { type: 'string', value: 'P', help: `${POOLS.join(', ')} (token); own: as the model's folder says` },
    out: {
      type: 'string',
      value: 'FILE',
      help: '.safetensors; .npy: [n, D], or [layers, n, D]; .tsv with FILE.metadata.tsv, for the Embedding Projector',
    },
  },
  async run(context) {
    const { model, options, ask } = context;
    const write = writerOf(options);
    const result = await ask('embed', {
      model,
      texts: await textsOf(context),
      layers: await layersOf(context),
      pool: choice(options, 'pool', POOLS, 'token'),
    });
    const files = write?.(result) ?? [];
    return { json: { ...brief(result, files.length === 0), files }, text: textOf(result, files) };
  },
};

/** What is written, in the order of layers and units. */
type Writer = (result: EmbedResult) => string[];

function writerOf(options: OptionValues): Writer | null {
  if (options['out'] === undefined) return null;
  const file = String(options['out']);
  if (file.endsWith('.safetensors')) return (result) => [writeSafetensors(file, result)];
  if (file.endsWith('.npy')) return (result) => [writeNpy(file, result)];
  if (file.endsWith('.tsv')) return (result) => writeTsv(file, result);
  throw new LensError('bad-input', `“${file}” has no known format.`, 'Let its name end in .safetensors, .npy or .tsv.');
}

const unitJson = ({ units }: EmbedResult): unknown[] =>
  units.map(({ text, label, range, special }) => ({
    ...{ text, label, start: range?.start ?? null, end: range?.end ?? null, special },
  }));

function writeSafetensors(file: string, result: EmbedResult): string {
  const metadata = { model: result.model, pooling: result.pooling, units: JSON.stringify(unitJson(result)) };
  writeChunks(file, encodeSafetensors(result.vectors, metadata));
  return file;
}

function writeNpy(file: string, { vectors }: EmbedResult): string {
  const [first] = vectors;
  const shape = first?.dims ?? [0, 0];
  if (vectors.some(({ dims }) => dims[1] !== shape[1]))
    throw new LensError(
      'bad-input',
      'The embedding table of this model has another width than its hidden states, so they do not fit into one array.',
      'Write .safetensors, or ask for static alone.',
    );
  const dims = vectors.length === 1 ? shape : [vectors.length, ...shape];
  writeChunks(
    file,
    encodeNpy(
      dims,
      vectors.map(({ data }) => data),
    ),
  );
  return file;
}

/** Vectors, and beside them what each line is of. */
function writeTsv(file: string, result: EmbedResult): string[] {
  const { vectors, units } = result;
  const metadata = file.replace(/\.tsv$/u, '.metadata.tsv');
  const width = vectors[0]?.dims[1] ?? 0;
  if (vectors.some(({ dims }) => dims[1] !== width))
    throw new LensError('bad-input', 'The layers have different widths.', 'Ask for static alone, or leave it out.');
  writeChunks(
    file,
    encodeTsv(
      width,
      vectors.map(({ data }) => data),
    ),
  );
  const lines = vectors.flatMap(({ name }) =>
    units.map(({ text, label, range }) => tsvLine([label, name, text, range?.start ?? '', range?.end ?? ''])),
  );
  writeChunks(metadata, [
    new TextEncoder().encode([tsvLine(['label', 'layer', 'text', 'start', 'end']), ...lines].join('')),
  ]);
  return [file, metadata];
}

/** With the numbers themselves where no file has them. */
function brief(result: EmbedResult, numbers: boolean): Record<string, unknown> {
  const { model, pooling, windows, vectors, notes } = result;
  return {
    ...{ model, pooling, windows, units: unitJson(result), notes },
    vectors: vectors.map(({ name, dims, data }) => ({
      ...{ name, shape: dims },
      ...(numbers ? { data: rowsOf(data, dims[1]) } : {}),
    })),
  };
}

const rowsOf = (data: Float32Array, width: number): number[][] =>
  Array.from({ length: data.length / Math.max(1, width) }, (_, row) =>
    Array.from(data.subarray(row * width, (row + 1) * width)),
  );

function textOf({ units, vectors, pooling, notes }: EmbedResult, files: readonly string[]): string {
  const norm = (data: Float32Array, row: number, width: number): string =>
    Math.sqrt(data.subarray(row * width, (row + 1) * width).reduce((sum, value) => sum + value * value, 0)).toFixed(3);
  const rest = units.length - MOST_SHOWN;
  return [
    table(
      ['', ...vectors.map(({ name }) => `‖${name}‖`)],
      units
        .slice(0, MOST_SHOWN)
        .map(({ label, text }, row) => [
          label === '' ? `text ${text + 1}` : label,
          ...vectors.map(({ data, dims }) => norm(data, row, dims[1])),
        ]),
      ['left', ...vectors.map(() => 'right' as const)],
    ),
    ...(rest > 0 ? [`… and ${rest} more`] : []),
    `${counted(units.length, 'vector')} of width ${vectors[0]?.dims[1] ?? 0} at ${counted(vectors.length, 'layer')}; ${pooling}`,
    ...notes.map((note) => `Note: ${visible(note)}`),
    ...files.map((file) => `Written: ${visible(file)}`),
  ].join('\n');
}
