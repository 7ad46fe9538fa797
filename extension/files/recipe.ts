/** Recipes: heads and neurons scaled, bound to one model, as a small file that people read and share. Plain Node. */
import type { ModelFingerprint } from '../protocol/probes';
import type { Recipe } from '../protocol/ffn';
import { LensError } from '../protocol/errors';
import { changeText } from '../protocol/format';
import type { Scale } from '../protocol/interventions';

const MOST_CHANGES = 4096;

const bad = (why: string): LensError =>
  new LensError(
    'bad-input',
    `This is no recipe of heads and neurons: ${why}.`,
    'A recipe is JSON with format, version, model, fingerprint and changes; “lens intervene --save FILE” writes one.',
  );

export const newRecipe = (model: string, { sha256 }: ModelFingerprint, changes: readonly Scale[]): Recipe => ({
  format: 'onnx-lens-recipe',
  version: 1,
  model,
  fingerprint: sha256,
  changes: [...changes],
});

/** Throws `bad-input`. */
export function parseRecipe(text: string): Recipe {
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/u, ''));
  } catch {
    throw bad('it is not valid JSON');
  }
  if (typeof value !== 'object' || value === null) throw bad('it is no object');
  const { format, version, model, fingerprint, changes } = value as Record<string, unknown>;
  if (format !== 'onnx-lens-recipe') throw bad('its format is not onnx-lens-recipe');
  if (version !== 1) throw bad(`its version is ${JSON.stringify(version)}, and this program reads 1`);
  if (typeof model !== 'string' || typeof fingerprint !== 'string' || !/^[0-9a-f]{64}$/u.test(fingerprint))
    throw bad('it does not say for which model it is');
  return { format, version, model, fingerprint, changes: readChanges(changes) };
}

/** Throws `bad-input`. */
export function readChanges(value: unknown): Scale[] {
  if (!Array.isArray(value) || value.length > MOST_CHANGES) throw bad('it has no list of changes');
  return value.map(changeOf);
}

function changeOf(value: unknown, index: number): Scale {
  const { layer, head, neuron, scale, position } = (value ?? {}) as Record<string, unknown>;
  const isPlace = (each: unknown): each is number => Number.isSafeInteger(each) && (each as number) >= 0;
  if (!isPlace(layer) || typeof scale !== 'number' || !Number.isFinite(scale))
    throw bad(`change ${index + 1} has no layer or no scale`);
  if (position !== undefined && !isPlace(position)) throw bad(`change ${index + 1} has a position that is no index`);
  const rest = { scale, ...(position === undefined ? {} : { position }) };
  if (isPlace(head) && neuron === undefined) return { layer, head, ...rest };
  if (isPlace(neuron) && head === undefined) return { layer, neuron, ...rest };
  throw bad(`change ${index + 1} names neither a head nor a neuron`);
}

/**
 * `L7H9` and `L7H9=0` (a head off), `L9N1234=2` (a neuron doubled), `L9N1234=2@6` (at token 6 only); several with commas or spaces
 * between them. Throws `bad-input`.
 */
export function parseChanges(text: string): Scale[] {
  return text
    .split(/[\s,;]+/u)
    .filter((each) => each !== '')
    .map((each) => {
      const [, layer, kind, index, scale = '0', position] =
        /^L(\d+)([HN])(\d+)(?:=(-?(?:\d+\.?\d*|\.\d+)(?:e-?\d+)?))?(?:@(\d+))?$/iu.exec(each) ?? [];
      if (layer === undefined || index === undefined)
        throw new LensError(
          'bad-input',
          `“${each}” is no change.`,
          'Write L7H9 for a head off, L9N1234=2 for a neuron doubled, with @6 at the end for token 6 only.',
        );
      const rest = { scale: Number(scale), ...(position === undefined ? {} : { position: Number(position) }) };
      const part = kind?.toUpperCase() === 'H' ? { head: Number(index) } : { neuron: Number(index) };
      return { layer: Number(layer), ...part, ...rest };
    });
}

/** Weights are the same for all tokens. Throws `bad-input`. */
export function requireBakeable(changes: readonly Scale[]): void {
  const placed = changes.find(({ position }) => position !== undefined);
  if (placed !== undefined)
    throw new LensError(
      'bad-input',
      `${changeText(placed)} holds at one token only; weights are the same for all tokens, so it cannot be written into them.`,
      'Export changes that hold everywhere.',
    );
}

/** A recipe means nothing in another model. Throws `bad-input`. */
export function requireOwn(recipe: Recipe, model: string, { sha256 }: ModelFingerprint): void {
  if (recipe.fingerprint === sha256) return;
  throw new LensError(
    'bad-input',
    `The recipe is for another model (${recipe.model}), or for another version of ${model}: its fingerprint is not this one's.`,
    'Apply it to the files that it was made with.',
  );
}
