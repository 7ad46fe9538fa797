/** Strength as a colour behind the text and, where a theme of high contrast has none, as a line under it. */
import * as vscode from 'vscode';

/** One step of strength: its line, which has the width of 0 where there is none. */
export interface Shade {
  line: 'none' | 'dotted' | 'dashed' | 'solid' | 'double';
  width: number;
}

/** The steps of attentionScale.ts. In high contrast, where backgrounds are transparent, lines under the words say it. */
export const WEIGHT_SHADES: readonly Shade[] = [
  { line: 'dotted', width: 1 },
  { line: 'dotted', width: 2 },
  { line: 'dashed', width: 1 },
  { line: 'dashed', width: 2 },
  { line: 'solid', width: 1 },
  { line: 'solid', width: 2 },
  { line: 'double', width: 3 },
];

/** A decoration a step, weakest first; the colours are `onnxLens.{name}1` … and `onnxLens.{name}Line`. */
export const shadeDecorations = (name: string, shades: readonly Shade[]): vscode.TextEditorDecorationType[] =>
  shades.map(({ line, width }, step) =>
    vscode.window.createTextEditorDecorationType({
      backgroundColor: new vscode.ThemeColor(`onnxLens.${name}${step + 1}`),
      borderColor: new vscode.ThemeColor(`onnxLens.${name}Line`),
      borderStyle: line,
      borderWidth: `0 0 ${width}px 0`,
      rangeBehavior: vscode.DecorationRangeBehavior.ClosedClosed,
    }),
  );
