/** Helpers for tests inside VS Code. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as vscode from 'vscode';
import type { LensApi } from '../../extension/extension';

const EXTENSION = 'onnx-lens.onnx-lens';
const OPEN_LIMIT_MS = 15_000;

export function extension(): vscode.Extension<LensApi> {
  const found = vscode.extensions.getExtension<LensApi>(EXTENSION);
  assert.ok(found, `${EXTENSION} is not installed in this VS Code`);
  return found;
}

export const lens = async (): Promise<LensApi> => extension().activate();

/** The repository: the packaged extension brings no fixtures. */
export const repository = (): string => process.env['ONNX_LENS_ROOT'] ?? extension().extensionPath;
export const fixture = (...path: string[]): string => join(repository(), 'test', 'fixtures', ...path);

export interface Expected {
  fill_mask: {
    text: string;
    masks: { position: number; predictions: { id: number; token: string; logprob: number }[] }[];
  }[];
  pseudo_log_likelihood: { text: string; tokens: string[]; logprobs: number[]; pll: number }[];
  next_sentence: { first: string; second: string; p_is_next: number }[];
}
/** What PyTorch computed with the weights of the bundled model. */
export const expected = (): Expected =>
  JSON.parse(readFileSync(fixture('bert-base-cased', 'expected.json'), 'utf8')) as Expected;

export async function open(content: string, language = 'plaintext'): Promise<vscode.TextEditor> {
  // A name that was closed a moment ago is given out again, and may keep its old text; the next name is another.
  const end = Date.now() + OPEN_LIMIT_MS;
  for (;;) {
    const document = await vscode.workspace.openTextDocument({ content, language });
    if (document.getText() === content) return vscode.window.showTextDocument(document);
    if (Date.now() > end) assert.fail(`Not within ${OPEN_LIMIT_MS} ms: the text of the new document`);
    await sleep(100);
  }
}

/** Selects the first occurrence of each. */
export function select(editor: vscode.TextEditor, ...words: string[]): void {
  const { document } = editor;
  editor.selections = words.map((word) => {
    const at = document.getText().indexOf(word);
    assert.ok(at >= 0, `“${word}” is not in the text`);
    return new vscode.Selection(document.positionAt(at), document.positionAt(at + word.length));
  });
}

export function caret(editor: vscode.TextEditor, offset: number): void {
  const position = editor.document.positionAt(offset);
  editor.selection = new vscode.Selection(position, position);
}

export const run = (command: string, ...parameters: unknown[]): Thenable<unknown> =>
  vscode.commands.executeCommand(command, ...parameters);

/** Waits until the condition gives something that is true. Fails after `limit` milliseconds. */
export async function until<T>(what: string, condition: () => T | Promise<T>, limit = 15_000): Promise<NonNullable<T>> {
  const end = Date.now() + limit;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== null && value !== false) return value;
    if (Date.now() > end) assert.fail(`Not within ${limit} ms: ${what}`);
    await sleep(20);
  }
}

/** Without asking whether to save. */
export async function closeAll(): Promise<void> {
  const open = (): vscode.Tab[] => vscode.window.tabGroups.all.flatMap(({ tabs }) => tabs);
  await vscode.window.tabGroups.close(open().filter(({ isDirty }) => !isDirty));
  await until(
    'every editor is closed',
    async () => {
      if (open().length > 0) await run('workbench.action.revertAndCloseActiveEditor');
      return open().length === 0;
    },
    40_000,
  );
}

export function near(actual: number | undefined, wanted: number, tolerance: number, what: string): void {
  assert.ok(actual !== undefined, `${what} is missing`);
  assert.ok(Math.abs(actual - wanted) <= tolerance, `${what}: ${actual}, expected ${wanted} ± ${tolerance}`);
}

/** Lets an API call read settings for the time of a test. */
export async function withSetting(name: string, value: unknown, body: () => Promise<void>): Promise<void> {
  const target = vscode.ConfigurationTarget.Global;
  const before = vscode.workspace.getConfiguration('onnxLens').inspect(name)?.globalValue;
  await vscode.workspace.getConfiguration('onnxLens').update(name, value, target);
  try {
    await body();
  } finally {
    await vscode.workspace.getConfiguration('onnxLens').update(name, before, target);
  }
}
