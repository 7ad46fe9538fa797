/**
 * Which relations stand in the JSONL files of a folder, by names and first lines: files of facts may be of any size and are not read.
 */
import { basename, dirname, relative } from 'node:path';
import { factsKind, namedRelations, relationOf, RELATIONS_FILE } from './sources';

export interface FoundRelation {
  id: string;
  /** What `readSources` must be given for it. */
  files: string[];
  /** The file with its facts; null when none was found. */
  facts: string | null;
}

/** LAMA: facts beside or below a relations.jsonl. ParaRel: patterns. Facts: Google-RE and the like. */
export interface FoundSource {
  kind: 'lama' | 'pararel' | 'facts';
  /** Folder of the files that it is named after. */
  folder: string;
  relations: FoundRelation[];
}

/** `files`: absolute paths of JSONL files, plain or packed. */
export async function discoverSources(files: readonly string[]): Promise<FoundSource[]> {
  const lists = new Map<string, ReadonlySet<string>>();
  for (const file of files) if (basename(file) === RELATIONS_FILE) lists.set(dirname(file), await namedRelations(file));
  const facts = new Map<string, string[]>();
  const patterns = new Map<string, string[]>();
  for (const file of files.toSorted()) {
    if (basename(file) === RELATIONS_FILE) continue;
    const kind = await factsKind(file);
    const group = kind === 'fact' ? facts : kind === 'pattern' ? patterns : null;
    if (group === null) continue;
    const folder = dirname(file);
    group.set(folder, [...(group.get(folder) ?? []), file]);
  }
  const found: FoundSource[] = [];
  for (const [folder, own] of facts) {
    const relations = grouped(own);
    const isNamed = [folder, dirname(folder)].some((place) => relations.some(({ id }) => lists.get(place)?.has(id)));
    found.push({ kind: isNamed ? 'lama' : 'facts', folder, relations });
  }
  const byId = new Map(
    // LAMA's facts before others of the same name.
    found
      .toSorted((a, b) => Number(a.kind === 'lama') - Number(b.kind === 'lama'))
      .flatMap(({ relations }) => relations.map((relation) => [relation.id, relation])),
  );
  for (const [folder, own] of patterns)
    found.push({
      kind: 'pararel',
      folder,
      relations: own.map((file) => {
        const id = relationOf(file);
        const known = byId.get(id);
        return { id, files: [file, ...(known?.files ?? [])], facts: known?.facts ?? null };
      }),
    });
  return found.toSorted((a, b) => (a.folder < b.folder ? -1 : 1));
}

/** Files of one relation together: `P19_train.jsonl` and `P19_test.jsonl`. */
function grouped(files: readonly string[]): FoundRelation[] {
  const byId = new Map<string, FoundRelation>();
  for (const file of files) {
    const id = relationOf(file);
    const known = byId.get(id);
    if (known === undefined) byId.set(id, { id, files: [file], facts: file });
    else known.files.push(file);
  }
  return [...byId.values()];
}

/** For people: the folder as it is seen from the workspace. */
export const sourceName = (root: string, folder: string): string => relative(root, folder) || basename(folder);
