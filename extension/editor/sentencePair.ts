/** Two texts that somebody means to look at as a pair. */
import type * as vscode from 'vscode';
import type { TextRange } from '../protocol/engine';
import { LensError } from '../protocol/errors';
import { REACH, sentencesOf } from './context';
import { contextOf, readRange } from './document';

/** The first two places that are selected; null when fewer are. */
export function selectedPair({ document, selections }: vscode.TextEditor): [TextRange, TextRange] | null {
  const [first, second] = selectedPlaces(document, selections);
  return first !== undefined && second !== undefined ? [first, second] : null;
}

/**
 * Two selections, or the first two sentences of one, or the sentence at the caret and the one behind it. Throws `bad-input` without a
 * second one.
 */
export function sentencePair(editor: vscode.TextEditor): [TextRange, TextRange] {
  const { document, selections, selection } = editor;
  const selected = selectedPair(editor);
  if (selected !== null) return selected;
  const [first] = selectedPlaces(document, selections);
  const from = first ?? caretSentence(document, document.offsetAt(selection.active));
  const slice = readRange(document, first ?? { start: from.start, end: from.start + REACH });
  const [one, two] = sentencesOf(slice.text).map((range) => ({
    start: range.start + slice.start,
    end: range.end + slice.start,
  }));
  if (one !== undefined && two !== undefined) return [one, two];
  throw new LensError(
    'bad-input',
    'Two sentences are needed here.',
    'Select two sentences, or two places with Alt+Click, and try again.',
  );
}

function selectedPlaces(document: vscode.TextDocument, selections: readonly vscode.Selection[]): TextRange[] {
  return selections
    .filter((item) => !item.isEmpty)
    .map((item) => ({ start: document.offsetAt(item.start), end: document.offsetAt(item.end) }))
    .sort((a, b) => a.start - b.start);
}

function caretSentence(document: vscode.TextDocument, offset: number): TextRange {
  const { text, windowStart } = contextOf(document, [{ start: offset, end: offset }], 'sentence');
  return { start: windowStart, end: windowStart + text.length };
}
