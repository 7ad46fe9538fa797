/** Where tests come from: `.cloze` documents and JSONL files of the workspace, each relation read when it is opened or run. */
import { dirname, isAbsolute } from 'node:path';
import * as vscode from 'vscode';
import { discoverSources, sourceName, type FoundRelation, type FoundSource } from '../cloze/discover';
import { rankedRelations } from '../cloze/plan';
import { readSources, type SourceProblem, type SourceRelation } from '../cloze/sources';
import * as settings from '../commands/settings';
import type { ClozeDocuments } from '../editor/clozeDocuments';
import { LensError } from '../protocol/errors';
import type { PlacedRelation } from './probeRunner';

export interface ClozeSource {
  kind: 'cloze';
  uri: vscode.Uri;
}

export type TestSource = ClozeSource | (FoundSource & { name: string });

export interface LoadedRelation {
  relation: PlacedRelation;
  problems: readonly SourceProblem[];
}

/** A workspace may have any number of JSONL files that are no facts; of so many the first lines are read. */
const MOST_JSONL = 2_000;
const MOST_CLOZE = 2_000;
const EXCLUDED = '**/{node_modules,.git}/**';

export async function findSources(token: vscode.CancellationToken): Promise<TestSource[]> {
  const cloze = await vscode.workspace.findFiles('**/*.cloze', EXCLUDED, MOST_CLOZE, token);
  const jsonl = await vscode.workspace.findFiles('**/*.{jsonl,jsonl.gz}', EXCLUDED, MOST_JSONL, token);
  const files = jsonl.filter(({ scheme }) => scheme === 'file').map(({ fsPath }) => fsPath);
  const found = await discoverSources(files);
  return [
    ...cloze.toSorted((a, b) => (a.path < b.path ? -1 : 1)).map((uri): ClozeSource => ({ kind: 'cloze', uri })),
    ...found.map((source) => ({ ...source, name: sourceName(rootOf(source.folder), source.folder) })),
  ];
}

const rootOf = (path: string): string =>
  vscode.workspace.getWorkspaceFolder(vscode.Uri.file(path))?.uri.fsPath ?? dirname(path);

/** Relations of a document as it reads now. Throws `bad-input`. */
export async function loadCloze(
  documents: ClozeDocuments,
  uri: vscode.Uri,
): Promise<{ document: vscode.TextDocument; relations: PlacedRelation[] }> {
  const document = await vscode.workspace.openTextDocument(uri);
  const relations = await rankedRelations(await documents.relations(document), {
    vocabulary: null,
    candidates: null,
  });
  return { document, relations };
}

/** Throws `bad-input` when nothing in the files can be asked. */
export async function loadJsonl({ id, files }: FoundRelation): Promise<LoadedRelation> {
  const { relations, problems } = await readSources(files);
  const found = relations.find((relation) => relation.id === id) ?? relations[0];
  if (found === undefined) throw new LensError('bad-input', `There are no facts of ${id}.`);
  const { vocabulary, candidates } = settings.probes();
  const root = rootOf(files[0] ?? '');
  const inRoot = (path: string): string => vscode.Uri.joinPath(vscode.Uri.file(root), path).fsPath;
  const absolute = (path: string): string | null => (path === '' ? null : isAbsolute(path) ? path : inRoot(path));
  const [relation] = await rankedRelations([withoutContexts(found)], {
    vocabulary: absolute(vocabulary),
    candidates: candidates === 'relation' ? candidates : absolute(candidates),
  });
  return { relation: relation as PlacedRelation, problems };
}

/** Sentences that the facts were taken from are most of LAMA's bytes, and are not asked here. */
function withoutContexts(relation: SourceRelation): SourceRelation {
  return { ...relation, facts: relation.facts.map(({ context: _, ...fact }) => fact) };
}
