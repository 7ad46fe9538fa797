/** What cannot be written: exports to a place that is not a folder of this machine, and settings whose file is damaged. */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as vscode from 'vscode';
import { update } from '../../extension/commands/settings';
import { save } from '../../extension/panels/save';
import { LensError } from '../../extension/protocol/errors';
import type { LensApi } from '../../extension/extension';
import { closeAll, fixture, lens, open, run, select, until } from './support';

function isStorageError(thrown: unknown): true {
  assert.ok(thrown instanceof LensError, String(thrown));
  assert.equal(thrown.code, 'storage', thrown.message);
  assert.ok(thrown.hint);
  return true;
}

describe('Storage', () => {
  after(closeAll);

  it('says that an export to a place without a file system failed', async () => {
    await assert.rejects(save(vscode.Uri.parse('no-such-place:/cloze.csv'), new Uint8Array(1)), isStorageError);
  });

  describe('with a damaged settings file', () => {
    let api: LensApi;
    let file: string;
    const setting = (): string | undefined =>
      vscode.workspace.getConfiguration('onnxLens').inspect<string>('compareModel')?.workspaceValue;

    before(async () => {
      api = await lens();
      await run('onnxLens.addModelFolder', vscode.Uri.file(fixture('gpt2')));
      await api.models.select('bert-base-cased');
      const [folder] = vscode.workspace.workspaceFolders ?? [];
      assert.ok(folder);
      file = join(folder.uri.fsPath, '.vscode', 'settings.json');
      mkdirSync(join(file, '..'), { recursive: true });
      // The workspace's own choice is the one that is changed; behind it the file does not end.
      writeFileSync(file, '{ "onnxLens.compareModel": "other", ');
      await until('the setting of the workspace', () => setting() === 'other');
    });
    after(async () => {
      rmSync(file);
      await until('the setting has gone', () => setting() === undefined);
      await api.models.remove('gpt2');
    });

    it('says that a setting could not be saved, and keeps the old value', async () => {
      await assert.rejects(update('compareModel', 'gpt2'), isStorageError);
      assert.equal(setting(), 'other');
    });

    it('compares all the same, and says what it could not keep', async () => {
      const editor = await open('The old man walked along the shore.');
      select(editor, 'walked');
      await api.cloze.predictSelection(editor);
      await assert.rejects(async () => api.cloze.handlers.compareWith({ model: 'gpt2' }), /could not be saved/);
      assert.equal(api.cloze.state.compared?.result?.kind, 'causal');
    });
  });
});
