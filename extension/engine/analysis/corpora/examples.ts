/** Labelled examples of files: lines of text and label, or the words of a treebank. */
import type { ExampleFile, MixExample } from '../../../protocol/embeddings';
import { LensError } from '../../../protocol/errors';
import { parseSentence } from './conllu';
import { readText } from './textFile';

/** Columns of CoNLL-U that are classes. */
const COLUMNS: Record<ExampleFile['column'], number> = { upos: 3, xpos: 4, deprel: 7 };

/** By what the file's name ends with. Throws `bad-input` with the line that is wrong. */
export function readExamples({ file, column }: ExampleFile): MixExample[] {
  const text = readText(file);
  const examples = file.endsWith('.conllu')
    ? treebank(text, column)
    : file.endsWith('.jsonl')
      ? jsonLines(text, file)
      : file.endsWith('.csv')
        ? csvExamples(text, file)
        : tabbed(text, file);
  if (examples.length === 0) throw new LensError('bad-input', `${file} has no examples.`);
  return examples;
}

const wrong = (file: string, line: number, why: string): LensError =>
  new LensError('bad-input', `Line ${line} of ${file} ${why}.`, 'Each example has a text and a label.');

const tabbed = (text: string, file: string): MixExample[] =>
  text.split(/\r?\n/u).flatMap((line, index): MixExample[] => {
    if (line.trim() === '') return [];
    const [own = '', label = ''] = line.split('\t');
    if (own.trim() === '' || label.trim() === '') throw wrong(file, index + 1, 'is no text, tab, label');
    return [{ text: own, label: label.trim() }];
  });

const jsonLines = (text: string, file: string): MixExample[] =>
  text.split(/\r?\n/u).flatMap((line, index): MixExample[] => {
    if (line.trim() === '') return [];
    let value: { text?: unknown; label?: unknown } | null;
    try {
      value = JSON.parse(line) as typeof value;
    } catch {
      throw wrong(file, index + 1, 'is no JSON');
    }
    const label = value?.label;
    if (
      typeof value?.text !== 'string' ||
      value.text.trim() === '' ||
      (typeof label !== 'string' && typeof label !== 'number')
    )
      throw wrong(file, index + 1, 'has no text and label');
    return [{ text: value.text, label: String(label) }];
  });

/** With a heading that names text and label, or the two columns in this order. */
function csvExamples(text: string, file: string): MixExample[] {
  const rows = csvRows(text);
  const [first] = rows;
  const heading = first?.cells.map((cell) => cell.trim().toLowerCase()) ?? [];
  const named = heading.includes('text') && heading.includes('label');
  const [textAt, labelAt] = named ? [heading.indexOf('text'), heading.indexOf('label')] : [0, 1];
  return rows.slice(named ? 1 : 0).map(({ line, cells }) => {
    const [own = '', label = ''] = [cells[textAt], cells[labelAt]];
    if (own.trim() === '' || label.trim() === '') throw wrong(file, line, 'has no text and label');
    return { text: own, label: label.trim() };
  });
}

/** RFC 4180: quoted cells may have commas, line ends and doubled quotes in them. */
function csvRows(text: string): { line: number; cells: string[] }[] {
  const rows: { line: number; cells: string[] }[] = [];
  let [cells, cell, quoted, line, begin]: [string[], string, boolean, number, number] = [[], '', false, 1, 1];
  const close = (): void => {
    if (cells.length > 0 || cell.trim() !== '') rows.push({ line: begin, cells: [...cells, cell] });
    [cells, cell, begin] = [[], '', line];
  };
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at);
    if (character === '\n') line++;
    if (quoted && character === '"' && text.charAt(at + 1) === '"') {
      cell += '"';
      at++;
    } else if (character === '"') quoted = !quoted;
    else if (quoted) cell += character;
    else if (character === ',') {
      cells.push(cell);
      cell = '';
    } else if (character === '\n') close();
    else if (character !== '\r') cell += character;
  }
  close();
  return rows;
}

/** Every word of a treebank by a column of it. */
function treebank(text: string, column: ExampleFile['column']): MixExample[] {
  const at = COLUMNS[column];
  return text.split(/\r?\n\r?\n/u).flatMap((block): MixExample[] => {
    const lines = block.split(/\r?\n/u).filter((line) => line !== '');
    const { sentence } = parseSentence(lines, 1);
    if (sentence === null) return [];
    const labels = lines.filter((line) => /^\d+\t/u.test(line)).map((line) => line.split('\t')[at] ?? '_');
    return sentence.words.flatMap(({ range }, index) =>
      labels[index] === undefined || labels[index] === '_'
        ? []
        : [{ text: sentence.text, range, label: labels[index] }],
    );
  });
}
