/** All heads switched off one by one, beside as many plain runs of the bare runtime, in turns. */
import { resolve } from 'node:path';
import * as ort from 'onnxruntime-node';
import { ablate } from '../../extension/engine/analysis/attention/ablate';
import { describeModel } from '../../extension/engine/session/describe';
import { openModel } from '../../extension/engine/session/ortModel';
import type { EngineSettings, ModelRef } from '../../extension/protocol/engine';
import { median, timed, type Figure } from './figure';

const TOKENS = 32;
const ROUNDS = 3;
const LIMIT = 0.5;
const WORD = 'sea';

export async function ablationFigures(settings: EngineSettings, report: (figure: Figure) => void): Promise<void> {
  const large = process.env['ONNX_LENS_BERT_F32'];
  await ablated('int8 file', { id: 'bert-base-cased', folder: resolve('models/bert-base-cased') }, settings, report);
  if (large !== undefined) await ablated('float32 file', { id: 'float32', folder: large }, settings, report);
}

async function ablated(
  title: string,
  ref: ModelRef,
  settings: EngineSettings,
  report: (figure: Figure) => void,
): Promise<void> {
  const { path, logits } = await describeModel(ref);
  const bare = await ort.InferenceSession.create(path, {
    intraOpNumThreads: settings.threads,
    logSeverityLevel: 3,
    extra: { session: { disable_quant_qdq: '1' } },
  });
  const model = await openModel(ref, settings, () => undefined, 'later');
  const words = Array.from({ length: TOKENS - 2 }, (_, index) => (index === 5 ? '[MASK]' : WORD)).join(' ');
  const ids = BigInt64Array.from(model.tokenizer.encode(words).ids, BigInt);
  const tensor = (data: BigInt64Array): ort.Tensor => new ort.Tensor('int64', data, [1, ids.length]);
  const all: Record<string, ort.Tensor> = {
    input_ids: tensor(ids),
    attention_mask: tensor(new BigInt64Array(ids.length).fill(1n)),
    token_type_ids: tensor(new BigInt64Array(ids.length)),
  };
  const feeds = Object.fromEntries(Object.entries(all).filter(([name]) => bare.inputNames.includes(name)));
  const { layers, heads } = model.info;
  const runs = (layers ?? 0) * (heads ?? 0);
  const plain = (count: number): Promise<number> =>
    timed(async () => {
      for (let run = 0; run < count; run++) await bare.run(feeds, [logits ?? 'logits']);
    });
  const each = (): Promise<number> =>
    timed(() =>
      ablate(
        model,
        { text: words, ablate: { each: 'all' }, mean: false, importance: false, topK: 10 },
        { signal: new AbortController().signal, progress: () => undefined },
      ),
    );
  await plain(2); // warm-up
  await model.anatomy();
  const first = await each();
  const [ours, theirs]: [number[], number[]] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    // Half of them on each side: other work on the machine comes and goes.
    const before = await plain(Math.floor(runs / 2));
    ours.push(await each());
    theirs.push(before + (await plain(Math.ceil(runs / 2))));
  }
  const name = `${runs} heads ablated, ${title}, T = ${ids.length}`;
  const baseline = median(theirs);
  const ratio = median(ours.map((time, round) => time / (theirs[round] as number)));
  const goal = `≤ ${LIMIT} of ${runs} bare runs`;
  report({ name, value: median(ours), unit: 'ms', baseline, ratio, goal, ok: ratio <= LIMIT });
  const ratioOfFirst = first / baseline;
  report({
    name: `${name}, sessions made`,
    value: first,
    unit: 'ms',
    baseline,
    ratio: ratioOfFirst,
    goal: '–',
    ok: true,
  });
  await bare.release();
  await model.release();
}
