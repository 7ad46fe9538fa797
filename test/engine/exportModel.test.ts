/** Heads and neurons scaled in a run, and the same in the weights of a new file. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { intervene } from '../../extension/engine/analysis/ffn/intervene';
import { scaleInterventions } from '../../extension/engine/analysis/interventions';
import { exportModel } from '../../extension/engine/session/exportModel';
import { fingerprint } from '../../extension/engine/session/fingerprint';
import type { Activation } from '../../extension/engine/session/internals';
import { openModel, type OrtModel } from '../../extension/engine/session/ortModel';
import { newRecipe, parseRecipe, requireOwn } from '../../extension/files/recipe';
import { LensError, type LensErrorCode } from '../../extension/protocol/errors';
import type { ExportResult, Scale } from '../../extension/protocol/ffn';
import type { ModelRef } from '../../extension/protocol/engine';
import { logSoftmax, quiet } from '../support/fakeModel';
import { fixture, fixtureNames, reference, SETTINGS } from '../support/fixtures';

const open = (ref: ModelRef): Promise<OrtModel> => openModel(ref, SETTINGS, () => undefined, 'later');
const fails =
  (code: LensErrorCode, message = /./u) =>
  (thrown: unknown) =>
    thrown instanceof LensError && thrown.code === code && message.test(thrown.message);
const textOf = (name: string): string => (reference(name).meta.cases[0]?.text as [string])[0];

/** A head off, another doubled, neurons of two layers, one turned round. */
const CHANGES: Scale[] = [
  { layer: 1, head: 2, scale: 0 },
  { layer: 1, head: 0, scale: 2 },
  { layer: 0, neuron: 3, scale: 0 },
  { layer: 2, neuron: 79, scale: 3 },
  { layer: 2, neuron: 11, scale: 1.5 },
];
const NEGATIVE: Scale[] = [...CHANGES, { layer: 0, neuron: 4, scale: -1 }];

async function exported(name: string, folder: string, changes: Scale[]): Promise<ExportResult> {
  const ref = fixture(name);
  return exportModel(ref, newRecipe(name, await fingerprint(ref), changes), folder, quiet());
}

describe('models with interventions', function () {
  this.timeout(60_000);
  let home: string;
  let out: string;
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'lens-export-'));
    out = join(home, 'changed');
  });
  afterEach(() => rmSync(home, { recursive: true, force: true }));

  for (const name of fixtureNames)
    it(`${name}: the exported model says what the changed run says`, async () => {
      const { meta } = reference(name);
      const { changes } = await exported(name, out, NEGATIVE);
      assert.equal(changes.length, 3);
      const model = await open(fixture(name));
      const copy = await open({ id: 'copy', folder: out });
      try {
        const { ids, segments } = model.tokenizer.encode(textOf(name));
        const row = { ids, segments };
        const anatomy = await model.anatomy();
        const last = `blocks.${anatomy.layers - 1}.hook_resid_post`;
        const hook = anatomy.hooks.sites.has('unembed.logits') ? 'unembed.logits' : last;
        const read = async (from: OrtModel, scales: Scale[]): Promise<Float32Array> => {
          const interventions = scaleInterventions(anatomy, scales, ids.length);
          return ((await from.trace([row], [hook], interventions)).get(hook) as Activation).data;
        };
        const [plain, changed, baked] = [await read(model, []), await read(model, NEGATIVE), await read(copy, [])];
        const off = (a: Float32Array, b: Float32Array): number =>
          a.reduce((most, each, at) => Math.max(most, Math.abs(each - (b[at] as number))), 0);
        // 16 bits and run-time quantisation round elsewhere when a factor stands elsewhere.
        const tolerance =
          (meta.tolerance.internal ?? 0) > 0
            ? meta.tolerance.default
            : 1e-5 * Math.max(1, off(changed, new Float32Array(changed.length)) / 10);
        assert.ok(off(changed, baked) <= tolerance, `off by ${off(changed, baked)}`);
        assert.ok(off(changed, plain) > 1e-3, 'the recipe changes something');
      } finally {
        await model.release();
        await copy.release();
      }
    });

  it('scales rows where the file has them, and says where it cannot', async () => {
    const ways: Record<string, ExportResult['changes'][number]['how']> = {
      bert: 'weight rows',
      gpt2: 'weight rows',
      llama: 'weight rows',
      'bert-int8': 'inserted Mul',
      'bert-fp16': 'inserted Mul',
      'bert-ts-nb4b16z': 'inserted Mul',
    };
    for (const [name, how] of Object.entries(ways)) {
      const { changes } = await exported(name, join(home, name), CHANGES);
      assert.deepEqual(new Set(changes.map((change) => change.how)), new Set([how]), name);
    }
  });

  it('has all that came with the model, its recipe, and no more weights than it needs', async () => {
    await exported('bert-external', out, CHANGES);
    assert.deepEqual(readdirSync(out).sort(), [
      ...['config.json', 'lens.json', 'model.onnx', 'model.onnx_data', 'recipe.json'],
      ...['reference.json', 'tokenizer.json', 'tokenizer_config.json'],
    ]);
    const recipe = parseRecipe(readFileSync(join(out, 'recipe.json'), 'utf8'));
    assert.deepEqual(recipe.changes, CHANGES);
    requireOwn(recipe, 'bert-external', await fingerprint(fixture('bert-external')));
    assert.throws(
      () => requireOwn(recipe, 'x', { sha256: '0'.repeat(64) } as never),
      fails('bad-input', /another model/u),
    );
  });

  it('gives what PyTorch gives with a head or a neuron scaled', async () => {
    for (const name of ['bert', 'gpt2', 'llama']) {
      const { meta, tensors } = reference(name);
      const model = await open(fixture(name));
      const [first] = (meta.attributions ?? []) as { target: { position: number; token: number } }[];
      const { position: read, token } = first?.target as { position: number; token: number };
      try {
        for (const { id, layer, head, neuron, position, scale } of meta.interventions ?? []) {
          const place = position === null ? {} : { position };
          const change: Scale =
            neuron === undefined
              ? { layer, head: head as number, scale, ...place }
              : { layer, neuron, scale, ...place };
          const asked = { text: textOf(name), target: { position: read + Number(meta.causal), token }, topK: 3 };
          const { before, after } = await intervene(model, { ...asked, changes: [change] }, quiet());
          const expected = (tensor: string): number => {
            const { shape, data } = tensors.get(tensor) as { shape: readonly number[]; data: Float32Array };
            const vocab = shape.at(-1) as number;
            return logSoftmax([...data.subarray(read * vocab, (read + 1) * vocab)])[token] as number;
          };
          assert.ok(Math.abs(before.logprob - expected('a/unembed.logits')) < 1e-4);
          assert.ok(Math.abs(after.logprob - expected(`a/interventions/${id}/logits`)) < 1e-4, id);
        }
      } finally {
        await model.release();
      }
    }
  });

  it('refuses a folder that is there, a change at one token, and what the model has not', async () => {
    mkdirSync(out);
    await assert.rejects(exported('bert', out, CHANGES), fails('storage', /there already/u));
    assert.deepEqual(readdirSync(out), []);
    rmSync(out, { recursive: true });
    const wrong: Scale[] = [
      { layer: 0, head: 0, scale: 0, position: 2 },
      { layer: 3, head: 0, scale: 0 },
      { layer: 0, head: 4, scale: 0 },
      { layer: 0, neuron: 80, scale: 0 },
    ];
    for (const change of wrong) await assert.rejects(exported('bert', out, [change]), fails('bad-input'));
    await assert.rejects(exported('bert', join(home, 'no', 'such'), CHANGES), fails('storage', /does not exist/u));
    assert.deepEqual(readdirSync(home), []);
  });

  it('leaves nothing when it is cancelled', async () => {
    const controller = new AbortController();
    const ref = fixture('bert');
    const recipe = newRecipe('bert', await fingerprint(ref), CHANGES);
    const cancelled = exportModel(ref, recipe, out, {
      signal: controller.signal,
      progress: ({ fraction }) => {
        if ((fraction as number) > 0.5) controller.abort();
      },
    });
    await assert.rejects(cancelled, fails('cancelled'));
    assert.deepEqual(readdirSync(home), []);
  });

  it('leaves nothing on a disk that is full or read-only', async function () {
    const disk = join(home, 'disk');
    mkdirSync(disk);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=128k', 'tmpfs', disk], { stdio: 'ignore' });
    } catch {
      return this.skip(); // only root on Linux can make a small disk
    }
    try {
      await assert.rejects(exported('bert', join(disk, 'changed'), CHANGES), fails('storage', /no space is left/u));
      assert.deepEqual(readdirSync(disk), []);
      execFileSync('mount', ['-o', 'remount,ro', disk]);
      await assert.rejects(exported('bert', join(disk, 'changed'), CHANGES), fails('storage', /read-only/u));
      assert.ok(!existsSync(join(disk, 'changed')));
    } finally {
      execFileSync('umount', [disk]);
    }
  });

  it('reads only what is a recipe', () => {
    const good = newRecipe('bert', { sha256: 'a'.repeat(64) } as never, CHANGES);
    assert.deepEqual(parseRecipe(JSON.stringify(good)), good);
    const wrong: unknown[] = [
      null,
      [],
      { ...good, format: 'other' },
      { ...good, version: 2 },
      { ...good, fingerprint: 'short' },
      { ...good, changes: 'all' },
      { ...good, changes: [null] },
      { ...good, changes: [{ layer: 0, head: 1 }] },
      { ...good, changes: [{ layer: -1, head: 1, scale: 0 }] },
      { ...good, changes: [{ layer: 0, head: 1, neuron: 2, scale: 0 }] },
      { ...good, changes: [{ layer: 0, scale: 0 }] },
      { ...good, changes: [{ layer: 0, head: 1, scale: 0, position: 'all' }] },
    ];
    for (const value of wrong) assert.throws(() => parseRecipe(JSON.stringify(value)), fails('bad-input'));
    assert.throws(() => parseRecipe('<<<<<<< ours\n{}'), fails('bad-input', /not valid JSON/u));
  });
});
