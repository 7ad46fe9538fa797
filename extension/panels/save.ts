/** Where an export goes: the clipboard, or a file that the person chooses. */
import { setImmediate as otherWork } from 'node:timers/promises';
import * as vscode from 'vscode';
import { csvPieces, jsonPieces, tabPieces, type Rows } from './export';
import { replaceFile, storageError } from '../files/replaceFile';

/** Large pictures are written in turns of this length, so that the editor stays awake. */
const TURN_MS = 8;

export interface Exportable {
  /** Without extension. */
  name: string;
  json: unknown;
  rows: Rows;
}

/** Throws `storage` when the file cannot be written. Does nothing when the person closes the dialog. */
export async function exportAs(format: 'json' | 'csv' | 'clipboard', { name, json, rows }: Exportable): Promise<void> {
  if (format === 'clipboard') {
    await vscode.env.clipboard.writeText((await collect(tabPieces(rows), (piece) => piece)).join(''));
    return;
  }
  const pieces = format === 'json' ? jsonPieces(json) : csvPieces(rows);
  const content = async (): Promise<Uint8Array> => Buffer.concat(await collect(pieces, (piece) => Buffer.from(piece)));
  await saveAs({ name, format, filter: format.toUpperCase(), content });
}

/** Asks where. Gives the place; undefined when the person closes the dialog. Throws `storage`. */
export async function saveAs({
  name,
  format,
  filter,
  content,
}: {
  /** Without extension. */
  name: string;
  format: string;
  /** What such files are called. */
  filter: string;
  content: Uint8Array | ((uri: vscode.Uri) => Uint8Array | Promise<Uint8Array>);
}): Promise<vscode.Uri | undefined> {
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
  const uri = await vscode.window.showSaveDialog({
    ...(folder === undefined ? {} : { defaultUri: vscode.Uri.joinPath(folder, `${name}.${format}`) }),
    filters: { [filter]: [format] },
    title: vscode.l10n.t('Export'),
  });
  if (uri !== undefined) await save(uri, typeof content === 'function' ? await content(uri) : content);
  return uri;
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

async function collect<T>(pieces: Iterable<string>, convert: (piece: string) => T): Promise<T[]> {
  const collected: T[] = [];
  let began = performance.now();
  for (const piece of pieces) {
    collected.push(convert(piece));
    if (performance.now() - began < TURN_MS) continue;
    await otherWork();
    began = performance.now();
  }
  return collected;
}
