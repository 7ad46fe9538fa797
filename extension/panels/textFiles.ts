/** Text files that vectors are taken of: of the workspace or a folder, or those that the person chooses. */
import { basename } from 'node:path';
import * as vscode from 'vscode';
import type { IndexSource } from '../protocol/embeddings';
import { LensError } from '../protocol/errors';

export const TEXTS = { glob: '**/*.{txt,md,tsv,conllu}', extensions: ['txt', 'md', 'tsv', 'conllu'] };
/** Texts of packages are not the person's own. */
const NOT_OWN = '**/node_modules/**';
const MOST_FILES = 5_000;

/** Those in the folder, or in the workspace. */
export const textFiles = async (folder: vscode.Uri | null = null): Promise<vscode.Uri[]> =>
  vscode.workspace.findFiles(
    folder === null ? TEXTS.glob : new vscode.RelativePattern(folder, TEXTS.glob),
    NOT_OWN,
    MOST_FILES,
  );

/** Undefined when the person closes the dialog. */
export const askForFiles = async (extensions = TEXTS.extensions, many = true): Promise<vscode.Uri[] | undefined> =>
  vscode.window.showOpenDialog({
    canSelectFiles: true,
    canSelectMany: many,
    openLabel: vscode.l10n.t('Read'),
    filters: { [vscode.l10n.t('Texts')]: extensions },
  });

/** Files on this machine under the names that they have for the person, in the order of these. */
export function inNameOrder(uris: readonly vscode.Uri[]): IndexSource[] {
  return uris
    .filter(({ scheme }) => scheme === 'file')
    .map(({ fsPath }) => ({ name: vscode.workspace.asRelativePath(fsPath) || basename(fsPath), file: fsPath }))
    .sort((one, other) => (one.name < other.name ? -1 : one.name > other.name ? 1 : 0));
}

/** The same. Throws `bad-input` when there is none. */
export function sourcesOf(uris: readonly vscode.Uri[]): IndexSource[] {
  const sources = inNameOrder(uris);
  if (sources.length > 0) return sources;
  throw new LensError('bad-input', `There is no file ${TEXTS.glob} here.`, 'Choose text files on this machine.');
}
