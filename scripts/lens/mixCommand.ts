/** `lens mix`: which layers a task wants. */
import { writeFileSync } from 'node:fs';
import { parseSentence } from '../../extension/engine/analysis/corpora/conllu';
import type { LearnMixResult, MixExample } from '../../extension/protocol/embeddings';
import { LensError } from '../../extension/protocol/errors';
import { counted } from '../../extension/protocol/format';
import { storageError } from '../../extension/files/replaceFile';
import type { Command } from './commands';
import { readText } from './embedCommand';
import { decimal, wholeNumber } from './options';
import { table, visible } from './table';

const BAR = 24;
/** Columns of CoNLL-U that are classes. */
const COLUMNS: Record<string, number> = { upos: 3, xpos: 4, deprel: 7 };

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

export const mixCommand: Command = {
  summary: 'the mix of layers (ELMo) that a task wants: learned weights, accuracy, each layer alone, baselines',
  options: {
    train: {
      type: 'string',
      value: 'F',
      help: 'examples: text TAB label; .csv or .jsonl (text, label); .conllu',
      required: true,
    },
    test: { type: 'string', value: 'F', help: 'examples to test with (without it: cross-validation)' },
    column: { type: 'string', value: 'C', help: `of .conllu: ${Object.keys(COLUMNS).join(', ')} (upos)` },
    folds: { type: 'string', value: 'N', help: 'parts of the cross-validation (5)' },
    steps: { type: 'string', value: 'N', help: 'of the optimiser, Adam on all examples (200)' },
    rate: { type: 'string', value: 'X', help: 'its rate (0.01)' },
    decay: { type: 'string', value: 'X', help: 'times the squared weights of the classifier in the loss (0.001)' },
    seed: { type: 'string', value: 'N', help: 'of the parts (0)' },
    out: { type: 'string', value: 'FILE', help: 'the mix as JSON, for --layers mix:FILE' },
  },
  async run({ model, options, ask }) {
    const column = String(options['column'] ?? 'upos');
    const result = await ask('learnMix', {
      model,
      train: readExamples(String(options['train']), column),
      test: options['test'] === undefined ? [] : readExamples(String(options['test']), column),
      folds: wholeNumber(options, 'folds', 5),
      steps: wholeNumber(options, 'steps', 200),
      rate: decimal(options, 'rate', 0.01),
      decay: decimal(options, 'decay', 0.001),
      seed: wholeNumber(options, 'seed', 0),
    });
    const file = options['out'];
    if (file !== undefined)
      try {
        writeFileSync(String(file), `${JSON.stringify(result.mix)}\n`);
      } catch (error) {
        throw storageError(String(file), error);
      }
    return { json: result, text: textOf(result) };
  },
};

/** By what the file's name ends with. Throws `bad-input` with the line that is wrong. */
export function readExamples(file: string, column = 'upos'): MixExample[] {
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
function treebank(text: string, column: string): MixExample[] {
  const at = COLUMNS[column];
  if (at === undefined)
    throw new LensError('bad-input', `--column must be one of ${Object.keys(COLUMNS).join(', ')}, not “${column}”.`);
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

function textOf(result: LearnMixResult): string {
  const { mix, single, accuracy, trainAccuracy, majority, labels, train, test, folds } = result;
  const alone = new Map(single.map((each) => [each.layer, each.accuracy]));
  const fixed = alone.get('static');
  const where = folds === 0 ? `on ${counted(test, 'example')} of the test file` : `cross-validated in ${folds} parts`;
  return [
    table(
      ['layer', 's', '', 'alone'],
      mix.weights.map((weight, layer) => [
        `${layer}`,
        weight.toFixed(3),
        '█'.repeat(Math.round((BAR * weight) / Math.max(...mix.weights))),
        percent(alone.get(layer) ?? NaN),
      ]),
      ['right', 'right', 'left', 'right'],
    ),
    `γ ${mix.gamma.toFixed(3)}`,
    '',
    table(
      ['accuracy', where],
      [
        ['the mix', percent(accuracy)],
        ...(fixed === undefined ? [] : [['static row', percent(fixed)]]),
        [`always “${visible(majority.label)}”`, percent(majority.accuracy)],
        ['(the mix, on what it was learned from)', percent(trainAccuracy)],
      ],
      ['left', 'right'],
    ),
    `${counted(train, 'example')} of ${labels.length} classes`,
  ].join('\n');
}
