/** `.cloze` documents as they read now: each version is parsed once, for all that look at it. */
import { basename, dirname } from 'node:path';
import * as vscode from 'vscode';
import { parseCloze, type ClozeDocument } from '../cloze/language';
import { parsedRelations, type SourceRelation } from '../cloze/sources';

export const CLOZE = 'cloze';

export const isCloze = ({ languageId }: vscode.TextDocument): boolean => languageId === CLOZE;

/** Of a workspace's files whose relations are known without being opened. */
const MOST_FILES = 200;
const MOST_BYTES = 2 ** 21;

export class ClozeDocuments {
  private readonly files = new Map<string, { mtime: number; document: ClozeDocument }>();
  private readonly parsed = new WeakMap<vscode.TextDocument, { version: number; document: ClozeDocument }>();

  get(document: vscode.TextDocument): ClozeDocument {
    const known = this.parsed.get(document);
    if (known?.version === document.version) return known.document;
    const read = parseCloze(document.getText());
    this.parsed.set(document, { version: document.version, document: read });
    return read;
  }

  /** The workspace's files, as they are open in the editor or else on disk. */
  async ofWorkspace(): Promise<{ uri: vscode.Uri; document: ClozeDocument; text: vscode.TextDocument | null }[]> {
    const found: { uri: vscode.Uri; document: ClozeDocument; text: vscode.TextDocument | null }[] = [];
    for (const uri of await vscode.workspace.findFiles('**/*.cloze', '**/node_modules/**', MOST_FILES)) {
      const open = vscode.workspace.textDocuments.find((each) => each.uri.toString() === uri.toString());
      const document = open === undefined ? await this.ofFile(uri) : this.get(open);
      if (document !== null) found.push({ uri, document, text: open ?? null });
    }
    return found;
  }

  private async ofFile(uri: vscode.Uri): Promise<ClozeDocument | null> {
    try {
      const { size, mtime } = await vscode.workspace.fs.stat(uri);
      const known = this.files.get(uri.toString());
      if (known?.mtime === mtime) return known.document;
      if (size > MOST_BYTES) return null;
      const document = parseCloze(new TextDecoder().decode(await vscode.workspace.fs.readFile(uri)));
      this.files.set(uri.toString(), { mtime, document });
      return document;
    } catch {
      return null; // it went away meanwhile
    }
  }

  /** What can be asked of it: of relations with one name the first. Throws `bad-input` when a file of candidates cannot be read. */
  async relations(document: vscode.TextDocument): Promise<SourceRelation[]> {
    const found = await parsedRelations(this.get(document), {
      ...placeOf(document.uri),
      lineOf: (offset) => document.positionAt(offset).line + 1,
    });
    const names = new Set<string>();
    return found.filter(({ id }) => !names.has(id) && names.add(id));
  }
}

export const placeOf = (uri: vscode.Uri): { file: string; folder: string | null } => ({
  file: pathOf(uri),
  folder: uri.scheme === 'file' ? dirname(uri.fsPath) : null,
});

/** How a document is named in places of facts: by its path, or by its URI when it is no file. */
export const pathOf = (uri: vscode.Uri): string => (uri.scheme === 'file' ? uri.fsPath : uri.toString());
const URI = /^[a-z][a-z0-9+.-]+:/iu;
export const uriOf = (path: string): vscode.Uri => (URI.test(path) ? vscode.Uri.parse(path) : vscode.Uri.file(path));

/** Facts are asked of files, and of `.cloze` documents that are not saved yet. */
export const isClozePath = (path: string): boolean => URI.test(path) || /\.cloze(?:\.gz)?$/u.test(path);

/** For people. */
export const nameOf = (path: string): string => basename(uriOf(path).path);
