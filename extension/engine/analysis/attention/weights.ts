/**
 * What the weights of attention tell by themselves. Shapes as in session/weights.ts: W_Q, W_O of H heads, W_K, W_V of K, d wide.
 *
 * Expansion rate of a block (Kobayashi et al. 2021, literal form of gorokoba560/norm-analysis-of-transformer): with
 * value = [[W_v, b_v],[0,1]] and dense = [[W_oᵀ, b_o],[0,1]], W in PyTorch's layout (out,in), ‖valueᵀ·dense‖_F / √(D+1). In the layout
 * here, W_V = W_vᵀ [D,H·d] and W_O = W_oᵀ [H·d,D], that product is
 *
 *     [[ W_V·W_O   W_V·b_O     ]
 *      [ b_V·W_O   b_V·b_O + 1 ]]
 *
 * which is not the affine map that the block computes (there b_O belongs to the last row); the figures in print are of this form.
 *
 * OV and QK of a head: ‖W_V W_O‖_F and ‖W_Q W_Kᵀ‖_F, by ‖A·B‖_F² = Σ (AᵀA) ∘ (B·Bᵀ), which takes d×d matrices instead of D×D.
 */
import type { HeadWeights } from '../../../protocol/attention';
import { LensError } from '../../../protocol/errors';
import type { Activation, Internals } from '../../session/internals';
import type { LanguageModel, RunContext } from '../../session/languageModel';
import { throwIfCancelled } from '../forward';

export async function headWeights(
  model: LanguageModel & Internals,
  { signal, progress }: RunContext,
): Promise<HeadWeights> {
  const { layers, blocks, hooks } = await model.anatomy();
  if (layers === 0)
    throw new LensError(
      'model-unsupported',
      `${model.info.id} has no attention that can be read: ${hooks.missing.get('blocks.*') ?? 'none was found'}.`,
      '“lens inspect” lists what was found in the model, and why the rest is missing.',
    );
  const heads = Math.max(...blocks.map(({ attention }) => attention.heads));
  const expansion: (number | null)[] = [];
  const ov = new Float32Array(layers * heads).fill(NaN);
  const qk = new Float32Array(layers * heads).fill(NaN);
  const notes: string[] = [];
  for (let layer = 0; layer < layers; layer++) {
    throwIfCancelled(signal);
    progress({ message: `Block ${layer} of ${layers}`, fraction: layer / layers });
    const note = (why: string): void => void notes.push(`Block ${layer}: ${why}`);
    const read = (name: string): Promise<Activation | null> => readWeight(model, `blocks.${layer}.attn.${name}`, note);
    const [value, output] = [await read('W_V'), await read('W_O')];
    const [query, key] = [await read('W_Q'), await read('W_K')];
    if (value === null || output === null) expansion.push(null);
    else {
      const [valueBias, outputBias] = [await read('b_V'), await read('b_O')];
      expansion.push(
        valueBias === null || outputBias === null
          ? null
          : expansionRate(value, output, valueBias.data, outputBias.data, note),
      );
      ov.set(productNorms(columns(value), rows(output)), layer * heads);
    }
    if (query !== null && key !== null) qk.set(productNorms(columns(query), columns(key)), layer * heads);
  }
  return { model: model.info.id, expansion, ov, qk, heads, notes };
}

async function readWeight(model: Internals, name: string, note: (why: string) => void): Promise<Activation | null> {
  try {
    return await model.weight(name);
  } catch (thrown) {
    if (!(thrown instanceof LensError) || thrown.code !== 'model-unsupported') throw thrown;
    note(thrown.message);
    return null;
  }
}

/** Vectors of equal length, one after the other: of each head [N,d,D]. */
interface Vectors {
  heads: number;
  count: number;
  length: number;
  data: Float32Array;
}

/** Columns of each head's W [N,D,d], as rows. */
function columns({ dims, data }: Activation): Vectors {
  const [heads, length, count] = dims as [number, number, number];
  const turned = new Float32Array(data.length);
  for (let head = 0; head < heads; head++)
    for (let place = 0; place < length; place++)
      for (let column = 0; column < count; column++)
        turned[(head * count + column) * length + place] = data[(head * length + place) * count + column] as number;
  return { heads, count, length, data: turned };
}

/** Rows of each head's W [N,d,D]. */
function rows({ dims, data }: Activation): Vectors {
  const [heads, count, length] = dims as [number, number, number];
  return { heads, count, length, data };
}

/** Σ_ab (x_a·x_b)(y_a·y_b): the squared norm of Σ_a x_a y_aᵀ, of vectors that begin at the given places. */
function squaredNorm(x: Vectors, y: Vectors, places: readonly (readonly [number, number])[]): number {
  let sum = 0;
  for (let a = 0; a < places.length; a++) {
    const [firstX, firstY] = places[a] as readonly [number, number];
    for (let b = 0; b <= a; b++) {
      const [secondX, secondY] = places[b] as readonly [number, number];
      const product = dot(x.data, firstX, secondX, x.length) * dot(y.data, firstY, secondY, y.length);
      sum += a === b ? product : 2 * product;
    }
  }
  return sum;
}

function dot(data: Float32Array, a: number, b: number, length: number): number {
  let sum = 0;
  for (let index = 0; index < length; index++) sum += (data[a + index] as number) * (data[b + index] as number);
  return sum;
}

/** Where each of a head's vectors begins in both; fewer heads of keys and values serve as many of the others in turn. */
function placesOf(x: Vectors, y: Vectors, head: number): [number, number][] {
  const heads = Math.max(x.heads, y.heads);
  const begin = (vectors: Vectors, index: number): number =>
    (Math.floor((head * vectors.heads) / heads) * vectors.count + index) * vectors.length;
  return Array.from({ length: x.count }, (_, index) => [begin(x, index), begin(y, index)]);
}

function productNorms(x: Vectors, y: Vectors): Float32Array {
  return Float32Array.from({ length: Math.max(x.heads, y.heads) }, (_, head) =>
    Math.sqrt(squaredNorm(x, y, placesOf(x, y, head))),
  );
}

/** Null, with a note, where the literal form is not defined. */
function expansionRate(
  value: Activation,
  output: Activation,
  valueBias: Float32Array,
  outputBias: Float32Array,
  note: (why: string) => void,
): number | null {
  const [v, o] = [columns(value), rows(output)];
  const width = v.length;
  if (o.heads * o.count !== width) {
    note(
      `the heads are ${o.heads * o.count} wide together and the model ${width}, so the expansion rate is not defined.`,
    );
    return null;
  }
  // The pairs (column of W_V, row of W_O), with the number of the column in b_V.
  const places = Array.from({ length: o.heads }, (_, head) => placesOf(v, o, head)).flat();
  let sum = squaredNorm(v, o, places);
  // W_V·b_O: its D columns meet the D entries of the bias.
  const [toBias, fromBias] = [new Float64Array(width), new Float64Array(width)];
  let corner = 1;
  places.forEach(([atValue, atOutput], index) => {
    const weightOfColumn = outputBias[index] as number;
    const biasOfColumn = valueBias[atValue / width] as number;
    corner += weightOfColumn * biasOfColumn;
    for (let place = 0; place < width; place++) {
      toBias[place] = (toBias[place] as number) + (v.data[atValue + place] as number) * weightOfColumn;
      fromBias[place] = (fromBias[place] as number) + (o.data[atOutput + place] as number) * biasOfColumn;
    }
  });
  for (const vector of [toBias, fromBias]) sum += vector.reduce((total, entry) => total + entry * entry, 0);
  return Math.sqrt((sum + corner * corner) / (width + 1));
}
