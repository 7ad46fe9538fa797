/** Plain text tables for people. */
import type { Prediction } from '../../extension/protocol/engine';
import { probability, signed, textBar } from '../../extension/protocol/format';

/** Characters of a bar for a probability of one. */
const BAR_WIDTH = 20;

export type Align = 'left' | 'right';

/** Columns two spaces apart; control characters of tokens are shown as escapes. */
export function table(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  align: readonly Align[],
): string {
  const lines = [header, ...rows].map((row) => row.map(visible));
  const widths = header.map((_, column) => Math.max(...lines.map((row) => widthOf(row[column] ?? ''))));
  return lines
    .map((row) =>
      row
        .map((cell, column) => {
          const space = ' '.repeat((widths[column] ?? 0) - widthOf(cell));
          return align[column] === 'right' ? space + cell : cell + space;
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Code points, which is what a terminal gives a column to in most scripts. */
const widthOf = (text: string): number => [...text].length;

// A terminal must not obey what stands in somebody's text.
export function visible(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]/gu, (character) =>
    character === '\n' ? '\\n' : character === '\t' ? '\\t' : `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}

/** Best first. */
export const predictionTable = (predictions: readonly Prediction[]): string =>
  table(
    ['rank', 'token', 'p', 'log p', ''],
    predictions.map(({ token, logprob, prob }, index) => [
      `${index + 1}`,
      token,
      probability(prob),
      signed(logprob),
      textBar(prob, BAR_WIDTH).trimEnd(),
    ]),
    ['right', 'left', 'right', 'right', 'left'],
  );
