/** The manifest, the model library, the objectives and the engine process inside the real VS Code. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as vscode from 'vscode';
import type { LensApi } from '../../extension/extension';
import { closeAll, expected, extension, fixture, lens, near, open, run, select, until } from './support';

const BUNDLED = 'bert-base-cased';

interface Manifest {
  contributes: { commands: { command: string }[] };
}

describe('Manifest', () => {
  it('declares exactly the commands that are registered', async () => {
    await lens();
    const declared = (extension().packageJSON as Manifest).contributes.commands.map(({ command }) => command);
    // VS Code itself adds commands for our views: onnxLens.cloze.focus …
    const registered = (await vscode.commands.getCommands(true)).filter((id) => /^onnxLens\.\w+$/.test(id));
    assert.deepEqual(
      declared.filter((id) => !registered.includes(id)),
      [],
    );
    assert.deepEqual(
      registered.filter((id) => !declared.includes(id)),
      [],
    );
  });
});

describe('Model library', () => {
  let api: LensApi;
  before(async () => {
    api = await lens();
  });
  afterEach(async () => {
    for (const { ref, bundled } of api.models.models) if (!bundled) await api.models.remove(ref.id);
    await api.models.select(BUNDLED);
  });

  it('has the bundled model, selected', () => {
    assert.equal(api.models.selected?.ref.id, BUNDLED);
    assert.equal(api.models.selected.bundled, true);
  });

  it('adds, selects, runs and removes folders of a masked and of a causal model', async () => {
    for (const [name, kind] of [
      ['bert', 'masked'],
      ['gpt2', 'causal'],
    ] as const) {
      await run('onnxLens.addModelFolder', vscode.Uri.file(fixture(name)));
      const added = api.models.selected;
      assert.equal(added?.ref.folder, fixture(name));
      assert.equal(added.info?.kind, kind);
      const editor = await open('The old man walked along the shore.');
      select(editor, 'walked');
      await api.cloze.predictSelection(editor);
      const { status, result, error } = api.cloze.state;
      assert.equal(status, 'ready', error?.message);
      assert.equal(result?.kind, kind);
      assert.equal(api.models.get(added.ref.id)?.state, 'ready');
      await run('onnxLens.removeModel', added.ref.id);
      assert.equal(api.models.get(added.ref.id), undefined);
    }
    assert.equal(api.models.selected?.ref.id, BUNDLED);
  });

  it('puts a causal model beside the masked one', async () => {
    await run('onnxLens.addModelFolder', vscode.Uri.file(fixture('gpt2')));
    const causal = api.models.selected?.ref.id ?? '';
    await api.models.select(BUNDLED);
    const editor = await open('The old man walked along the shore.');
    select(editor, 'walked');
    await api.cloze.predictSelection(editor);
    await api.cloze.handlers.compareWith({ model: causal });
    const { compared, result } = api.cloze.state;
    assert.equal(compared?.error, undefined);
    assert.equal(compared?.result?.kind, 'causal');
    assert.equal(result?.kind, 'masked');
    assert.equal(compared.result.targets[0]?.text, 'walked');
    select(editor, 'man', 'shore');
    await api.cloze.predictSelection(editor);
    const both = api.cloze.state;
    assert.deepEqual(
      [both.result, both.compared?.result].map((side) => side?.targets.map(({ text }) => text)),
      [
        ['man', 'shore'],
        ['man', 'shore'],
      ],
    );
    for (const { result: side } of [both, both.compared ?? { result: null }])
      assert.deepEqual([...new Set(side?.masks.map(({ target }) => target))], [0, 1], 'masks of both places');
    await api.cloze.handlers.compareWith({ model: null });
    assert.equal(api.cloze.state.compared, null);
  });

  it('does not add a folder that holds no model', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'onnx-lens-'));
    try {
      writeFileSync(join(folder, 'model.onnx'), 'this is no model');
      await run('onnxLens.addModelFolder', vscode.Uri.file(folder));
      assert.equal(api.models.models.length, 1);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('keeps why a model failed', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'onnx-lens-'));
    writeFileSync(join(folder, 'model.onnx'), 'this is no model');
    const id = await api.models.add(folder);
    await assert.rejects(api.engine.request('load', { model: { id, folder } }));
    assert.equal(api.models.get(id)?.state, 'failed');
    assert.ok(api.models.get(id)?.error?.message);
    rmSync(folder, { recursive: true });
  });

  it('shows an error of the model in the view, not a result', async () => {
    await run('onnxLens.addModelFolder', vscode.Uri.file(fixture('bert-classifier')));
    const editor = await open('The old man walked along the shore.');
    select(editor, 'walked');
    await api.cloze.predictSelection(editor);
    const { status, error, result } = api.cloze.state;
    assert.equal(status, 'error');
    assert.equal(error?.code, 'no-lm-head');
    assert.equal(result, null);
  });
});

describe('Objectives', () => {
  let api: LensApi;
  before(async () => {
    api = await lens();
    await api.models.select(BUNDLED);
  });
  after(closeAll);

  it('gives the next-sentence probability of two selections and of the two sentences of one', async () => {
    for (const { first, second, p_is_next } of expected().next_sentence) {
      const editor = await open(`${first} ${second}`);
      select(editor, first, second);
      await run('onnxLens.nextSentence');
      const { nextSentence, error } = await until('an answer', () =>
        api.objectives.state.status === 'loading' ? undefined : api.objectives.state,
      );
      assert.equal(error, undefined);
      assert.deepEqual([nextSentence?.first, nextSentence?.second], [first, second]);
      near(nextSentence?.result.isNext, p_is_next, 1e-3, `p(next) of “${second}”`);
    }
  });

  it('corrupts the selection, the same way for the same seed', async () => {
    const editor = await open('The quick brown fox jumps over the lazy dog. '.repeat(6));
    await run('editor.action.selectAll');
    await api.objectives.handlers.setSeed({ seed: 7 });
    await api.objectives.corruptSelection(editor);
    const first = api.objectives.state.corrupt;
    assert.ok(first && first.chosen.length > 0);
    await api.objectives.handlers.refresh(null);
    assert.deepEqual(api.objectives.state.corrupt?.chosen, first.chosen);
    await api.objectives.handlers.setSeed({ seed: 8 });
    assert.notDeepEqual(
      api.objectives.state.corrupt?.chosen.map(({ position }) => position),
      first.chosen.map(({ position }) => position),
    );
  });
});

describe('Engine process', () => {
  let api: LensApi;
  before(async () => {
    api = await lens();
  });
  after(closeAll);

  it('comes back after it was killed, and the request is answered', async () => {
    const editor = await open('Adolphe Adam died in Paris .');
    select(editor, 'Paris');
    await api.cloze.predictSelection(editor);
    const { pid } = api.engine;
    assert.ok(pid);
    const prediction = api.cloze.predictSelection(editor);
    process.kill(pid, 'SIGKILL');
    await prediction;
    const { status, result, error } = api.cloze.state;
    assert.equal(status, 'ready', error?.message);
    assert.equal(result?.masks[0]?.predictions[0]?.token, 'Paris');
    assert.notEqual(api.engine.pid, pid);
    if (process.platform === 'linux') await until('the old process has gone', () => !existsSync(`/proc/${pid}`));
  });
});
