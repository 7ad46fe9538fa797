/** Results as JSON, CSV and tab-separated text. Pure. Full precision, a point as the decimal sign, one header line. */
import type { CorruptResult, FillMaskResult, ModelPart, NextSentenceResult } from '../protocol/engine';

export type Cell = string | number | null;
export type Rows = Iterable<readonly Cell[]>;

/** Numbers of a typed array that are written as one piece. */
const NUMBERS_A_PIECE = 1_000;

/** RFC 4180. Text that a spreadsheet could run as a formula gets an apostrophe; a lone sign cannot be one. */
function csvCell(cell: Cell): string {
  if (typeof cell !== 'string') return cell === null ? '' : String(cell);
  const safe = /^[=+\-@\t\r]./s.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** A row a piece. */
export function* csvPieces(rows: Rows): Generator<string> {
  for (const row of rows) yield `${row.map(csvCell).join(',')}\r\n`;
}

export function* tabPieces(rows: Rows): Generator<string> {
  const cell = (value: Cell): string => (value === null ? '' : String(value).replace(/[\t\r\n]/g, ' '));
  for (const row of rows) yield `${row.map(cell).join('\t')}\n`;
}

/** As `JSON.stringify` with two spaces writes it, in pieces; typed arrays as plain lists on one line. Numbers that JSON lacks are null. */
export function* jsonPieces(value: unknown): Generator<string> {
  yield* jsonOf(value, '\n');
  yield '\n';
}

function* jsonOf(value: unknown, line: string): Generator<string> {
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
    const numbers = value as Float64Array;
    yield '[';
    for (let at = 0; at < numbers.length; at += NUMBERS_A_PIECE) {
      const text = JSON.stringify(Array.from(numbers.subarray(at, at + NUMBERS_A_PIECE)));
      yield `${at === 0 ? '' : ','}${text.slice(1, -1)}`;
    }
    yield ']';
  } else if (typeof value !== 'object' || value === null) yield value === undefined ? 'null' : JSON.stringify(value);
  else {
    const isList = Array.isArray(value);
    const entries = Object.entries(value).filter(([, each]) => isList || each !== undefined);
    const inner = `${line}  `;
    let separator = isList ? '[' : '{';
    for (const [name, each] of entries) {
      yield `${separator}${inner}${isList ? '' : `${JSON.stringify(name)}: `}`;
      yield* jsonOf(each, inner);
      separator = ',';
    }
    yield entries.length === 0 ? (isList ? '[]' : '{}') : `${line}${isList ? ']' : '}'}`;
  }
}

/** Of one model, and of those it is compared with. */
export const clozeRows = (...results: readonly FillMaskResult[]): Cell[][] => [
  ['model', 'kind', 'target', 'position', 'start', 'end', 'rank', 'id', 'token', 'text', 'logprob', 'prob'],
  ...results.flatMap(rowsOf),
];

/** One row a prediction; what really stood there has its own row, of kind `actual`. */
function rowsOf(result: FillMaskResult): Cell[][] {
  const { unchanged } = result;
  if (unchanged === undefined) return rowsOfModel(result, result.model);
  // Under interventions the model's own name would say that it is the model as it stands in its file.
  const masks = result.masks.map((mask, index) => ({ ...mask, ...unchanged.masks[index] }));
  return [
    ...rowsOfModel(result, `${result.model} (changed)`),
    ...rowsOfModel({ ...result, masks, joint: [], candidates: unchanged.candidates }, result.model),
  ];
}

function rowsOfModel(result: FillMaskResult, model: string): Cell[][] {
  const rows: Cell[][] = [];
  for (const mask of result.masks) {
    const { start, end } = result.targets[mask.target]?.range ?? { start: null, end: null };
    const place = [mask.target, mask.position, start, end];
    mask.predictions.forEach(({ id, token, text, logprob, prob }, index) => {
      rows.push([model, 'prediction', ...place, index + 1, id, token, text, logprob, prob]);
    });
    if (mask.actual !== null) {
      const { rank, id, token, text, logprob, prob } = mask.actual;
      rows.push([model, 'actual', ...place, rank, id, token, text, logprob, prob]);
    }
  }
  for (const [index, { texts, tokens, logprob }] of result.joint.entries())
    rows.push([
      model,
      'joint',
      null,
      null,
      null,
      null,
      index + 1,
      null,
      tokens.flat().join(' '),
      texts.join(' | '),
      logprob,
      null,
    ]);
  for (const { text, tokens, logprob, rank, share } of result.candidates)
    rows.push([model, 'candidate', 0, null, null, null, rank, null, tokens.join(' '), text, logprob, share]);
  return rows;
}

export function corruptRows(result: CorruptResult): Cell[][] {
  return [
    [
      'model',
      'seed',
      'position',
      'start',
      'end',
      'action',
      'original',
      'replacement',
      'best',
      'rank',
      'logprob',
      'recovered',
    ],
    ...result.chosen.map((token): Cell[] => [
      result.model,
      result.seed,
      token.position,
      token.range.start,
      token.range.end,
      token.action,
      token.original.token,
      token.replacement.token,
      token.predictions[0]?.token ?? null,
      token.actual.rank,
      token.actual.logprob,
      token.recovered ? 1 : 0,
    ]),
  ];
}

export function nextSentenceRows(first: string, second: string, result: NextSentenceResult): Cell[][] {
  return [
    ['model', 'first', 'second', 'isNext', 'notNext'],
    [result.model, first, second, result.isNext, result.notNext],
  ];
}

/** One row a part, with all that is in it, then one row each of its own weights. */
export const anatomyRows = (parts: readonly ModelPart[]): Cell[][] => [
  ['kind', 'part', 'name', 'role', 'storage', 'shape', 'parameters', 'bytes', 'sharedWith'],
  ...parts.flatMap(partRows),
];

const partRows = ({ id, label, storage, parameters, bytes, weights, children }: ModelPart): Cell[][] => [
  ['part', id, label, null, storage.join('; '), null, parameters, bytes, null],
  ...weights.map((weight): Cell[] => [
    ...['weight', id, weight.name, weight.role, weight.storage, weight.shape.join('x')],
    ...[weight.parameters, weight.bytes, weight.sharedWith],
  ]),
  ...children.flatMap(partRows),
];
