/** Memories that fire together on a text: a non-negative factorisation of their activations (as Ecco does it, Alammar 2021). */
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  ACTIVE_THRESHOLD,
  type MemoryGroup,
  type MemoryGroups,
  type MemoryGroupsParams,
  type NeuronRef,
} from '../../../protocol/ffn';
import { LensError } from '../../../protocol/errors';
import { count, counted } from '../../../protocol/format';
import { blockHook } from '../../anatomy/hooks';
import type { Activation, Traceable } from '../../session/internals';
import type { RunContext } from '../../session/languageModel';
import { checkLayer, prepareInput } from '../attention/input';
import { topK } from '../../session/topK';
import { throwIfCancelled } from '../forward';
import { scaleInterventions } from '../interventions';
import { factorise } from './nmf';

/** More would take minutes; those with the largest sums of squares are kept. */
const MOST_MEMORIES = 3_000;

/** Throws `bad-input`, `model-unsupported` when the activations of no layer can be read, `cancelled`. */
export async function memoryGroups(
  model: Traceable,
  params: Omit<MemoryGroupsParams, 'model'>,
  { signal, progress }: RunContext,
): Promise<MemoryGroups> {
  const started = performance.now();
  const { groups, members, seed } = params;
  const { row, tokens, window, notes } = prepareInput(model, params);
  const anatomy = await model.anatomy();
  const length = row.ids.length;
  const wanted = [...new Set(params.layers ?? anatomy.blocks.keys())].sort((a, b) => a - b);
  for (const layer of wanted) checkLayer(anatomy, layer);
  const layers = wanted.filter((layer) => anatomy.hooks.sites.has(blockHook(layer, 'mlp.hook_post')));
  if (layers.length === 0)
    throw new LensError(
      'model-unsupported',
      `The memories of ${model.info.id} cannot be read: the feed-forward networks were not found.`,
      '“lens inspect” lists what was found in the model, and why the rest is missing.',
    );
  const content = tokens.flatMap(({ special }, token) => (special ? [] : [token]));
  if (content.length < groups)
    throw new LensError(
      'bad-input',
      `${counted(content.length, 'token')} cannot be told apart by ${counted(groups, 'group')}.`,
      'Ask for fewer groups, or give a longer text.',
    );
  const hooks = layers.map((layer) => blockHook(layer, 'mlp.hook_post'));
  const trace = await model.trace([row], hooks, scaleInterventions(anatomy, params.interventions ?? [], length));
  throwIfCancelled(signal);
  const all = layers.flatMap((layer, at) => firing(trace.get(hooks[at] as string) as Activation, layer, content));
  const [kept, active] = [loudest(all), all.length];
  if (kept.length === 0)
    throw new LensError('bad-input', 'No memory fires on this text.', 'Give another text, or take other layers.');
  const { columns, rows, error } = await factorise(
    kept.map(({ activations }) => activations),
    groups,
    seed,
    async (fraction) => {
      progress({ message: 'Finding groups', fraction });
      await nextTurn();
      throwIfCancelled(signal);
    },
  );
  const sums = rows.map((each, group) => sumOf(each) * sumOf(columns[group] as Float64Array));
  const total = sumOf(sums);
  const found = rows.map((each, group): MemoryGroup => {
    const weights = columns[group] as Float64Array;
    const own = new Float32Array(length);
    content.forEach((token, at) => (own[token] = each[at] as number));
    const perLayer = new Float64Array(anatomy.layers);
    weights.forEach((weight, at) => {
      const { layer } = kept[at] as Firing;
      perLayer[layer] = (perLayer[layer] as number) + weight;
    });
    const whole = sumOf(perLayer);
    return {
      share: total === 0 ? 0 : (sums[group] as number) / total,
      tokens: own,
      layers: Float32Array.from(perLayer, (sum) => (whole === 0 ? 0 : sum / whole)),
      members: topK(Float32Array.from(weights), members)
        .filter((at) => (weights[at] as number) > 0)
        .map((at) => {
          const { layer, neuron } = kept[at] as Firing;
          return { layer, neuron, weight: weights[at] as number };
        }),
    };
  });
  return {
    model: model.info.id,
    tokens,
    window,
    groups: found.sort((a, b) => b.share - a.share),
    error,
    method: `non-negative factorisation of max(m, 0) by alternating non-negative least squares, seed ${seed}; special tokens are left out`,
    notes: [
      ...notes,
      `${kept.length === 1 ? '1 memory' : `${count(kept.length)} memories`} with m above ${ACTIVE_THRESHOLD} at some token${
        active > kept.length ? `, the loudest of ${count(active)}` : ''
      }.`,
    ],
    elapsed: performance.now() - started,
  };
}

interface Firing extends NeuronRef {
  /** max(m, 0) at each token that is not special. */
  activations: Float32Array;
}

/** Memories of a layer that are active somewhere; activations [1,T,F]. */
function firing({ dims, data }: Activation, layer: number, content: readonly number[]): Firing[] {
  const width = dims[2] as number;
  const found: Firing[] = [];
  for (let neuron = 0; neuron < width; neuron++) {
    const activations = Float32Array.from(content, (token) => Math.max(0, data[token * width + neuron] as number));
    if (activations.some((m) => m > ACTIVE_THRESHOLD)) found.push({ layer, neuron, activations });
  }
  return found;
}

function loudest(all: readonly Firing[]): readonly Firing[] {
  if (all.length <= MOST_MEMORIES) return all;
  const squares = Float32Array.from(all, ({ activations }) => activations.reduce((sum, m) => sum + m * m, 0));
  return topK(squares, MOST_MEMORIES).map((at) => all[at] as Firing);
}

const sumOf = (values: ArrayLike<number>): number => Array.from(values).reduce((sum, value) => sum + value, 0);
