/** Which layers a task wants: the mix learned from labelled examples, beside each layer by itself and honest baselines. */
import type { LearnMixParams, LearnMixResult, MixExample, VectorLayer } from '../../../protocol/embeddings';
import { LensError } from '../../../protocol/errors';
import { counted } from '../../../protocol/format';
import type { InputRow, RunContext } from '../../session/languageModel';
import { seededRandom, shuffle } from '../random';
import { readExamples } from '../corpora/examples';
import { tracedRuns } from '../runs';
import { fitsRun, vectorsAt, type Embedder } from './embed';
import { checkVectors, hiddenStates, hooksOf, layerName } from './layers';
import { accuracyOf, fitMix, type LayeredData } from './mixFit';
import { meanOf } from './pooling';
import { textRow } from './texts';

const MOST_BYTES = 2 ** 30;

/** Examples of one text. */
interface Text {
  row: InputRow;
  examples: { index: number; tokens: number[] }[];
}

export async function learnMix(
  model: Embedder,
  { folds, seed, steps, rate, decay, ...files }: Omit<LearnMixParams, 'model'>,
  context: RunContext,
): Promise<LearnMixResult> {
  const started = performance.now();
  const { signal, progress } = context;
  const [train, test] = [files.train, files.test].map((each) => ('file' in each ? readExamples(each) : each)) as [
    MixExample[],
    MixExample[],
  ];
  const labels = [...new Set(train.map(({ label }) => label))].sort();
  if (labels.length < 2)
    throw new LensError(
      'bad-input',
      `The examples have ${labels.length === 0 ? 'no label' : `one label only (“${labels[0]}”)`}.`,
      'Two or more classes are needed.',
    );
  if (test.length === 0 && folds > train.length)
    throw new LensError('bad-input', `${train.length} examples do not make ${folds} parts.`, 'Take fewer.');
  const states = await hiddenStates(model);
  const { embeddings } = await model.anatomy();
  const hidden: VectorLayer[] = Array.from({ length: states.last + 1 }, (_, layer) => layer);
  const all: VectorLayer[] = embeddings.word === null ? hidden : ['static', ...hidden];
  const examples = [...train, ...test];
  const width = model.info.hiddenSize ?? 1;
  if (examples.length * all.length * width * 4 > MOST_BYTES)
    throw new LensError(
      'memory',
      `${counted(examples.length, 'example')} at ${all.length} layers do not fit into memory at once.`,
      'Take fewer examples.',
    );
  const features = await featuresOf(model, examples, all, context);
  const known = examples.map(({ label }) => labels.indexOf(label));
  const left = [...train.keys()];
  // Labels that were never seen cannot be right; they count as wrong.
  const held = test.map((_, index) => train.length + index);

  /** Layers of some rows: less the mean of the training rows, and of one scale for all layers. */
  const data = (layers: readonly number[], fit: readonly number[], rows: readonly number[]): LayeredData => {
    const chosen = layers.map((layer) => features[layer] as { width: number; data: Float32Array });
    const own = chosen[0]?.width ?? width;
    const means = chosen.map(({ data: numbers }) => meanRow(numbers, own, fit));
    let square = 0;
    chosen.forEach(({ data: numbers }, layer) => {
      for (const row of fit)
        for (let at = 0; at < own; at++)
          square += ((numbers[row * own + at] as number) - (means[layer]?.[at] ?? 0)) ** 2;
    });
    const scale = 1 / Math.sqrt(square / (chosen.length * fit.length * own) || 1);
    return {
      width: own,
      labels: Int32Array.from(rows, (row) => known[row] as number),
      layers: chosen.map(({ data: numbers }, layer) => {
        const taken = new Float32Array(rows.length * own);
        rows.forEach((row, place) => {
          for (let at = 0; at < own; at++)
            taken[place * own + at] = scale * ((numbers[row * own + at] as number) - (means[layer]?.[at] ?? 0));
        });
        return taken;
      }),
    };
  };
  const options = { steps, rate, decay };
  const parts = held.length > 0 ? [{ fit: left, tested: held }] : foldsOf(left, folds, seed);
  const shift = all.length - hidden.length;
  const mixed = hidden.map((_, layer) => layer + shift);
  let done = 0;
  const total = parts.length * (1 + all.length) + 1;
  const tick = (what: string): void => progress({ message: what, fraction: 0.5 + (0.5 * (done += 1)) / total });
  /** Of the parts that were not learned from, together. */
  const score = async (layers: readonly number[], name: string): Promise<number> => {
    let right = 0;
    let tested = 0;
    for (const part of parts) {
      const fitted = await fitMix(data(layers, part.fit, part.fit), labels.length, options, signal);
      right += part.tested.length * accuracyOf(data(layers, part.fit, part.tested), fitted);
      tested += part.tested.length;
      tick(`Learning ${name}`);
    }
    return right / tested;
  };
  const whole = data(mixed, left, left);
  const fitted = await fitMix(whole, labels.length, options, signal);
  tick('Learning the mix');
  const accuracy = await score(mixed, 'the mix');
  const single: LearnMixResult['single'] = [];
  for (const [index, layer] of all.entries())
    single.push({
      layer: layer as 'static' | number,
      name: layerName(layer),
      accuracy: await score([index], layerName(layer)),
    });
  const most = labels.map((label) => train.filter((each) => each.label === label).length);
  const majority = labels[most.indexOf(Math.max(...most))] as string;
  const tested = held.length > 0 ? test : train;
  return {
    model: model.info.id,
    labels,
    ...{ train: train.length, test: test.length, folds: held.length > 0 ? 0 : folds, seed },
    mix: { weights: fitted.weights, gamma: fitted.gamma },
    loss: fitted.loss,
    accuracy,
    trainAccuracy: accuracyOf(whole, fitted),
    single,
    majority: { label: majority, accuracy: tested.filter(({ label }) => label === majority).length / tested.length },
    elapsed: performance.now() - started,
  };
}

/** Rows into parts of like size, each of which is tested with what was learned of the others. */
function foldsOf(rows: readonly number[], folds: number, seed: number): { fit: number[]; tested: number[] }[] {
  const order = shuffle([...rows], seededRandom(seed));
  return Array.from({ length: folds }, (_, fold) => ({
    fit: order.filter((__, place) => place % folds !== fold),
    tested: order.filter((__, place) => place % folds === fold),
  }));
}

function meanRow(data: Float32Array, width: number, rows: readonly number[]): Float64Array {
  const mean = new Float64Array(width);
  for (const row of rows)
    for (let at = 0; at < width; at++)
      mean[at] = (mean[at] as number) + (data[row * width + at] as number) / rows.length;
  return mean;
}

/** The vector of each example at each layer: the mean over its range, or over the whole text with its special tokens. */
async function featuresOf(
  model: Embedder,
  examples: readonly MixExample[],
  layers: readonly VectorLayer[],
  { signal, progress }: RunContext,
): Promise<{ width: number; data: Float32Array }[]> {
  const states = await hiddenStates(model);
  const hooks = hooksOf(model, states, layers);
  const table = layers.includes('static') ? await model.weight('embed.W_E') : null;
  const texts = new Map<string, Text>();
  examples.forEach(({ text, range }, index) => {
    const known = texts.get(text);
    const { row, tokens } = textRow(model, text);
    const own = known ?? { row, examples: [] };
    texts.set(text, own);
    const inside =
      range === undefined
        ? [...tokens.keys()]
        : tokens.flatMap(({ range: place }, token) =>
            place !== null && place.start < range.end && place.end > range.start ? [token] : [],
          );
    if (inside.length === 0)
      throw new LensError(
        'bad-input',
        `Example ${index + 1} has no token in the model’s window: “${text.slice(0, 60)}”.`,
        'Shorten the text, or leave the example out.',
      );
    own.examples.push({ index, tokens: inside });
  });
  const result: { width: number; data: Float32Array }[] = [];
  const width = model.info.hiddenSize ?? 1;
  let done = 0;
  for await (const { items, trace } of tracedRuns(model, texts.values(), hooks, fitsRun(hooks.length, width), signal)) {
    for (const [place, text] of items.entries())
      layers.forEach((layer, at) => {
        const vectors = vectorsAt(trace, states, table, text, place, layer);
        checkVectors(vectors, model.info.id, layer);
        const own = (result[at] ??= { width: vectors.width, data: new Float32Array(examples.length * vectors.width) });
        for (const { index, tokens } of text.examples) own.data.set(meanOf(vectors, tokens), index * vectors.width);
      });
    done += items.length;
    progress({ message: `${counted(done, 'text')} of ${texts.size}`, fraction: (0.5 * done) / texts.size });
  }
  return result;
}
