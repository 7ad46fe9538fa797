/** *Run* above each relation of a `.cloze` file, *Run All* above the first. */
import * as vscode from 'vscode';
import { COMMANDS } from '../commands/ids';
import { CLOZE, type ClozeDocuments } from './clozeDocuments';
import { rangeOf } from './document';

export function registerClozeLenses(documents: ClozeDocuments): vscode.Disposable {
  return vscode.languages.registerCodeLensProvider(
    { language: CLOZE },
    { provideCodeLenses: (document) => lensesOf(documents, document) },
  );
}

function lensesOf(documents: ClozeDocuments, document: vscode.TextDocument): vscode.CodeLens[] {
  const uri = document.uri.toString();
  const runnable = documents.get(document).relations.filter(({ facts }) => facts.length > 0);
  return runnable.flatMap(({ id, range }, index) => {
    const place = rangeOf(document, { start: range.start, end: range.start });
    const own = new vscode.CodeLens(place, {
      title: `$(play) ${vscode.l10n.t('Run')}`,
      tooltip: vscode.l10n.t('Ask the model for the facts of this relation'),
      command: COMMANDS.probeRelation,
      arguments: [{ uri, relation: id.value }],
    });
    if (index > 0 || runnable.length < 2) return [own];
    const all = new vscode.CodeLens(place, {
      title: `$(run-all) ${vscode.l10n.t('Run All')}`,
      tooltip: vscode.l10n.t('Ask the model for all facts of this file'),
      command: COMMANDS.probeFile,
      arguments: [{ uri }],
    });
    return [own, all];
  });
}
