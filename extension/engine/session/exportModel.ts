/**
 * A model with heads and neurons scaled in its weights, as a new folder that any runtime opens: model.onnx, its weights beside it, and
 * what came with the model. The folder gets its name when all is in it.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, type Dirent } from 'node:fs';
import { copyFile, mkdir, open, readdir, rename, rm, stat, writeFile, type FileHandle } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import type { ExportResult, Recipe, Scale } from '../../protocol/ffn';
import type { ModelRef } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import { requireBakeable } from '../../files/recipe';
import { storageError } from '../../files/replaceFile';
import type { Anatomy } from '../anatomy/anatomy';
import { bake, type Baked, type ScaledTensor, type Scaling } from '../instrument/bake';
import { checkExternalData } from '../onnx/externalData';
import { byteSize, encodeModel, placed, readModel, type Initializer } from '../onnx/model';
import { describeModel } from './describe';
import type { RunContext } from './languageModel';
import { companionFolder, readCompanion } from './modelFolder';

const HEADER = 'model.onnx';
const WEIGHTS = 'model.onnx_data';
/** As runtimes map files. */
const ALIGNMENT = 4096;
const CHUNK = 4 * 2 ** 20;
/** What comes with a model and is no model. */
const COMPANIONS = new Set(['.json', '.txt', '.md', '.model', '']);
const LARGEST_COMPANION = 256 * 2 ** 20;

/** Throws `bad-input`, `model-unsupported`, `storage`, `cancelled`. Nothing is left when it fails. */
export async function exportModel(
  ref: ModelRef,
  recipe: Recipe,
  out: string,
  { signal, progress }: RunContext,
): Promise<ExportResult> {
  const started = performance.now();
  if (existsSync(out))
    throw new LensError(
      'storage',
      `${out} is there already; nothing was written.`,
      'Name a folder that does not exist.',
    );
  const description = await describeModel(ref);
  const { anatomy, model, path } = description;
  if (model.hiddenExternal.length > 0)
    throw new LensError(
      'model-unsupported',
      `${ref.id} keeps weights of subgraphs or constants in files of their own, which cannot be moved.`,
      'Save it with its weights in one file first.',
    );
  const baked = bake(anatomy.subject, scalingsOf(anatomy, recipe.changes));
  const temporary = `${out}.${randomUUID().slice(0, 8)}.tmp`;
  try {
    await mkdir(temporary);
    const initializers = await writeWeights(baked, path, join(temporary, WEIGHTS), { signal, progress });
    await writeFile(
      join(temporary, HEADER),
      encodeModel({ ...baked.model, graph: { ...baked.model.graph, initializers } }, WEIGHTS),
    );
    await copyCompanions(ref, temporary);
    await writeFile(join(temporary, 'recipe.json'), `${JSON.stringify(recipe, null, 2)}\n`);
    await writeFile(join(temporary, 'lens.json'), `${JSON.stringify(ownNotes(ref, recipe), null, 2)}\n`);
    checkExternalData(readModel(join(temporary, HEADER)), join(temporary, HEADER));
    throwIfAborted(signal);
    await rename(temporary, out);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error instanceof LensError ? error : storageError(out, error);
  }
  return { folder: out, changes: how(recipe.changes, baked), elapsed: performance.now() - started };
}

function throwIfAborted({ aborted }: AbortSignal): void {
  if (aborted) throw new LensError('cancelled', 'Cancelled.');
}

const how = (changes: readonly Scale[], { how: ways }: Baked): ExportResult['changes'] => {
  const groups = [...groupsOf(changes)];
  return groups.map(([key], index) => ({
    layer: Number(key.split(' ')[0]),
    part: key.endsWith('heads') ? 'heads' : 'neurons',
    how: ways[index] as Baked['how'][number],
  }));
};

/** Changes of the same layer's heads, or neurons, in the order of their first. */
function groupsOf(changes: readonly Scale[]): Map<string, Scale[]> {
  const groups = new Map<string, Scale[]>();
  for (const change of changes) {
    const key = `${change.layer} ${'neuron' in change ? 'neurons' : 'heads'}`;
    groups.set(key, [...(groups.get(key) ?? []), change]);
  }
  return groups;
}

function scalingsOf({ blocks, subject }: Anatomy, changes: readonly Scale[]): Scaling[] {
  requireBakeable(changes);
  return [...groupsOf(changes).values()].map((group): Scaling => {
    const block = blocks[group[0]?.layer ?? -1];
    const isNeuron = group.some((change) => 'neuron' in change);
    const linear = isNeuron ? block?.ffn?.out : block?.attention.output;
    if (block === undefined || linear === undefined)
      throw new LensError('bad-input', `There is no layer ${group[0]?.layer} with such a part in this model.`);
    const columns = subject.values.get(linear.data)?.dims.at(-1) ?? 0;
    const factors = new Float32Array(columns).fill(1);
    const { heads, headWidth, zColumns } = block.attention;
    const scaleAt = (column: number, scale: number): void => {
      factors[column] = (factors[column] as number) * scale;
    };
    for (const change of group)
      if ('neuron' in change) {
        if (change.neuron >= columns)
          throw new LensError(
            'bad-input',
            `There is no neuron ${change.neuron} in layer ${change.layer}; it has ${columns}.`,
          );
        scaleAt(change.neuron, change.scale);
      } else {
        if (change.head >= heads)
          throw new LensError(
            'bad-input',
            `There is no head ${change.head} in layer ${change.layer}; it has ${heads}.`,
          );
        for (let place = 0; place < headWidth; place++) {
          const index = change.head * headWidth + place;
          scaleAt(zColumns === null ? index : (zColumns[index] as number), change.scale);
        }
      }
    return { linear, factors };
  });
}

/** Copies all weights that are not in the header into one file, those of the recipe scaled; gives them with their new places. */
async function writeWeights(
  { model, tensors }: Baked,
  path: string,
  target: string,
  { signal, progress }: RunContext,
): Promise<Map<string, Initializer>> {
  const result = new Map<string, Initializer>();
  const sources = new Map<string, FileHandle>();
  const file = await open(target, 'wx');
  let at = 0;
  let done = 0;
  try {
    for (const [name, initializer] of model.graph.initializers) {
      throwIfAborted(signal);
      progress({ message: 'Writing weights', fraction: done++ / model.graph.initializers.size });
      const scaled = tensors.get(name);
      const { place, raw } = initializer;
      if (place.kind === 'inline' || raw !== null) {
        const changed = scaled === undefined || raw === null ? raw : scaledBytes(raw, initializer, scaled);
        result.set(name, { ...initializer, raw: changed });
        continue;
      }
      const from = place.kind === 'file' ? path : join(dirname(path), place.location);
      const source = sources.get(from) ?? (await open(from, 'r'));
      sources.set(from, source);
      const length = place.length ?? byteSize(initializer) ?? 0;
      at = Math.ceil(at / ALIGNMENT) * ALIGNMENT;
      const step = scaled === undefined ? CHUNK : length;
      for (let start = 0; start < length; start += step) {
        throwIfAborted(signal);
        const bytes = Buffer.alloc(Math.min(step, length - start));
        await source.read(bytes, 0, bytes.length, place.offset + start);
        const written = scaled === undefined ? bytes : scaledBytes(bytes, initializer, scaled);
        await file.write(written, 0, written.length, at + start);
      }
      result.set(name, placed(initializer, at, length));
      at += length;
    }
    await file.sync(); // a full disk may say so only now
  } finally {
    await file.close();
    for (const source of sources.values()) await source.close();
  }
  return result;
}

/** A float32 tensor's bytes with its rows, columns or elements multiplied. */
function scaledBytes(bytes: Uint8Array, { dims }: Initializer, { axis, factors }: ScaledTensor): Uint8Array {
  const numbers = new Float32Array(Uint8Array.from(bytes).buffer);
  const inner = dims.slice(axis + 1).reduce((product, dim) => product * dim, 1);
  for (let index = 0; index < numbers.length; index++)
    numbers[index] = (numbers[index] as number) * (factors[Math.floor(index / inner) % factors.length] as number);
  return new Uint8Array(numbers.buffer);
}

async function copyCompanions(ref: ModelRef, target: string): Promise<void> {
  const folders = new Set(['tokenizer.json', 'config.json'].map((file) => companionFolder(ref, file)));
  for (const folder of folders)
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      const file = join(folder, entry.name);
      if (!(await isCompanion(entry, file)) || existsSync(join(target, entry.name))) continue;
      await copyFile(file, join(target, entry.name));
    }
}

/** Links are those of a download's cache. */
async function isCompanion(entry: Dirent, file: string): Promise<boolean> {
  if (entry.name.startsWith('.') || entry.name === 'lens.json' || !COMPANIONS.has(extname(entry.name))) return false;
  const { size, ...stats } = await stat(file).then((found) => ({ size: found.size, isFile: found.isFile() }));
  return stats.isFile && size <= LARGEST_COMPANION;
}

/** The model's own notes, and that it was changed. */
function ownNotes(ref: ModelRef, { changes }: Recipe): Record<string, unknown> {
  const own = readCompanion(ref, 'lens.json') ?? {};
  const notes = Array.isArray(own['notes']) ? (own['notes'] as unknown[]) : [];
  const note = `Made from ${basename(ref.folder)} with ${changes.length} of its heads and neurons scaled in the weights (recipe.json).`;
  return { ...own, notes: [...notes, note] };
}
