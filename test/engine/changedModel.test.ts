/** Whatever is asked of a model with heads and neurons scaled: PyTorch's numbers, and those of the model with the same in its weights. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine } from '../../extension/engine/engine';
import { product, underChanges } from '../../extension/engine/analysis/changedModel';
import { openModel } from '../../extension/engine/session/ortModel';
import { newRecipe } from '../../extension/files/recipe';
import type { AttentionSelection } from '../../extension/protocol/attention';
import type { EngineMethod, EngineParams, FillMaskResult, ModelRef } from '../../extension/protocol/engine';
import { LensError } from '../../extension/protocol/errors';
import type { Scale } from '../../extension/protocol/interventions';
import type { ReferenceTensor } from '../../scripts/lens/safetensors';
import { quiet } from '../support/fakeModel';
import { fixture, fixtureNames, reference, SETTINGS } from '../support/fixtures';

const CHANGES: Scale[] = [
  { layer: 1, head: 2, scale: 0 },
  { layer: 1, head: 0, scale: 2 },
  { layer: 0, neuron: 3, scale: 0 },
  { layer: 2, neuron: 79, scale: 3 },
];

/** What is not a number of the model. */
const APART = new Set(['model', 'elapsed', 'notes', 'folder']);

/** The largest difference of two answers' numbers; throws where they differ in anything else. */
function apart(one: unknown, other: unknown, at = ''): number {
  if (typeof one === 'number' && typeof other === 'number')
    return Object.is(one, other) ? 0 : Math.abs(one - other) / Math.max(1, Math.abs(other));
  if (ArrayBuffer.isView(one) && ArrayBuffer.isView(other))
    return apart([...(one as Float32Array)], [...(other as Float32Array)], at);
  if (typeof one !== 'object' || one === null || typeof other !== 'object' || other === null) {
    assert.deepEqual(one, other, at);
    return 0;
  }
  const [keys, others] = [Object.keys(one), Object.keys(other)].map((each) => each.filter((key) => !APART.has(key)));
  assert.deepEqual(keys, others, at);
  return Math.max(
    0,
    ...(keys ?? []).map((key) =>
      apart((one as Record<string, unknown>)[key], (other as Record<string, unknown>)[key], `${at}.${key}`),
    ),
  );
}

/** Other numbers, or other words that come first. */
function differs(one: unknown, other: unknown): boolean {
  try {
    return apart(one, other) > 1e-3;
  } catch {
    return true;
  }
}

const fails = (message: RegExp) => (thrown: unknown) =>
  thrown instanceof LensError && thrown.code === 'bad-input' && message.test(thrown.message);

describe('a changed model', function () {
  this.timeout(120_000);

  const said = fixtureNames.filter((each) => {
    const { interventions = [], head } = reference(each).meta;
    return interventions.length > 0 && ['mlm', 'clm', 'pretraining'].includes(head);
  });
  for (const name of said)
    it(`${name}: says at every token, and of next sentences, what PyTorch says`, async () => {
      const { meta, tensors } = reference(name);
      const [first] = meta.cases as unknown as { input_ids: number[][]; token_type_ids?: number[][] }[];
      const ids = Int32Array.from(first?.input_ids[0] ?? []);
      const segments = Int32Array.from(first?.token_type_ids?.[0] ?? ids.map(() => 0));
      const row = { ids, segments };
      const model = await openModel(fixture(name), SETTINGS, () => undefined, 'later');
      try {
        for (const { id, layer, head, neuron, position, scale } of meta.interventions ?? []) {
          const place = { layer, scale, ...(position === null ? {} : { position }) };
          const change: Scale = neuron === undefined ? { ...place, head: head as number } : { ...place, neuron };
          const near = (found: Float32Array, tensor: ReferenceTensor): void => {
            const expected = tensor.data;
            const worst = found.reduce(
              (most, each, at) => Math.max(most, Math.abs(each - (expected[at] as number))),
              0,
            );
            assert.ok(worst <= meta.tolerance.default, `${id}: ${worst}`);
          };
          await underChanges(model, [change], async (changed) => {
            // A second, shorter row, and places in another order than that of the rows.
            const short = { ids: ids.slice(0, -2), segments: segments.slice(0, -2) };
            const places = [{ row: 1, position: 0 }, ...Array.from(ids, (_, position) => ({ row: 0, position }))];
            const { data, vocabSize } = await changed.logitsAt([row, short], places);
            near(data.subarray(vocabSize), tensors.get(`a/interventions/${id}/logits`) as ReferenceTensor);
            const alone = await changed.logitsAt([short], [{ row: 0, position: 0 }]);
            assert.ok(alone.data.every((each, at) => Math.abs(each - (data[at] as number)) <= meta.tolerance.default));
            const following = tensors.get(`a/interventions/${id}/seq_relationship_logits`);
            if (following !== undefined) near(await changed.nextSentenceLogits([row]), following);
          });
        }
      } finally {
        await model.release();
      }
    });

  it('multiplies its own changes with those of the analysis, wherever a run begins', async () => {
    const model = await openModel(fixture('bert'), SETTINGS, () => undefined, 'later');
    try {
      const { ids } = model.tokenizer.encode('the house was on the hill');
      const row = { ids: Int32Array.from(ids) };
      const LOGITS = 'unembed.logits';
      const two: Scale[] = [
        { layer: 1, head: 2, scale: 0.5, position: 3 },
        { layer: 1, head: 2, scale: 3 },
        { layer: 2, neuron: 7, scale: 0, position: 4 },
      ];
      const all = await underChanges(model, two, (changed) => changed.trace([row], [LOGITS]));
      const stream = await model.trace([row], ['blocks.1.hook_resid_pre']);
      const resid = stream.get('blocks.1.hook_resid_pre') as { dims: readonly number[]; data: Float32Array };
      const scale = { dims: [1, 1, 4, 1], data: Float32Array.of(1, 1, 3, 1) };
      const change = { hook: 'blocks.1.attn.hook_z', scale };
      await underChanges(model, [two[0] as Scale, two[2] as Scale], async (changed) => {
        const runs = [
          await changed.trace([row], [LOGITS], [change]),
          await changed.traceFrom(1, resid, [row], [LOGITS], [change]),
          await underChanges(changed, [two[1] as Scale], (both) => both.trace([row], [LOGITS])),
        ];
        for (const run of runs) assert.ok(apart(run.get(LOGITS), all.get(LOGITS)) < 1e-5);
        const block = await changed.runBlock(1, resid, [row], [change]);
        const whole = await changed.trace([row], ['blocks.2.hook_resid_pre'], [change]);
        assert.ok(apart(block, whole.get('blocks.2.hook_resid_pre')) < 1e-5);
      });
    } finally {
      await model.release();
    }
  });

  it('scales in every shape', () => {
    const a = { dims: [1, 2, 2], data: Float32Array.of(1, 2, 3, 4) };
    const b = { dims: [2, 1, 2], data: Float32Array.of(1, 10, 100, 1000) };
    assert.deepEqual(product(a, b), {
      dims: [2, 2, 2],
      data: Float32Array.of(1, 20, 3, 40, 100, 2000, 300, 4000),
    });
  });

  describe('asked for anything', () => {
    let engine: Engine;
    let home: string;
    let copy: ModelRef;
    const model = fixture('bert-pretraining');
    const text = 'The sailor lit the lamp again at ten. He was on the hill, and the hill was dark.';
    before(async () => {
      home = mkdtempSync(join(tmpdir(), 'lens-changed-'));
      engine = new Engine(
        () => undefined,
        () => undefined,
      );
      const { sha256, files, versions } = await engine.handle('fingerprint', { model }, quiet());
      const recipe = newRecipe(model.id, { sha256, files, versions }, CHANGES);
      copy = { id: 'copy', folder: join(home, 'copy') };
      await engine.handle('exportModel', { model, recipe, folder: copy.folder }, quiet());
    });
    after(async () => {
      await engine.dispose();
      rmSync(home, { recursive: true, force: true });
    });

    const word = { start: 19, end: 23 };
    const sources = [{ name: 'one', text: `${text}\n${text.replace('lamp', 'light')}\n` }];
    const head: AttentionSelection = {
      ...{ layer: 1, heads: [{ layer: 1, head: 0 }], method: 'norm', combine: 'each', words: false, specials: 'show' },
    };
    const QUESTIONS: { [M in EngineMethod]?: Omit<EngineParams<M>, 'model' | 'interventions'> } = {
      fillMask: { text, targets: [{ range: word }], topK: 5, candidates: ['lamp', 'light'], joint: { beam: 2 } },
      score: { text },
      nextSentence: { first: 'The sailor lit the lamp.', second: 'He was on the hill.' },
      corrupt: { text, seed: 3, wholeWord: true, topK: 3 },
      embed: { texts: [text, 'the hill'], layers: [1, 3], pool: 'mean' },
      wordInContext: { text, range: word, topK: 3, centre: false },
      sentenceSimilarity: { texts: [text, 'the hill'], pool: 'mean', centre: false },
      occurrences: {
        ...{ word: 'hill', sources, most: 10, layers: [2], projection: 'pca', axes: 2, clusters: 2, seed: 0 },
      },
      contextuality: { sources, limit: 10, leastContexts: 2, samples: 4, seed: 0 },
      attentionMaps: { text, ...head },
      logitLens: { text: text.replace('lamp', '[MASK]'), topK: 3 },
      ablate: { text: text.replace('lamp', '[MASK]'), ablate: { each: 'all' }, mean: true, importance: false, topK: 3 },
    };
    for (const [method, params] of Object.entries(QUESTIONS) as [EngineMethod, object][])
      it(`${method}: what the model with the changes in its weights answers`, async () => {
        const ask = (of: ModelRef, interventions: Scale[]): Promise<unknown> =>
          engine.handle(method, { ...params, model: of, interventions }, quiet());
        const [changed, exported, plain] = [await ask(model, CHANGES), await ask(copy, []), await ask(model, [])];
        assert.ok(apart(changed, exported) < 1e-4, `${apart(changed, exported)}`);
        assert.ok(differs(changed, plain), 'as if nothing were changed');
      });

    it('probe: the same, with the answers’ ranks after each layer', async () => {
      const relations = [
        {
          id: 'place',
          templates: [{ text: '[X] was on the [Y].' }],
          facts: ['The sailor', 'He', 'The lamp'].map((subject) => ({ subject, answers: ['hill'] })),
        },
      ];
      const options = { topK: 3, variants: [], uhn: false, joint: 'pll', seed: 0, byLayer: true } as const;
      const ask = async (of: ModelRef, interventions?: Scale[]): Promise<unknown> => {
        const own = { ...options, variants: [], ...(interventions === undefined ? {} : { interventions }) };
        return (await engine.handle('probe', { model: of, relations, options: own }, quiet())).facts;
      };
      assert.ok(apart(await ask(model, CHANGES), await ask(copy)) < 1e-4);
      assert.ok(apart(await ask(model, []), await ask(model)) === 0);
      await assert.rejects(ask(model, [{ layer: 0, head: 0, scale: 0, position: 2 }]), fails(/several texts/u));
    });

    it('fillMask: beside what the unchanged model says', async () => {
      const params = { text, targets: [{ range: word }], topK: 4, candidates: ['lamp', 'light'] };
      const ask = (more: Partial<EngineParams<'fillMask'>>): Promise<FillMaskResult> =>
        engine.handle('fillMask', { model, ...params, ...more }, quiet());
      const both = await ask({ interventions: CHANGES, compare: true });
      const [plain, changed] = [await ask({ topK: 300 }), await ask({ interventions: CHANGES, topK: 300 })];
      assert.ok(both.unchanged !== undefined && changed.unchanged === undefined && plain.unchanged === undefined);
      assert.equal(both.masks.length, plain.masks.length);
      assert.ok(apart(both.unchanged.candidates, plain.candidates) < 1e-4);
      assert.ok(apart(both.unchanged.actualLogprob, plain.actualLogprob) < 1e-4);
      both.masks.forEach((mask, index) => {
        const [before, after] = [plain, changed].map(({ masks }) => masks[index]?.predictions ?? []);
        const said = both.unchanged?.masks[index];
        const logprobs = (ids: readonly { id: number }[], of = before): (number | undefined)[] =>
          ids.map(({ id }) => of?.find((each) => each.id === id)?.logprob);
        assert.ok(said !== undefined);
        assert.ok(apart(said.predictions, before?.slice(0, 4)) < 1e-4);
        assert.ok(apart(mask.predictions, after?.slice(0, 4)) < 1e-4);
        assert.ok(apart(said.logprobs, logprobs(mask.predictions)) < 1e-4);
        assert.ok(apart(said.after, logprobs(said.predictions, after)) < 1e-4);
        assert.ok(apart(said.actual, plain.masks[index]?.actual) < 1e-4);
      });
    });

    it('refuses what is not there, and one token where texts have many rows', async () => {
      const ask = (interventions: Scale[]): Promise<unknown> =>
        engine.handle('fillMask', { model, text, targets: [{ range: word }], topK: 1, interventions }, quiet());
      for (const [change, message] of [
        [{ layer: 9, head: 0, scale: 0 }, /no layer 9/u],
        [{ layer: 0, head: 9, scale: 0 }, /no head 9/u],
        [{ layer: 0, neuron: 999, scale: 0 }, /no neuron 999/u],
        [{ layer: 0, head: 0, scale: 0, position: 400 }, /no token 400/u],
        [{ layer: 0, head: 0, scale: Infinity }, /scale/u],
        [{ layer: 0, scale: 0 }, /head/u],
      ] as [Scale, RegExp][])
        await assert.rejects(ask([change]), fails(message));
      const placed: Scale[] = [{ layer: 0, head: 0, scale: 0, position: 2 }];
      await assert.rejects(
        engine.handle('score', { model, text, interventions: placed }, quiet()),
        fails(/one token/u),
      );
    });
  });
});
