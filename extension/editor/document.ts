/** Bounded reading of documents: the part around the selections, never the whole. */
import * as vscode from 'vscode';
import type { TextRange } from '../protocol/engine';
import type { ContextKind } from '../protocol/view';
import { chooseContext, maskTokenAt, rangeToRead, wordAt, type ContextText, type TextSlice } from './context';

/** Enough for any word; scripts without spaces are divided by a dictionary. */
const WORD_REACH = 200;

export function readRange(document: vscode.TextDocument, range: TextRange): TextSlice {
  const from = document.positionAt(range.start);
  // Positions are cut to the document, so no need to know how long that is.
  const to = document.positionAt(range.end);
  const text = document.getText(new vscode.Range(from, to));
  const start = document.offsetAt(from);
  const last = document.lineAt(document.lineCount - 1).range.end;
  return { text, start, atStart: start === 0, atEnd: to.isEqual(last) };
}

export function contextOf(document: vscode.TextDocument, ranges: readonly TextRange[], kind: ContextKind): ContextText {
  return chooseContext(readRange(document, rangeToRead(ranges)), ranges, kind);
}

export function wordRange(document: vscode.TextDocument, offset: number, punctuation: boolean): TextRange | null {
  const slice = readRange(document, { start: Math.max(0, offset - WORD_REACH), end: offset + WORD_REACH });
  const word = wordAt(slice.text, offset - slice.start, punctuation);
  return word === null ? null : { start: word.start + slice.start, end: word.end + slice.start };
}

export function maskRange(document: vscode.TextDocument, offset: number, masks: readonly string[]): TextRange | null {
  const slice = readRange(document, { start: Math.max(0, offset - WORD_REACH), end: offset + WORD_REACH });
  const range = maskTokenAt(slice.text, offset - slice.start, masks);
  return range === null ? null : { start: range.start + slice.start, end: range.end + slice.start };
}

/** The selections in order of the text, empty ones as the word that they touch. Ones in white space are left out. */
export function selectedRanges(editor: vscode.TextEditor): TextRange[] {
  const { document } = editor;
  const ranges: TextRange[] = [];
  for (const selection of editor.selections) {
    const start = document.offsetAt(selection.start);
    if (selection.isEmpty) {
      const word = wordRange(document, start, true);
      if (word !== null) ranges.push(word);
    } else {
      ranges.push({ start, end: document.offsetAt(selection.end) });
    }
  }
  ranges.sort((a, b) => a.start - b.start);
  // Two carets in one word are one target.
  return ranges.filter((range, index) => range.start >= (ranges[index - 1]?.end ?? 0));
}

export function rangeOf(document: vscode.TextDocument, range: TextRange): vscode.Range {
  return new vscode.Range(document.positionAt(range.start), document.positionAt(range.end));
}

/** For people: the file's name, whatever the scheme. */
export function documentName(uri: vscode.Uri): string {
  return uri.path.split('/').at(-1) ?? uri.path;
}
