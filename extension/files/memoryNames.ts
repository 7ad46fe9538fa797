/**
 * Names of memories as a file that a team shares: a line a memory, which says by itself of which model it is, so that lines of two people
 * can stand in any order and merge line by line. Plain Node, pure.
 */
import { LensError } from '../protocol/errors';
import { neuronName } from '../protocol/format';
import type { NeuronRef } from '../protocol/interventions';
import type { MemoryName } from '../protocol/memoriesView';

export interface NamedMemory extends MemoryName {
  /** For people. */
  model: string;
  /** SHA-256 of the model's files: layers and neurons mean nothing in another model. */
  fingerprint: string;
}

export interface NamesFile {
  /** Lines that begin with #, as they stand. */
  comments: string[];
  entries: NamedMemory[];
}

const HEADER = 'memory\tname\ttags\tmodel\tsha256';
const FIRST_COMMENT =
  '# Names of memories of feed-forward networks, written by ONNX Lens. A line each; tags are parted by spaces.';
const MERGE_MARK = /^(?:<{7}|\|{7}|={7}|>{7})(?: |$)/u;
const MOST_LENGTH = 16 * 2 ** 20;
const MOST_WORDS = 200;

const bad = (file: string, line: number, why: string): LensError =>
  new LensError(
    'bad-input',
    `${file}, line ${line}: ${why}.`,
    'Mend the line there and save the file; it is not changed until then.',
  );

/** Throws `bad-input` with the line: of a merge that was not finished, and of lines that cannot be read. */
export function parseNames(text: string, file: string): NamesFile {
  if (text.length > MOST_LENGTH) throw bad(file, 1, 'the file is too long for a file of names');
  const comments: string[] = [];
  const entries: NamedMemory[] = [];
  for (const [index, each] of text
    .replace(/^\uFEFF/u, '')
    .split(/\r?\n/u)
    .entries()) {
    const line = index + 1;
    if (MERGE_MARK.test(each)) throw bad(file, line, 'a mark of a merge that was not finished');
    if (each.startsWith('#')) comments.push(each);
    else if (each.trim() !== '' && each !== HEADER) entries.push(entryOf(each, file, line));
  }
  return { comments, entries };
}

function entryOf(text: string, file: string, line: number): NamedMemory {
  const fields = text.split('\t');
  if (fields.length !== 5) throw bad(file, line, `it has ${fields.length} fields, not 5 parted by tabs`);
  const [memory, name, tags, model, fingerprint] = fields as [string, string, string, string, string];
  const [, layer, neuron] = /^L(\d{1,4})N(\d{1,7})$/u.exec(memory) ?? [];
  if (layer === undefined || neuron === undefined) throw bad(file, line, `“${memory}” is no memory such as L9N1234`);
  if (name.trim() === '') throw bad(file, line, 'it has no name');
  if (!/^[0-9a-f]{64}$/u.test(fingerprint)) throw bad(file, line, 'the last field is no SHA-256');
  return {
    ...{ layer: Number(layer), neuron: Number(neuron), name: name.trim() },
    ...{ tags: tagsOf(tags), model, fingerprint },
  };
}

/** Each once, in the order of the alphabet, without the # that people put before tags. */
export const tagsOf = (text: string): string[] =>
  [...new Set(text.split(/[\s,]+/u).map((tag) => tag.replace(/^#+/u, '')))].filter((tag) => tag !== '').sort();

/** On one line, without tabs. */
export const plainName = (text: string): string =>
  Array.from(text.replace(/[\p{Cc}\s]+/gu, ' ').trim())
    .slice(0, MOST_WORDS)
    .join('');

/** By model, layer and neuron; the same line is there once. */
export function formatNames({ comments, entries }: NamesFile): string {
  const key = (entry: NamedMemory): string => `${entry.model}\t${entry.fingerprint}`;
  const order = (one: NamedMemory, other: NamedMemory): number =>
    (key(one) < key(other) ? -1 : key(one) > key(other) ? 1 : 0) ||
    one.layer - other.layer ||
    one.neuron - other.neuron ||
    (one.name < other.name ? -1 : one.name > other.name ? 1 : 0);
  const lines = [...entries]
    .sort(order)
    .map((entry) =>
      [neuronName(entry), entry.name, entry.tags.join(' '), entry.model.replace(/\s+/gu, ' '), entry.fingerprint].join(
        '\t',
      ),
    );
  return [...(comments.length === 0 ? [FIRST_COMMENT] : comments), HEADER, ...new Set(lines), ''].join('\n');
}

const same = (one: NeuronRef, other: NeuronRef): boolean => one.layer === other.layer && one.neuron === other.neuron;

/** With this name in place of all that the memory had; an empty one takes them away. Nothing else is changed. */
export function withName(file: NamesFile, { tags, ...entry }: NamedMemory): NamesFile {
  const name = plainName(entry.name);
  const others = file.entries.filter((each) => each.fingerprint !== entry.fingerprint || !same(each, entry));
  return { ...file, entries: name === '' ? others : [...others, { ...entry, name, tags: tagsOf(tags.join(' ')) }] };
}

/** Those of a model, each memory once: the first line counts, and a note says where there are others. */
export function namesOf({ entries }: NamesFile, fingerprint: string): { names: MemoryName[]; notes: string[] } {
  const own = entries
    .filter((entry) => entry.fingerprint === fingerprint)
    .sort((one, other) => one.layer - other.layer || one.neuron - other.neuron);
  const names: MemoryName[] = [];
  const notes: string[] = [];
  for (const { layer, neuron, name, tags } of own) {
    const first = names.at(-1);
    if (first === undefined || !same(first, { layer, neuron })) names.push({ layer, neuron, name, tags });
    else if (first.name !== name || first.tags.join(' ') !== tags.join(' '))
      notes.push(
        `${neuronName(first)} has two names in the file, “${first.name}” and “${name}”. Name it again to keep one.`,
      );
  }
  return { names, notes };
}
