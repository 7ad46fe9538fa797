/** Where an export goes: the clipboard, or a file that the person chooses. */
import * as vscode from 'vscode';
import { toCsv, toTabs } from './export';
import { replaceFile, storageError } from './replaceFile';

export interface Exportable {
  /** Without extension. */
  name: string;
  json: unknown;
  rows: readonly (readonly (string | number | null)[])[];
}

/** Throws `storage` when the file cannot be written. Does nothing when the person closes the dialog. */
export async function exportAs(format: 'json' | 'csv' | 'clipboard', { name, json, rows }: Exportable): Promise<void> {
  if (format === 'clipboard') {
    await vscode.env.clipboard.writeText(toTabs(rows));
    return;
  }
  const content = format === 'json' ? `${JSON.stringify(json, jsonValue, 2)}\n` : toCsv(rows);
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
  const file = `${name}.${format}`;
  const uri = await vscode.window.showSaveDialog({
    ...(folder === undefined ? {} : { defaultUri: vscode.Uri.joinPath(folder, file) }),
    filters: format === 'json' ? { JSON: ['json'] } : { CSV: ['csv'] },
    title: vscode.l10n.t('Export'),
  });
  if (uri !== undefined) await save(uri, new TextEncoder().encode(content));
}

/** Throws `storage`; a file that was there before is then as it was. */
export async function save(uri: vscode.Uri, content: Uint8Array): Promise<void> {
  if (uri.scheme === 'file') return replaceFile(uri.fsPath, content);
  try {
    await vscode.workspace.fs.writeFile(uri, content);
  } catch (cause) {
    throw storageError(uri.toString(true), cause);
  }
}

/** Typed arrays as plain lists. */
function jsonValue(_key: string, value: unknown): unknown {
  return ArrayBuffer.isView(value) && !(value instanceof DataView) ? Array.from(value as Float64Array) : value;
}
