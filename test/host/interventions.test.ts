/** Heads and neurons scaled, inside the real VS Code: in force in every view, kept as a recipe, written into a new model. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as vscode from 'vscode';

import type { LensApi } from '../../extension/extension';
import { parseRecipe } from '../../extension/files/recipe';
import type { FillMaskResult } from '../../extension/protocol/engine';
import type { Scale } from '../../extension/protocol/interventions';
import { closeAll, lens, near, open, run, select, until } from './support';

const TEXT = 'Adolphe Adam died in Paris .';
const HEAD: Scale = { layer: 5, head: 1, scale: 0 };

describe('Interventions', function () {
  this.timeout(180_000);
  let api: LensApi;
  let folder: string;
  let plain: FillMaskResult;
  before(async () => {
    api = await lens();
    folder = mkdtempSync(join(tmpdir(), 'onnx-lens-'));
  });
  after(async () => {
    await run('onnxLens.clearInterventions');
    await closeAll();
    rmSync(folder, { recursive: true, force: true });
  });

  const file = (name: string): vscode.Uri => vscode.Uri.file(join(folder, name));
  const cloze = () => api.cloze.state;
  /** The Cloze view's result under these changes. */
  const settled = (changes: readonly Scale[]): Promise<FillMaskResult> => {
    const wanted = JSON.stringify(changes);
    return until(
      `a result under ${wanted}`,
      () => {
        const { status, result, interventions, error } = cloze();
        if (status === 'error') assert.fail(error?.message);
        const isThis = JSON.stringify(interventions) === wanted && status === 'ready';
        return isThis && (result?.unchanged === undefined) === (changes.length === 0) ? result : undefined;
      },
      60_000,
    );
  };
  const paris = (result: FillMaskResult): number => result.masks[0]?.actual?.logprob ?? NaN;

  it('switched off in the Attention view, a head changes what the Cloze view and all others say', async () => {
    const editor = await open(TEXT);
    select(editor, 'Paris');
    await run('onnxLens.maskSelection');
    plain = await settled([]);
    await run('onnxLens.showAttention');
    await api.attention.handlers.intervene(HEAD);
    assert.deepEqual(api.attention.state.interventions, [HEAD]);
    const result = await settled([HEAD]);
    assert.ok(Math.abs(paris(result) - paris(plain)) > 1e-3, 'another number');
    near(result.unchanged?.masks[0]?.actual?.logprob, paris(plain), 1e-4, 'before');
    // The same by the engine's own way of asking for it.
    const { ref } = api.models.require();
    const target = { position: result.masks[0]?.position ?? 0, token: result.masks[0]?.actual?.id ?? 0 };
    const masked = { text: TEXT, masked: [{ start: 21, end: 26 }], target, changes: [HEAD], topK: 1 };
    const { after } = await api.engine.request('intervene', { model: ref, ...masked });
    near(paris(result), after.logprob, 1e-4, 'log p(Paris) with the head off');
    for (const { interventions } of [api.embeddings.state, api.objectives.state, api.probesView.state])
      assert.deepEqual(interventions, [HEAD]);

    const hovers = await vscode.commands.executeCommand<vscode.Hover[]>(
      'vscode.executeHoverProvider',
      editor.document.uri,
      editor.document.positionAt(TEXT.indexOf('Paris') + 1),
    );
    const said = hovers.flatMap(({ contents }) => contents.map((each) => (each as vscode.MarkdownString).value)).join();
    assert.match(said.replaceAll('&nbsp;', ' '), /with L5H1 off/u);
  });

  it('a command scales heads and neurons by their names, and refuses those that are not there', async () => {
    await run('onnxLens.scaleParts', 'L5H1=1, L9N1234=2 L3H2');
    const changes: Scale[] = [
      { layer: 3, head: 2, scale: 0 },
      { layer: 9, neuron: 1234, scale: 2 },
    ];
    await settled(changes);
    for (const wrong of ['L12H0', 'L0H12', 'L0N3072', 'L0X1', 'L0H0=off']) {
      await run('onnxLens.scaleParts', wrong);
      assert.deepEqual(api.shared.interventions, changes, wrong);
    }
    await run('notifications.clearAll');
  });

  it('probes ask the changed model, say so in the run’s file, and compare it with the unchanged one', async () => {
    const path = join(folder, 'facts.cloze');
    writeFileSync(path, 'relation place\n  template: [X] died in [Y] .\n\n  Adolphe Adam → Paris\n');
    await vscode.window.showTextDocument(await vscode.workspace.openTextDocument(path));
    const ask = async (): Promise<number> => {
      const before = api.probes.runs.at(-1);
      await run('onnxLens.probeFile');
      const probe = await until('a run', () => {
        const last = api.probes.runs.at(-1);
        return last === before ? undefined : last;
      });
      await probe.ended;
      assert.equal(probe.state, 'finished', probe.error?.message);
      const [fact] = probe.facts;
      assert.equal(fact?.result.kind, 'ranked');
      return (fact.result.kind === 'ranked' ? fact.result.answers[0]?.logprob : undefined) ?? NaN;
    };
    await run('onnxLens.scaleParts', 'L5H1');
    const changed = await ask();
    const run1 = api.probes.runs.at(-1);
    assert.deepEqual(run1?.record?.header.options.interventions, api.shared.interventions);
    await run('onnxLens.clearInterventions');
    await api.probesView.handlers.again({ model: null });
    const run2 = await until('the second run', () => {
      const last = api.probes.runs.at(-1);
      return last === run1 ? undefined : last;
    });
    await run2.ended;
    const [fact] = run2.facts;
    near(fact?.result.kind === 'ranked' ? fact.result.answers[0]?.logprob : NaN, paris(plain), 1e-3, 'unchanged');
    assert.ok(Math.abs(changed - paris(plain)) > 1e-3);
    const comparison = await until('a comparison', () => api.probesView.handlers.comparison(null));
    assert.match(comparison.first, /with L3H2 off, L5H1 off, L9N1234 ×2/u);
    assert.doesNotMatch(comparison.second, /with/u);
    assert.equal(comparison.all.n, 1);
  });

  it('a recipe keeps the changes, and takes them up again; of another model, or broken, it is refused', async () => {
    await run('onnxLens.scaleParts', 'L5H1');
    await run('onnxLens.saveRecipe', undefined, file('recipe.json'));
    const recipe = parseRecipe(readFileSync(file('recipe.json').fsPath, 'utf8'));
    assert.deepEqual(recipe.changes, [HEAD]);
    await run('onnxLens.clearInterventions');
    assert.deepEqual(api.shared.interventions, []);
    await run('onnxLens.applyRecipe', file('recipe.json'));
    assert.deepEqual(api.shared.interventions, [HEAD]);

    writeFileSync(file('broken.json').fsPath, '{"format":');
    writeFileSync(file('other.json').fsPath, JSON.stringify({ ...recipe, fingerprint: '0'.repeat(64), changes: [] }));
    for (const name of ['broken.json', 'other.json', 'none.json']) {
      await run('onnxLens.applyRecipe', file(name));
      assert.deepEqual(api.shared.interventions, [HEAD], name);
    }
    await run('notifications.clearAll');
  });

  it('an exported model says without the changes what this one says with them', async () => {
    const editor = await open(TEXT);
    select(editor, 'Paris');
    await run('onnxLens.maskSelection');
    const changed = await settled([HEAD]);
    const id = api.models.require().ref.id;
    // What holds at one token cannot be written into weights.
    await run('onnxLens.scaleParts', 'L0H0@3');
    await run('onnxLens.exportChangedModel', undefined, file('placed'));
    assert.equal(existsSync(file('placed').fsPath), false);
    await run('onnxLens.scaleParts', 'L0H0=1@3');
    await run('onnxLens.exportChangedModel', undefined, file('changed'));
    assert.ok(readdirSync(file('changed').fsPath).includes('model.onnx'));
    const before = readFileSync(file('changed/recipe.json').fsPath);
    // A folder that is there stays as it is.
    await run('onnxLens.exportChangedModel', undefined, file('changed'));
    assert.deepEqual(readFileSync(file('changed/recipe.json').fsPath), before);
    await run('notifications.clearAll');
    await run('onnxLens.addModelFolder', file('changed'));
    const added = api.models.selected?.ref.id ?? '';
    try {
      assert.notEqual(added, id);
      assert.deepEqual(api.shared.interventions, [], 'heads of another model are others');
      await run('onnxLens.maskSelection');
      const copy = await until(
        'the copy’s answer',
        () => {
          const { status, result } = cloze();
          return status === 'ready' && result?.model === added ? result : undefined;
        },
        60_000,
      );
      near(paris(copy), paris(changed), 1e-4, 'log p(Paris) of the exported model');
    } finally {
      await api.models.select(id);
      await api.models.remove(added);
    }
  });
});
