/** The one status-bar item that is always there once the extension is active: which model, and is it loaded. */
import * as vscode from 'vscode';
import { COMMANDS } from '../commands/ids';
import type { ModelLibrary } from './library';
import { stateName } from './modelTree';

export function createModelStatus(library: ModelLibrary): vscode.Disposable {
  const item = vscode.window.createStatusBarItem('onnxLens.model', vscode.StatusBarAlignment.Right, 90);
  item.name = vscode.l10n.t('ONNX Lens Model');
  item.command = COMMANDS.selectModel;
  const show = (): void => {
    const model = library.selected;
    if (model === undefined) {
      item.text = `$(search-sparkle) ${vscode.l10n.t('No model')}`;
      item.tooltip = vscode.l10n.t('ONNX Lens: select or add a model');
    } else {
      const icon = { 'not-loaded': 'circle-outline', loading: 'loading~spin', ready: 'circle-filled', failed: 'error' }[
        model.state
      ];
      item.text = `$(${icon}) ${iconless(model.ref.id)}`;
      const why = model.error === undefined ? '' : ` · ${model.error.message}`;
      item.tooltip = `ONNX Lens · ${model.ref.id} · ${stateName(model.state)}${why}`;
      item.accessibilityInformation = {
        label: `ONNX Lens, ${model.ref.id}, ${stateName(model.state)}`,
        role: 'button',
      };
    }
    item.show();
  };
  show();
  return vscode.Disposable.from(item, library.onDidChange(show));
}

/** A folder may be called `$(x)`; a status-bar text would draw an icon there. */
const iconless = (text: string): string => text.replaceAll('$(', '$\u200b(');
