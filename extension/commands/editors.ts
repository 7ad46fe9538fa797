/** What commands on text start from: the editor, or a place that a link names. */
import * as vscode from 'vscode';
import { readRange } from '../editor/document';
import type { TextRange } from '../protocol/engine';
import { LensError } from '../protocol/errors';

/** The active editor; while a view in the editor area is the active tab, the one editor beside it. Throws `bad-input` without any. */
export function activeEditor(): vscode.TextEditor {
  const beside = vscode.window.visibleTextEditors.filter(({ viewColumn }) => viewColumn !== undefined);
  const editor = vscode.window.activeTextEditor ?? (beside.length === 1 ? beside[0] : undefined);
  if (editor !== undefined) return editor;
  throw new LensError('bad-input', 'No text editor is open.', 'Open a text and select a word.');
}

/** Shows the view beside the editor, which keeps the focus. */
export async function focusView(view: string): Promise<void> {
  const editor = vscode.window.activeTextEditor;
  await vscode.commands.executeCommand(`${view}.focus`, { preserveFocus: true });
  if (editor !== undefined && editor === vscode.window.activeTextEditor)
    await vscode.commands.executeCommand('workbench.action.focusActiveEditorGroup');
}

/** What a link in a hover was made for. */
export interface LinkedPlace extends TextRange {
  uri: string;
  version: number;
}

/** Links may be made by others: everything is checked. Throws `bad-input`. */
export function hoverPlace(place: unknown): LinkedPlace {
  if (typeof place === 'object' && place !== null) {
    const { uri, version, start, end } = place as Record<string, unknown>;
    if (typeof uri === 'string' && Number.isInteger(version) && Number.isInteger(start) && Number.isInteger(end)) {
      const range = { start: Number(start), end: Number(end) };
      if (range.start >= 0 && range.start < range.end) return { uri, version: Number(version), ...range };
    }
  }
  throw new LensError('bad-input', 'This command needs a place in a document.', 'Use the command on a selection.');
}

/** The document as the link knew it. Throws `bad-input` when it was changed since, or the place is not in it. */
export function linkedDocument({ uri, version, start, end }: LinkedPlace): vscode.TextDocument {
  const document = vscode.workspace.textDocuments.find((item) => item.uri.toString() === uri);
  if (document?.version !== version)
    throw new LensError('bad-input', 'The text was changed since the hover was shown.', 'Hover over the word again.');
  if (readRange(document, { start, end }).text.length !== end - start)
    throw new LensError('bad-input', 'The link of the hover lies outside the text.', 'Hover over the word again.');
  return document;
}
