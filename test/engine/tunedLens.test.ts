/** A tuned lens: gradients and steps are PyTorch's, training helps on text that was held out, and can be interrupted. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { CachePlace } from '../../extension/engine/analysis/cacheFile';
import { adamStep, newAdam } from '../../extension/engine/analysis/adam';
import { Distribution } from '../../extension/engine/analysis/distribution';
import { logitLens, logitLensTable } from '../../extension/engine/analysis/ffn/logitLens';
import { sourcesOf } from '../../extension/engine/analysis/ffn/lensStates';
import {
  readLens,
  readTraining,
  throughLens,
  tunedFolder,
  tunedStatus,
  type TunedLens,
} from '../../extension/engine/analysis/ffn/tunedLens';
import { MOST_NUMBERS, tuneLens } from '../../extension/engine/analysis/ffn/tuneLens';
import { TuneRuns } from '../../extension/engine/analysis/ffn/tuneRuns';
import { statesAt, TuneTexts } from '../../extension/engine/analysis/ffn/tuneTexts';
import { HeadGraph } from '../../extension/engine/session/headGraph';
import type { Internals } from '../../extension/engine/session/internals';
import type { RunContext } from '../../extension/engine/session/languageModel';
import { openModel, type OrtModel } from '../../extension/engine/session/ortModel';
import { LensError, type LensErrorCode } from '../../extension/protocol/errors';
import type { ModelRef } from '../../extension/protocol/engine';
import { TUNE_DEFAULTS, type TunedLensInfo, type TuneSettings } from '../../extension/protocol/ffn';
import { quiet } from '../support/fakeModel';
import { BUNDLED, fixture, fixtureNames, reference, SETTINGS } from '../support/fixtures';

const CORPUS = resolve('test/fixtures/ffn/corpus.tsv');
const MEANS = {
  settings: SETTINGS,
  turn: <T>(work: () => Promise<T>): Promise<T> => work(),
  saveMs: 0,
  mostNumbers: MOST_NUMBERS,
};
const fails =
  (code: LensErrorCode, says = /./u) =>
  (thrown: unknown) =>
    thrown instanceof LensError && thrown.code === code && says.test(thrown.message);

async function using<T>(ref: ModelRef, work: (model: OrtModel) => Promise<T>): Promise<T> {
  const model = await openModel(ref, SETTINGS, () => undefined, 'later');
  try {
    return await work(model);
  } finally {
    await model.release();
  }
}

interface Case {
  model: string;
  width: number;
  states: number[];
  final: number[];
  matrix: number[];
  bias: number[];
  divergences: number[];
  /** Every seventh row. */
  matrixGradient: number[][];
  biasGradient: number[];
  matrixAfter: number[][];
  biasAfter: number[];
}

const { rows, steps, rate, cases } = JSON.parse(readFileSync(resolve('test/fixtures/ffn/tuned.json'), 'utf8')) as {
  rows: number;
  steps: number;
  rate: number;
  cases: Case[];
};

/** Within a part of the largest. */
function assertNear(found: ArrayLike<number>, expected: readonly number[], what: string, tolerance = 1e-4): void {
  assert.equal(found.length, expected.length, what);
  const largest = Math.max(...expected.map(Math.abs));
  const worst = expected.reduce((most, each, at) => Math.max(most, Math.abs(each - (found[at] as number))), 0);
  assert.ok(worst <= tolerance * largest, `${what}: off by ${worst} of ${largest}`);
}

const seventh = (matrix: Float32Array, width: number): number[] =>
  Array.from(matrix).filter((_, at) => Math.floor(at / width) % 7 === 0);

describe('tuned lens', function () {
  this.timeout(120_000);

  let cache: string;
  beforeEach(() => (cache = mkdtempSync(join(tmpdir(), 'onnx-lens-tuned-'))));
  afterEach(() => rmSync(cache, { recursive: true, force: true }));

  const placeOf = (name: string): CachePlace => tunedFolder(cache, name.padEnd(64, '0'));
  const settings = (change: Partial<TuneSettings> = {}): TuneSettings => ({
    sources: [{ name: 'corpus.tsv', file: CORPUS }],
    ...TUNE_DEFAULTS,
    ...{ tokens: 300, rate: 0.003, ...change },
  });
  const tune = (
    model: Internals,
    begin: TuneSettings | undefined,
    place = placeOf(model.info.id),
    context: RunContext = quiet(),
  ): Promise<TunedLensInfo> => tuneLens(model, begin === undefined ? {} : { begin }, place, MEANS, context);

  for (const each of cases)
    it(`${each.model}: divergences, gradients and steps are those of PyTorch`, () =>
      using(fixture(each.model), async (model) => {
        const { width } = each;
        const graph = await HeadGraph.create(await model.headLayers(), width, SETTINGS, each.model);
        try {
          const states = Float32Array.from(each.states);
          const map = { matrix: Float32Array.from(each.matrix), bias: Float32Array.from(each.bias) };
          const expected = await graph.distribution(Float32Array.from(each.final));
          // Beside another state, which has no part in it.
          const both = [states.map((value) => -2 * value), states];
          const maps = [{ matrix: map.matrix.map((value) => 3 * value), bias: map.bias.slice() }, map];
          const [, divergences] = await graph.divergence(both, maps, expected);
          assertNear(divergences ?? [], each.divergences, 'divergences');
          const adam = newAdam([map.matrix, map.bias]);
          for (let step = 0; step < steps; step++) {
            const [, found] = await graph.gradients(both, maps, expected);
            const { loss, matrix, bias } = found ?? assert.fail('there are two states');
            if (step === 0) {
              assertNear([loss], [each.divergences.reduce((sum, one) => sum + one, 0)], 'loss');
              const mean = (gradient: ArrayLike<number>): number[] => Array.from(gradient, (sum) => sum / rows);
              assertNear(mean(seventh(matrix, width)), each.matrixGradient.flat(), 'gradient of A');
              assertNear(mean(bias), each.biasGradient, 'gradient of b');
            }
            adamStep([map.matrix, map.bias], [matrix, bias], adam, rate, 1 / rows);
          }
          assertNear(seventh(map.matrix, width), each.matrixAfter.flat(), 'A after the steps');
          assertNear(map.bias, each.biasAfter, 'b after the steps');
        } finally {
          await graph.release();
        }
      }));

  const predicting = fixtureNames.filter((name) => ['mlm', 'clm', 'pretraining'].includes(reference(name).meta.head));
  for (const name of predicting)
    it(`${name}: training helps on sentences that were held out`, () =>
      using(fixture(name), async (model) => {
        const place = placeOf(name);
        const info = await tune(model, settings(), place);
        const { layers } = await model.anatomy();
        assert.equal(info.states.length, layers);
        assert.ok(info.tokens >= 300 && info.steps >= 3 && info.heldOut > 0);
        const [plain, tuned] = (['plain', 'tuned'] as const).map((which) =>
          info.states.reduce((sum, state) => sum + state[which], 0),
        ) as [number, number];
        assert.ok(tuned < plain, `${tuned}, not below ${plain}`);
        const lens = (await readLens(place)) as TunedLens;
        assert.deepEqual(lens.info, info);
        assert.equal(await readTraining(place), null);
        const text = (reference(name).meta.cases[0]?.text as [string])[0];
        const [was, now] = [
          await logitLensTable(model, { text, attention: false }, quiet()),
          await logitLensTable(model, { text, attention: false }, quiet(), lens),
        ];
        assert.deepEqual(now.tuned, info);
        assert.equal(was.tuned, null);
        // In the end the model says what it says, and what has no map is read as it stands.
        const last = (now.places.length - 1) * now.tokens.length;
        assert.deepEqual(now.probs.slice(last), was.probs.slice(last));
        assert.notDeepEqual(now.probs, was.probs);
      }));

  it('reads a state as the model’s head reads the mapped state', () =>
    using(fixture('bert'), async (model) => {
      await tune(model, settings());
      const lens = (await readLens(placeOf('bert'))) as TunedLens;
      const text = 'The cat sat on the [MASK].';
      const { ids } = model.tokenizer.encode(text);
      const position = ids.indexOf(model.tokenizer.maskId as number);
      const found = await logitLens(model, { text, position, topK: 1, watch: [5] }, quiet(), lens);
      assert.deepEqual(
        found.states.map(({ part }) => part),
        ['input', 'ffn', 'ffn', 'ffn'],
      );
      const hook = 'blocks.1.hook_resid_pre';
      const trace = await model.trace([{ ids }], [hook], [], { parts: new Map([[hook, { positions: [position] }]]) });
      const h = trace.get(hook)?.data as Float32Array;
      const { matrix, bias } = lens.maps[1] ?? assert.fail('no map was used');
      const mapped = h.map((each, to) =>
        h.reduce((sum, one, from) => sum + one * (matrix[from * h.length + to] as number), each + (bias[to] as number)),
      );
      const { data } = await model.runHead({ dims: [1, 1, h.length], data: mapped });
      const own = new Distribution(data);
      const watched = found.watched.find(({ id }) => id === 5);
      assert.ok(Math.abs((watched?.logprobs[1] as number) - own.logprob(5)) < 1e-4);
      assert.ok(Math.abs((found.states[1]?.entropy as number) - own.entropy()) < 1e-4);
      assert.ok(watched?.steps.attention.every(Number.isNaN));
    }));

  it('tells divergences that the model’s own head has on the sentences that were held out', () =>
    using(fixture('bert'), async (model) => {
      const how = settings();
      const { states, heldOut } = await tune(model, how);
      const lens = (await readLens(placeOf('bert'))) as TunedLens;
      const items = await new TuneTexts(model, how.sources, how.seed, []).heldOut('report', 256, quiet().signal);
      const { sources } = sourcesOf(await model.anatomy(), 'bert', false);
      const read = await statesAt(model, sources, items, quiet().signal);
      const width = (read[0] as Float32Array).length / heldOut;
      // Sentences of the other shares are not among them, and masks are.
      for (const { sentence, row, at } of items) {
        assert.equal(sentence % 10, 9);
        assert.ok(at.some((token) => row.ids[token] === model.tokenizer.maskId));
      }
      const logitsOf = async (data: Float32Array): Promise<Distribution[]> => {
        const { data: logits } = await model.runHead({ dims: [heldOut, 1, width], data });
        const vocab = logits.length / heldOut;
        return Array.from(
          { length: heldOut },
          (_, row) => new Distribution(logits.subarray(row * vocab, (row + 1) * vocab)),
        );
      };
      const vocab = model.info.vocabSize as number;
      const final = await logitsOf(read.at(-1) as Float32Array);
      const divergence = async (data: Float32Array): Promise<number> => {
        const found = await logitsOf(data);
        let sum = 0;
        for (const [row, own] of final.entries())
          for (let id = 0; id < vocab; id++) {
            const p = own.logprob(id);
            sum += Math.exp(p) * (p - (found[row] as Distribution).logprob(id));
          }
        return sum / heldOut;
      };
      const mapped = await throughLens(lens, sources, read);
      for (const [index, { plain, tuned }] of states.entries()) {
        assertNear([plain], [await divergence(read[index] as Float32Array)], `plain, state ${index}`, 1e-4);
        assertNear([tuned], [await divergence(mapped[index] as Float32Array)], `tuned, state ${index}`, 1e-4);
      }
    }));

  it('gives the same when it is interrupted and goes on', () =>
    using(fixture('llama'), async (model) => {
      const whole = await tune(model, settings(), placeOf('whole'));
      const place = placeOf('parts');
      // Long enough for the texts to be read again.
      for (const stopAt of [2, 1]) {
        const controller = new AbortController();
        let told = 0;
        const context = {
          signal: controller.signal,
          progress: () => {
            if (++told === stopAt) controller.abort();
          },
        };
        await assert.rejects(tune(model, stopAt === 2 ? settings() : undefined, place, context), fails('cancelled'));
        const { unfinished, lens } = await tunedStatus(place);
        assert.equal(lens, null);
        assert.deepEqual([unfinished?.names, unfinished?.tokens], [['corpus.tsv'], 300]);
        assert.ok((unfinished?.done as number) > 0);
      }
      const resumed = await tune(model, undefined, place);
      assert.deepEqual({ ...resumed, seconds: 0 }, { ...whole, seconds: 0 });
      const [one, other] = [await readLens(placeOf('whole')), await readLens(place)];
      assert.deepEqual(other?.maps, one?.maps);
      await assert.rejects(tune(model, undefined, place), fails('bad-input', /No training/u));
      // Stopped when it is trained and not yet measured.
      const late = placeOf('late');
      const stopping = new AbortController();
      const progress: RunContext['progress'] = ({ message }) => {
        if (message?.startsWith('Measuring')) stopping.abort();
      };
      await assert.rejects(tune(model, settings(), late, { signal: stopping.signal, progress }), fails('cancelled'));
      assert.deepEqual({ ...(await tune(model, undefined, late)), seconds: 0 }, { ...whole, seconds: 0 });
      // A machine that is switched off: what was saved is whole.
      const off = placeOf('off');
      let told = 0;
      const context = {
        signal: new AbortController().signal,
        progress: () => {
          if (++told === 3) throw new Error('off');
        },
      };
      await assert.rejects(tune(model, settings(), off, context), /off/u);
      assert.equal((await readTraining(off))?.steps, 2);
      assert.deepEqual({ ...(await tune(model, undefined, off)), seconds: 0 }, { ...whole, seconds: 0 });
    }));

  it('gives the same where a vocabulary is so large that rows and states are looked at a few at a time', () =>
    using(fixture('gpt2'), async (model) => {
      const how = settings({ tokens: 100 });
      const [one, other] = [placeOf('one'), placeOf('other')];
      const whole = await tune(model, how, one);
      const vocab = model.info.vocabSize as number;
      const parts = await tuneLens(model, { begin: how }, other, { ...MEANS, mostNumbers: 20 * vocab }, quiet());
      whole.states.forEach(({ plain, tuned }, index) => {
        assertNear([parts.states[index]?.plain ?? NaN], [plain], 'plain');
        assertNear([parts.states[index]?.tuned ?? NaN], [tuned], 'tuned');
      });
      const [a, b] = [(await readLens(one))?.maps ?? [], (await readLens(other))?.maps ?? []];
      // Where a gradient is almost nothing, Adam makes as large a step of its sign.
      a.forEach((map, index) => assertNear(b[index]?.bias ?? [], Array.from(map?.bias ?? []), 'b', 1e-2));
    }));

  it('refuses what it cannot train on or through', () =>
    using(fixture('bert'), async (model) => {
      const few = join(cache, 'few.txt');
      writeFileSync(few, 'One sentence. Another one.\n');
      await assert.rejects(
        tune(model, settings({ sources: [{ name: 'few.txt', file: few }] })),
        fails('bad-input', /not enough sentences/u),
      );
      const missing = [{ name: 'gone.txt', file: join(cache, 'gone.txt') }];
      await assert.rejects(tune(model, settings({ sources: missing })), fails('bad-input', /gone\.txt/u));
      // A head that is not what its parts look like.
      const layers = await model.headLayers();
      const wrong: Internals = Object.create(model, {
        headLayers: {
          value: async () =>
            layers.map((layer) =>
              layer.kind === 'norm' ? { ...layer, scale: layer.scale.map((each) => 1.01 * each) } : layer,
            ),
        },
      }) as Internals;
      await assert.rejects(
        tune(wrong, settings()),
        fails('model-unsupported', /does not do what its parts look like/u),
      );
      const unknown: Internals = Object.create(model, {
        headLayers: {
          value: async () =>
            layers.map((layer) => (layer.kind === 'activation' ? { ...layer, name: 'hardswish' } : layer)),
        },
      }) as Internals;
      await assert.rejects(tune(unknown, settings()), fails('model-unsupported', /hardswish/u));
      assert.deepEqual(await tunedStatus(placeOf('bert')), { lens: null, unfinished: null });
    }));

  it('trains one lens of a model at a time, and waits for one that is being stopped', async () => {
    const runs = new TuneRuns();
    const place = placeOf('model');
    const controller = new AbortController();
    let stop = (): void => undefined;
    const first = runs.run(place, controller.signal, () => new Promise<string>((end) => (stop = () => end('first'))));
    await new Promise(setImmediate);
    await runs.saved(place.folder);
    const { signal } = quiet();
    await assert.rejects(
      runs.run(place, signal, async () => 'second'),
      fails('bad-input', /is being trained/u),
    );
    assert.equal(await runs.run(placeOf('other'), signal, async () => 'other'), 'other');
    controller.abort();
    const order: string[] = [];
    const third = runs.run(place, signal, async () => order.push('third'));
    const saved = runs.saved(place.folder).then(() => order.push('saved'));
    await new Promise(setImmediate);
    assert.deepEqual(order, []);
    stop();
    await Promise.all([first, third, saved]);
    assert.deepEqual(order.sort(), ['saved', 'third']);
  });

  it('refuses models without a head', () =>
    using(fixture('bert-classifier'), (model) => assert.rejects(tune(model, settings()), fails('no-lm-head'))));

  it('refuses texts that changed, files that are damaged, and those of another model', () =>
    using(fixture('gpt2'), async (model) => {
      const text = join(cache, 'text.tsv');
      writeFileSync(text, readFileSync(CORPUS));
      const own = settings({ sources: [{ name: 'text.tsv', file: text }] });
      const place = placeOf('gpt2');
      const controller = new AbortController();
      const context = { signal: controller.signal, progress: () => controller.abort() };
      await assert.rejects(tune(model, own, place, context), fails('cancelled'));
      appendFileSync(text, 'One more.\tx\n');
      await assert.rejects(tune(model, undefined, place), fails('bad-input', /text\.tsv is not what it was/u));
      await tune(model, own, place);
      assert.equal(await readLens({ ...place, fingerprint: 'another' }), null);
      const file = join(place.folder, 'lens.bin');
      const bytes = readFileSync(file);
      bytes[bytes.length - 9] = (bytes[bytes.length - 9] as number) ^ 1;
      writeFileSync(file, bytes);
      assert.equal(await readLens(place), null);
    }));

  it('bert-base-cased: a few hundred tokens bring middle states nearer to what the model says', () =>
    using(BUNDLED, async (model) => {
      const story = resolve('samples/workspace/story.txt');
      const { states } = await tune(
        model,
        settings({ sources: [{ name: 'story.txt', file: story }], tokens: 192, rate: TUNE_DEFAULTS.rate }),
      );
      assert.equal(states.length, 12);
      const middle = states.slice(0, 8);
      for (const { layer, part, plain, tuned } of middle)
        assert.ok(tuned < plain, `${part} ${layer}: ${tuned}, not below ${plain}`);
    }));
});
