/** What a model is, as a read-only document that follows the library. */
import * as vscode from 'vscode';
import { describe } from './details';
import type { ModelLibrary } from './library';

export const DETAILS_SCHEME = 'onnx-lens-model';

/** The id stands in the query, since it may hold a slash; the path is what the tab shows. */
export function detailsUri(id: string): vscode.Uri {
  return vscode.Uri.from({ scheme: DETAILS_SCHEME, path: `/${id.replaceAll('/', ' · ')}`, query: id });
}

export class ModelDetails implements vscode.TextDocumentContentProvider {
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.changed.event;

  constructor(private readonly library: ModelLibrary) {
    library.onDidChange(() => {
      for (const { uri } of vscode.workspace.textDocuments) if (uri.scheme === DETAILS_SCHEME) this.changed.fire(uri);
    });
  }

  provideTextDocumentContent(uri: vscode.Uri): string {
    const model = this.library.get(uri.query);
    return model === undefined ? vscode.l10n.t('This model is no longer in the library.') : describe(model);
  }
}
