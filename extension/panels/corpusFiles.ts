/** Files that a person chooses to be read, as sources of a corpus. */
import { stat } from 'node:fs/promises';
import { relative } from 'node:path';
import * as vscode from 'vscode';
import type { CorpusSource } from '../protocol/attention';
import type { IndexSource } from '../protocol/embeddings';
import { LensError } from '../protocol/errors';

/** What is read of a folder, and may be chosen. */
export interface FileKind {
  glob: string;
  extensions: string[];
}

export const TEXTS: FileKind = { glob: '**/*.{txt,md,tsv,conllu}', extensions: ['txt', 'md', 'tsv', 'conllu'] };

const MOST_FILES = 5_000;
/** Texts of packages are not the person's own. */
const NOT_OWN = '**/node_modules/**';

/** Undefined: the person gave up. */
export const askForFiles = async ({ extensions }: FileKind, name: string): Promise<vscode.Uri[] | undefined> =>
  vscode.window.showOpenDialog({
    canSelectFiles: true,
    canSelectMany: true,
    openLabel: vscode.l10n.t('Read'),
    filters: { [name]: extensions },
  });

export const askForFolder = async (): Promise<vscode.Uri[] | undefined> =>
  vscode.window.showOpenDialog({
    canSelectFolders: true,
    canSelectFiles: false,
    canSelectMany: true,
    openLabel: vscode.l10n.t('Read'),
  });

/** Undefined: the person gave up. */
export async function askForFile(extensions: string[]): Promise<vscode.Uri | undefined> {
  const [file] =
    (await vscode.window.showOpenDialog({
      openLabel: vscode.l10n.t('Read'),
      filters: { [vscode.l10n.t('Texts')]: extensions },
    })) ?? [];
  return file;
}

export const workspaceFiles = async ({ glob }: FileKind): Promise<vscode.Uri[]> =>
  (await vscode.workspace.findFiles(glob, NOT_OWN, MOST_FILES)).filter(({ scheme }) => scheme === 'file');

export const filesIn = async (folder: vscode.Uri, { glob }: FileKind): Promise<vscode.Uri[]> =>
  vscode.workspace.findFiles(new vscode.RelativePattern(folder, glob), NOT_OWN, MOST_FILES);

/** Files under the names that they have for the person, in the order of these; others than files are left out. */
export function inNameOrder(uris: readonly vscode.Uri[]): IndexSource[] {
  return uris
    .filter(({ scheme }) => scheme === 'file')
    .map(({ fsPath }) => ({ name: vscode.workspace.asRelativePath(fsPath), file: fsPath }))
    .sort(byName);
}

const byName = (one: { name: string }, other: { name: string }): number =>
  one.name < other.name ? -1 : one.name > other.name ? 1 : 0;

/**
 * The files, and those in the folders, in the order of their names: in code units, so that work that goes on finds the same order in every
 * locale. Throws `bad-input` when there is none, or one is not on this machine.
 */
export async function sourcesOf(uris: readonly vscode.Uri[], { glob }: FileKind): Promise<CorpusSource[]> {
  const sources: CorpusSource[] = [];
  for (const uri of uris) {
    if (uri.scheme !== 'file')
      throw new LensError('bad-input', 'Files are read from folders on this machine.', 'Copy them here first.');
    const folder = (await stat(uri.fsPath).catch(() => null))?.isDirectory() === true;
    const files = folder ? await vscode.workspace.findFiles(new vscode.RelativePattern(uri, glob), null) : [uri];
    for (const { fsPath } of files) {
      const name = folder && uris.length === 1 ? relative(uri.fsPath, fsPath) : vscode.workspace.asRelativePath(fsPath);
      sources.push({ name, file: fsPath });
    }
  }
  if (sources.length === 0)
    throw new LensError(
      'bad-input',
      `There is no file ${glob} here.`,
      'Choose another folder, or the files themselves.',
    );
  return sources.sort(byName);
}
