/** Effects of heads on a prediction, against PyTorch and against runs of one change at a time. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ablate } from '../../extension/engine/analysis/attention/ablate';
import type { Internals } from '../../extension/engine/session/internals';
import type { LanguageModel } from '../../extension/engine/session/languageModel';
import { openModel, type OrtModel } from '../../extension/engine/session/ortModel';
import type { AblateParams, AblationResult, HeadEffect, HeadScale } from '../../extension/protocol/attention';
import { LensError, type LensErrorCode } from '../../extension/protocol/errors';
import type { ReferenceTensor } from '../../scripts/lens/safetensors';
import { logSoftmax, quiet } from '../support/fakeModel';
import { fixture, fixtureNames, reference, SETTINGS } from '../support/fixtures';

type Model = LanguageModel & Internals;
type Params = Omit<AblateParams, 'model'>;
type Question = Omit<Params, 'text' | 'target'>;

const EACH: Question = { ablate: { each: 'all' }, mean: true, importance: true, topK: 3 };
const together = (...scales: HeadScale[]): Question => ({
  ablate: { together: scales },
  mean: false,
  importance: false,
  topK: 3,
});
const ask = (model: Model, params: Params): Promise<AblationResult> => ablate(model, params, quiet());
const fails = (code: LensErrorCode) => (thrown: unknown) => thrown instanceof LensError && thrown.code === code;
const open = (name: string): Promise<OrtModel> => openModel(fixture(name), SETTINGS, () => undefined, 'later');

/** The first case of a fixture, and a token that is predicted there. Fixtures count where logits are read: `read`. */
function caseOf(name: string): { text: string; target: { position: number; token: number }; read: number } {
  const { meta } = reference(name);
  const [first] = (meta.attributions ?? []) as { target: { position: number; token: number } }[];
  const { position, token } = first?.target as { position: number; token: number };
  const [text] = meta.cases[0]?.text as [string];
  return { text, target: { position: position + Number(meta.causal), token }, read: position };
}

const predicting = fixtureNames.filter((name) => ['mlm', 'clm', 'pretraining'].includes(reference(name).meta.head));
/** Quantised by what is in the batch. */
const RUN_WHOLE = ['bert-int8', 'bert-fused-int8'];
/** float16 moves in steps, and is not the same in every form of a graph. */
const toleranceOf = (name: string): number => (name === 'bert-fp16' ? 1e-2 : 1e-5);

/** The model with its whole runs counted; without its blocks when `cut` is false, so that every row is run whole. */
function watched(model: OrtModel, cut = true): { model: Model; traces: () => number } {
  let traces = 0;
  const uncut = (): Promise<never> => Promise.reject(new LensError('model-unsupported', 'It cannot be cut.'));
  return {
    traces: () => traces,
    model: {
      info: model.info,
      tokenizer: model.tokenizer,
      anatomy: () => model.anatomy(),
      trace: (...args) => {
        traces++;
        return model.trace(...args);
      },
      traceFrom: (...args) => model.traceFrom(...args),
      weight: (name) => model.weight(name),
      headLayers: () => model.headLayers(),
      unembedding: (id) => model.unembedding(id),
      runBlock: (...args) => (cut ? model.runBlock(...args) : uncut()),
      runBlockAt: (...args) => (cut ? model.runBlockAt(...args) : uncut()),
      runBlockEnd: (...args) => (cut ? model.runBlockEnd(...args) : uncut()),
      runHead: (resid) => (cut ? model.runHead(resid) : uncut()),
      runTransform: (resid) => model.runTransform(resid),
      wordScores: (vectors) => model.wordScores(vectors),
      wordEnds: (...args) => model.wordEnds(...args),
      logitsAt: (...args) => model.logitsAt(...args),
      nextSentenceLogits: (...args) => model.nextSentenceLogits(...args),
    },
  };
}

function assertClose(actual: number | null, expected: number | null, tolerance: number, what: string): void {
  assert.ok(Math.abs((actual as number) - (expected as number)) <= tolerance, `${what}: ${actual}, not ${expected}`);
}

describe('ablation', function () {
  this.timeout(60_000);

  for (const name of predicting)
    describe(name, () => {
      const { meta, tensors } = reference(name);
      const { text, target, read } = caseOf(name);
      let model: OrtModel;
      before(async () => {
        model = await open(name);
      });
      after(() => model.release());

      it('gives what PyTorch gives for every intervention', async () => {
        const changes = (meta.interventions ?? []).filter(({ kind }) => kind === 'head');
        assert.equal(changes.length, 3);
        // Logits that are off by the tolerance move log P by up to twice as much.
        const tolerance = 2 * meta.tolerance.default;
        const expected = ({ shape, data }: ReferenceTensor): number => {
          const vocab = shape.at(-1) as number;
          return logSoftmax([...data.subarray(read * vocab, (read + 1) * vocab)])[target.token] as number;
        };
        for (const { id, layer, head, position, scale } of changes) {
          const change = { layer, head: head as number, scale, ...(position === null ? {} : { position }) };
          const { before, after } = await ask(model, { text, target, ...together(change) });
          assertClose(
            before.logprob,
            expected(tensors.get('a/unembed.logits') as ReferenceTensor),
            tolerance,
            'before',
          );
          const changed = tensors.get(`a/interventions/${id}/logits`) as ReferenceTensor;
          assertClose(after?.logprob ?? null, expected(changed), tolerance, id);
          // The same as a change that is in force before.
          const based = await ask(model, { text, target, interventions: [change], ...together() });
          assert.equal(based.before.logprob, after?.logprob);
        }
      });

      it('each head alone is a run with that head alone, whether rows share their blocks or not', async () => {
        // In force in all of them.
        const base: HeadScale[] = [
          { layer: 1, head: 0, scale: 0.5 },
          { layer: 0, head: 3, scale: 2, position: 1 },
        ];
        const tolerance = toleranceOf(name);
        const shared = watched(model);
        const { effects, before } = await ask(shared.model, { text, target, interventions: base, ...EACH });
        // What the blocks give would not be used if it were not that of the unchanged run.
        assert.equal(shared.traces() === 1, !RUN_WHOLE.includes(name));
        assert.equal(effects.length, meta.layers * meta.heads);
        const whole = await ask(watched(model, false).model, { text, target, interventions: base, ...EACH });
        for (const [index, effect] of effects.entries()) {
          const { layer, head } = effect;
          assert.deepEqual([layer, head], [Math.floor(index / meta.heads), index % meta.heads]);
          const alone = await ask(model, {
            ...{ text, target, interventions: base },
            ...together({ layer, head, scale: 0 }),
          });
          const what = `L${layer}H${head}`;
          assertClose(effect.zero, (alone.after?.logprob as number) - alone.before.logprob, tolerance, what);
          const [first] = alone.after?.predictions ?? [];
          const isSame = first?.id === before.predictions[0]?.id;
          assert.equal(effect.changedTo?.id ?? null, isSame ? null : (first?.id ?? null), what);
          const other = whole.effects[index] as HeadEffect;
          assertClose(effect.zero, other.zero, tolerance, `${what} zero`);
          assertClose(effect.mean, other.mean, tolerance, `${what} mean`);
          assertClose(effect.gradient, other.gradient, 100 * tolerance, `${what} gradient`);
        }
        for (let layer = 0; layer < meta.layers; layer++) {
          const own = effects.filter((effect) => effect.layer === layer);
          assertClose(Math.hypot(...own.map(({ importance }) => importance as number)), 1, 1e-6, `block ${layer}`);
        }
      });
    });

  for (const name of ['bert', 'gpt2', 'llama'])
    it(`${name}: zero, mean and gradient are those of PyTorch`, async () => {
      const model = await open(name);
      const { targets } = JSON.parse(readFileSync(join(fixture(name).folder, 'gates.json'), 'utf8')) as {
        targets: Record<'gradient' | 'zero' | 'mean', number[][]>[] & { position: number; token: number }[];
      };
      try {
        assert.equal(targets.length, 2);
        for (const { position, token, zero, mean, gradient } of targets) {
          const asked = { text: caseOf(name).text, target: { position, token } };
          const { effects } = await ask(model, { ...asked, ...EACH });
          for (const { layer, head, ...effect } of effects) {
            const at = (columns: number[][]): number => columns[layer]?.[head] as number;
            const norm = Math.hypot(...(gradient[layer] as number[]));
            assertClose(effect.zero, at(zero), 2e-5, `zero ${layer}.${head}`);
            assertClose(effect.mean, at(mean), 2e-5, `mean ${layer}.${head}`);
            // Of log P there, of −log P here.
            assertClose(effect.gradient, -at(gradient), 2e-3, `gradient ${layer}.${head}`);
            assertClose(effect.importance, Math.abs(at(gradient)) / norm, 1e-3, `importance ${layer}.${head}`);
          }
          // A part of the heads has the same numbers, importance too.
          const some = [
            { layer: 2, head: 1 },
            { layer: 1, head: 3 },
          ];
          const part = await ask(model, { ...asked, ...EACH, ablate: { each: some } });
          assert.deepEqual(
            part.effects.map(({ layer, head }) => [layer, head]),
            [
              [1, 3],
              [2, 1],
            ],
          );
          for (const effect of part.effects) {
            const same = effects.find(({ layer, head }) => layer === effect.layer && head === effect.head);
            for (const key of ['zero', 'mean', 'importance'] as const)
              assertClose(effect[key], same?.[key] ?? null, 1e-3, key);
          }
        }
      } finally {
        await model.release();
      }
    });

  it('asks a masked model at the token, a causal one before it, and the likeliest token by default', async () => {
    for (const name of ['bert', 'gpt2']) {
      const model = await open(name);
      const { meta, tensors } = reference(name);
      const { text } = caseOf(name);
      const { shape, data } = tensors.get('a/unembed.logits') as ReferenceTensor;
      const [, length, vocab] = shape as [number, number, number];
      try {
        for (let read = 0; read < length; read++) {
          const logits = logSoftmax([...data.subarray(read * vocab, (read + 1) * vocab)]);
          const position = read + Number(meta.causal);
          const { target, before, after } = await ask(model, { text, target: { position }, ...together() });
          assert.equal(target.position, position);
          assertClose(before.logprob, Math.max(...logits), 1e-4, `token ${position}`);
          assert.equal(before.predictions[0]?.id, target.id);
          assert.deepEqual(after, before);
        }
        const refused = meta.causal ? [0, length + 1] : [length];
        for (const position of refused)
          await assert.rejects(ask(model, { text, target: { position }, ...EACH }), fails('bad-input'));
      } finally {
        await model.release();
      }
    }
  });

  it('refuses heads and tokens that are not there, and models that predict no words', async () => {
    const bert = await open('bert');
    const { text, target } = caseOf('bert');
    const wrong: Partial<Params>[] = [
      { ablate: { each: [{ layer: 3, head: 0 }] } },
      { ablate: { together: [{ layer: 0, head: 4, scale: 0 }] } },
      { interventions: [{ layer: 0, head: 0, scale: 0, position: 99 }] },
      { target: { position: 1, token: 100_000 } },
      { text: '', target: { position: 5 } },
    ];
    try {
      for (const change of wrong)
        await assert.rejects(ask(bert, { text, target, ...EACH, ...change }), fails('bad-input'));
    } finally {
      await bert.release();
    }
    for (const name of ['bert-classifier', 't5enc-dyn']) {
      const model = await open(name);
      try {
        await assert.rejects(ask(model, { text: 'a', target, ...EACH }), fails('no-lm-head'));
      } finally {
        await model.release();
      }
    }
  });

  it('tells how far it is, and hears a cancel between runs', async () => {
    const model = await open('bert');
    const { text, target } = caseOf('bert');
    try {
      const fractions: number[] = [];
      const params: Params = { text: `${text} ${text}`, target, ...EACH };
      await ablate(model, params, {
        signal: new AbortController().signal,
        progress: ({ fraction }) => fractions.push(fraction as number),
      });
      assert.ok(fractions.length > 3);
      assert.deepEqual(
        fractions,
        [...fractions].sort((a, b) => a - b),
      );
      assert.equal(fractions.at(-1), 1);
      const controller = new AbortController();
      let told = 0;
      const cancelled = ablate(model, params, {
        signal: controller.signal,
        progress: () => {
          if (++told === 2) controller.abort();
        },
      });
      await assert.rejects(cancelled, fails('cancelled'));
      assert.equal(told, 2);
    } finally {
      await model.release();
    }
  });
});
