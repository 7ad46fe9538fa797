/**
 * The texts of a corpus that fire memories most, and how their activations are distributed (Geva et al. 2021, §3). The corpus is read a
 * piece at a time; of each run only the activations of these memories leave the runtime, and layers above theirs are not computed.
 */
import type { NeuronRef, TriggersParams, TriggersResult, TriggersState, TriggerText } from '../../../protocol/ffn';
import type { TextRange } from '../../../protocol/engine';
import { LensError } from '../../../protocol/errors';
import { neuronName } from '../../../protocol/format';
import { placeIn } from '../../../protocol/places';
import { blockHook } from '../../anatomy/hooks';
import type { Activation, Part, Trace, Traceable } from '../../session/internals';
import type { RunContext } from '../../session/languageModel';
import { quantisesActivations } from '../attention/changedRuns';
import { SentenceScan, type ScannedSentence } from '../corpora/scan';
import { TOKENS_PER_RUN } from '../forward';
import { checkNeurons } from '../interventions';
import { tracedRuns } from '../runs';
import { addTo } from './histogram';
import {
  isFurtherOut,
  newTriggersState,
  putText,
  readTriggersState,
  triggersResult,
  type NeuronState,
} from './triggersState';

const ENDS = ['largest', 'smallest'] as const;

/** Throws `bad-input`, `model-unsupported`, `numeric`, `memory`, `cancelled`. */
export async function triggers(
  model: Traceable,
  params: Omit<TriggersParams, 'model'>,
  { signal, progress }: RunContext,
): Promise<TriggersResult> {
  const started = performance.now();
  const { neurons, sources, topK, threshold, resume } = params;
  const anatomy = await model.anatomy();
  if (neurons.length === 0) throw new LensError('bad-input', 'No memory was named.', 'Name at least one: 9.1234.');
  if (new Set(neurons.map(neuronName)).size < neurons.length)
    throw new LensError('bad-input', 'A memory is named twice.', 'Name each once.');
  checkNeurons(anatomy, neurons);
  const what = { model: model.info.id, sources: sources.map(({ name }) => name), topK, threshold, neurons };
  const state = resume === undefined ? newTriggersState(what) : readTriggersState(resume, what);
  const scan = new SentenceScan(model, params, state);
  const { hooks, parts, columns } = columnsOf(neurons);

  // Activations that are quantised together would depend on what else is in the batch.
  const isAlone = quantisesActivations(anatomy);
  const fits = (rows: number, length: number): boolean => !isAlone && rows * length <= TOKENS_PER_RUN;
  await scan.addAll(
    tracedRuns(model, scan.rows(signal), hooks, fits, signal, { parts, only: true }),
    ({ items, trace }) => {
      for (const [place, item] of items.entries()) {
        state.sentences++;
        state.tokens += item.content.length;
        for (const [index, own] of state.neurons.entries())
          addText(
            own,
            item,
            activationsOf(trace, columns[index] as Column, place, item.row.ids.length),
            { topK, threshold },
            model.info.id,
          );
      }
    },
    progress,
    (present) => ({ triggers: triggersResult(present, performance.now() - started) }),
  );
  return triggersResult(state, performance.now() - started);
}

/** Where a neuron's activations are in a trace. */
interface Column {
  hook: string;
  /** Among those of the hook. */
  at: number;
}

function columnsOf(neurons: readonly NeuronRef[]): { hooks: string[]; parts: Map<string, Part>; columns: Column[] } {
  const picked = new Map<string, number[]>();
  const columns = neurons.map(({ layer, neuron }) => {
    const hook = blockHook(layer, 'mlp.hook_post');
    const own = picked.get(hook) ?? [];
    picked.set(hook, own);
    return { hook, at: own.push(neuron) - 1 };
  });
  return {
    hooks: [...picked.keys()],
    parts: new Map([...picked].map(([hook, own]) => [hook, { columns: own }])),
    columns,
  };
}

/** m of one neuron at each token [T] of a row. */
function activationsOf(trace: Trace, { hook, at }: Column, row: number, length: number): Float32Array {
  const { dims, data } = trace.get(hook) as Activation;
  const [, tokens, width] = dims as [number, number, number];
  return Float32Array.from({ length }, (_, token) => data[(row * tokens + token) * width + at] as number);
}

function addText(
  own: NeuronState,
  item: ScannedSentence,
  activations: Float32Array,
  { topK, threshold }: Pick<TriggersState, 'topK' | 'threshold'>,
  model: string,
): void {
  const { sums } = own;
  let [most, least] = [item.content[0] as number, item.content[0] as number];
  for (const token of item.content) {
    const m = activations[token] as number;
    if (!Number.isFinite(m))
      throw new LensError(
        'numeric',
        `${model} gave ${m} at ${neuronName(own)} in “${item.sentence.text.slice(0, 60)}”.`,
        'float16 exports overflow on some inputs; try a float32 export or another text.',
      );
    sums.sum += m;
    sums.squares += m * m;
    if (m > 0) sums.positive++;
    if (Math.abs(m) > threshold) sums.active++;
    if (m > (activations[most] as number)) most = token;
    if (m < (activations[least] as number)) least = token;
    addTo(own.histogram, m);
  }
  sums.min = Math.min(sums.min, activations[least] as number);
  sums.max = Math.max(sums.max, activations[most] as number);
  for (const end of ENDS) {
    const token = end === 'largest' ? most : least;
    const found = { index: item.sentence.index, activation: activations[token] as number };
    const last = own[end].at(-1);
    if (last === undefined || own[end].length < topK || isFurtherOut(end, found, last))
      putText(own[end], end, textOf(item, token, activations), topK);
  }
}

function textOf({ sentence, tokens }: ScannedSentence, token: number, activations: Float32Array): TriggerText {
  const range = tokens[token]?.range as TextRange;
  return {
    ...{ index: sentence.index, source: sentence.source, text: sentence.text, lines: sentence.lines },
    ...{ token, range, ...placeIn(sentence, range.start), activation: activations[token] as number },
    tokens: tokens.map(({ label, range: place }) => ({ token: label, range: place })),
    activations,
  };
}
