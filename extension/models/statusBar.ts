/** The one status-bar item that is always there once the extension is active: which model, and is it loaded. */
import * as vscode from 'vscode';
import { COMMANDS } from '../commands/ids';
import type { SharedSubject } from '../panels/sharedSubject';
import { changesText, modelName } from '../protocol/format';
import type { ModelLibrary } from './library';
import { stateName } from './modelTree';

export function createModelStatus(library: ModelLibrary, shared: SharedSubject): vscode.Disposable {
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
      const { interventions } = shared;
      const changed = interventions.length === 0 ? '' : ` · ${changesText(interventions, 1)}`;
      item.text = `$(${icon}) ${iconless(model.ref.id)}${changed}`;
      const why = model.error === undefined ? '' : ` · ${model.error.message}`;
      const name = modelName(model.ref.id, interventions);
      item.tooltip = `ONNX Lens · ${name} · ${stateName(model.state)}${why}`;
      item.accessibilityInformation = {
        label: `ONNX Lens, ${name}, ${stateName(model.state)}`,
        role: 'button',
      };
    }
    item.show();
  };
  show();
  return vscode.Disposable.from(item, library.onDidChange(show), shared.onDidChange(show));
}

/** A folder may be called `$(x)`; a status-bar text would draw an icon there. */
const iconless = (text: string): string => text.replaceAll('$(', '$\u200b(');
