/** The Anatomy view inside the real VS Code: of a model in the library, and of any .onnx file. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as vscode from 'vscode';
import type { LensApi } from '../../extension/extension';
import type { AnatomyState } from '../../extension/protocol/view';
import { closeAll, fixture, lens, run, until } from './support';

const BUNDLED = 'bert-base-cased';
const EDITOR = 'onnxLens.onnx';

describe('Anatomy', () => {
  let api: LensApi;
  let folder: string;
  before(async () => {
    api = await lens();
    folder = mkdtempSync(join(tmpdir(), 'onnx-lens-'));
  });
  afterEach(closeAll);
  after(() => rmSync(folder, { recursive: true }));

  const settled = (): Promise<AnatomyState> =>
    until('the anatomy or an error', () => {
      const state = api.anatomy.controllers.at(-1)?.state;
      return state === undefined || state.status === 'loading' ? undefined : state;
    });
  const openFile = async (file: string): Promise<AnatomyState> => {
    await run('vscode.openWith', vscode.Uri.file(file), EDITOR);
    const { activeTab } = vscode.window.tabGroups.activeTabGroup;
    assert.ok(activeTab?.input instanceof vscode.TabInputCustom && activeTab.input.viewType === EDITOR);
    return settled();
  };

  it('opens one panel for the included model, without loading it', async () => {
    await api.engine.request('unload', { model: api.models.require(BUNDLED).ref });
    await run('onnxLens.showAnatomy', BUNDLED);
    const { status, anatomy, error } = await settled();
    assert.equal(status, 'ready', error?.message);
    assert.equal(anatomy?.parts.filter(({ id }) => id.startsWith('blocks.')).length, 12);
    assert.notEqual(api.models.get(BUNDLED)?.state, 'ready');
    assert.equal(api.models.get(BUNDLED)?.info?.layers, 12);
    await run('onnxLens.showAnatomy', BUNDLED);
    assert.equal(api.anatomy.controllers.length, 1);
  });

  it('opens an .onnx file, also where no tokenizer and no config stand beside it', async () => {
    const file = join(folder, 'alone.onnx');
    copyFileSync(fixture('llama', 'model.onnx'), file);
    const { status, anatomy, error } = await openFile(file);
    assert.equal(status, 'ready', error?.message);
    assert.equal(anatomy?.info.anatomy.layers, 3);
    assert.equal(anatomy.info.tokenizer, null);
    assert.equal(
      api.models.models.some(({ ref }) => ref.folder === folder),
      false,
    );
  });

  it('says in the view what is wrong with a damaged file, and reads it again when it was repaired', async () => {
    const file = join(folder, 'damaged.onnx');
    writeFileSync(file, 'this is no model');
    const { status, error } = await openFile(file);
    assert.equal(status, 'error');
    assert.equal(error?.code, 'model-invalid');
    assert.ok(error.hint);
    copyFileSync(fixture('bert', 'model.onnx'), file);
    const controller = api.anatomy.controllers.at(-1);
    await controller?.handlers.refresh(null);
    assert.equal(controller?.state.status, 'ready');
  });

  it('copies the table of parts', async () => {
    await openFile(fixture('bert', 'model.onnx'));
    await api.anatomy.controllers.at(-1)?.handlers.export({ format: 'clipboard' });
    const text = await vscode.env.clipboard.readText();
    assert.match(text, /^kind\tpart\tname/);
    assert.match(text, /^part\tblocks\.0\tBlock 0\t/m);
  });

  it('forgets a view that was closed', async () => {
    await openFile(fixture('bert', 'model.onnx'));
    await closeAll();
    await until('no view is left', () => api.anatomy.controllers.length === 0);
  });
});
