/** Mask Selection and Predict inside the real VS Code: numbers, several selections, insertion, staleness, history. */
import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import type { ClozeState } from '../../extension/protocol/view';
import type { LensApi } from '../../extension/extension';
import { caret, closeAll, expected, lens, near, open, run, select, until } from './support';

const TOLERANCE = 1e-3;
const MASK = 'onnxLens.maskSelection';

describe('Cloze', () => {
  let api: LensApi;
  const state = (): ClozeState => api.cloze.state;

  before(async () => {
    api = await lens();
  });
  after(closeAll);

  const settled = (): Promise<ClozeState> =>
    until('a settled Cloze view', () => (state().status === 'loading' ? undefined : state()), 60_000);

  it('shows for a selected word what PyTorch computes', async () => {
    for (const [word, index] of [
      ['Rome', 0],
      ['Paris', 1],
      ['French', 3],
    ] as const) {
      const entry = expected().fill_mask[index];
      assert.ok(entry);
      const { text, masks } = entry;
      const editor = await open(text.replace('[MASK]', word));
      select(editor, word);
      await run(MASK);
      const { status, result, subject, error } = await settled();
      assert.equal(status, 'ready', error?.message);
      const wanted = masks[0]?.predictions ?? [];
      const predictions = result?.masks[0]?.predictions ?? [];
      assert.equal(result?.masks.length, 1);
      assert.deepEqual(
        predictions.slice(0, wanted.length).map(({ id }) => id),
        wanted.map(({ id }) => id),
      );
      wanted.forEach(({ token, logprob }, at) => {
        near(predictions[at]?.logprob, logprob, TOLERANCE, `log p(${token}) in “${text}”`);
      });
      assert.equal(result.masks[0]?.actual?.token, word);
      assert.equal(result.masks[0].position, masks[0]?.position);
      assert.deepEqual([subject?.line, subject?.context, subject?.stale], [1, 'sentence', false]);
    }
  });

  it('takes the mask token that stands in the text when the caret is in it', async () => {
    const [entry] = expected().fill_mask;
    assert.ok(entry);
    const editor = await open(entry.text);
    caret(editor, entry.text.indexOf('[MASK]') + 3);
    await run(MASK);
    const { result } = await settled();
    const wanted = entry.masks[0]?.predictions[0];
    assert.equal(result?.masks[0]?.predictions[0]?.token, wanted?.token);
    near(result?.masks[0]?.predictions[0]?.logprob, wanted?.logprob ?? NaN, TOLERANCE, 'log p');
    assert.equal(result?.masks[0]?.actual, null);
  });

  it('masks the word at an empty selection, in a later sentence and line, with ranges of the document', async () => {
    const text = 'An opening line.\n\nAdolphe Adam died in Paris .\n';
    const editor = await open(text);
    caret(editor, text.indexOf('Paris') + 2);
    await run(MASK);
    const { result, subject } = await settled();
    const target = result?.targets[0];
    assert.ok(subject && target);
    assert.equal(text.slice(subject.windowStart + target.range.start, subject.windowStart + target.range.end), 'Paris');
    assert.equal(subject.line, 3);
    near(
      result.masks[0]?.actual?.logprob,
      expected().fill_mask[1]?.masks[0]?.predictions[0]?.logprob ?? NaN,
      TOLERANCE,
      'log p(Paris)',
    );
  });

  it('masks several selections at once and asks for a joint fill', async () => {
    const editor = await open('The capital of France is Paris and the river is the Seine.');
    select(editor, 'France', 'Paris');
    await run(MASK);
    const { result } = await settled();
    assert.deepEqual(
      result?.targets.map(({ text }) => text),
      ['France', 'Paris'],
    );
    assert.equal(result.masks.length, 2);
    assert.ok(result.joint.length > 0);
    assert.deepEqual(
      result.joint.map(({ texts }) => texts.length),
      result.joint.map(() => 2),
    );
  });

  it('inserts as one undo step, and looks at the place again', async () => {
    const text = 'The capital of France is Paris and the river is the Seine.';
    const editor = await open(text);
    select(editor, 'France', 'Paris');
    await run(MASK);
    assert.equal((await settled()).canInsert, true);
    await api.cloze.handlers.insert({ texts: ['Italy', 'Rome'] });
    assert.equal(editor.document.getText(), 'The capital of Italy is Rome and the river is the Seine.');
    await until('a prediction for the new text', () => state().result?.targets[0]?.text === 'Italy');
    await settled();
    await vscode.window.showTextDocument(editor.document);
    await run('undo');
    assert.equal(editor.document.getText(), text);
    await until('the older text has come back under the newer result', () => state().subject?.stale === true);
    await api.cloze.handlers.history({ step: -1 });
    assert.equal(state().subject?.stale, false);
    assert.equal(state().result?.targets[0]?.text, 'France');
  });

  it('takes its own insertion back, but no later edit of the person', async () => {
    const text = 'The old man walked along the shore.';
    const editor = await open(text);
    select(editor, 'old');
    await run(MASK);
    await settled();
    await api.cloze.handlers.insert({ texts: ['young'] });
    await settled();
    await api.cloze.handlers.undo(null);
    await until('the old text', () => editor.document.getText() === text);
    await api.cloze.handlers.undo(null);
    assert.equal(editor.document.getText(), text, 'there is nothing more to take back');
    select(editor, 'old');
    await run(MASK);
    await settled();
    await api.cloze.handlers.insert({ texts: ['young'] });
    await settled();
    await editor.edit((edit) => edit.insert(new vscode.Position(0, 0), 'Once. '));
    await assert.rejects(async () => api.cloze.handlers.undo(null), /edited since/);
  });

  it('marks a result as stale when its text changes, and does not insert into the newer text', async () => {
    const editor = await open('First line.\n\nAdolphe Adam died in Paris .');
    select(editor, 'Paris');
    await run(MASK);
    const before = (await settled()).subject?.windowStart ?? NaN;
    await editor.edit((edit) => edit.insert(new vscode.Position(0, 0), 'Zero. '));
    await until('the window moved', () => state().subject?.windowStart === before + 6);
    assert.equal(state().subject?.stale, false);
    assert.equal(state().canInsert, true);
    await editor.edit((edit) => edit.insert(new vscode.Position(2, 8), 'Charles '));
    await until('stale', () => state().subject?.stale === true);
    assert.equal(state().canInsert, false);
    const text = editor.document.getText();
    await assert.rejects(async () => api.cloze.handlers.insert({ texts: ['Rome'] }), /changed/);
    assert.equal(editor.document.getText(), text);
    await api.cloze.handlers.refresh(null);
    const { subject, result } = await settled();
    assert.equal(subject?.stale, false);
    assert.equal(result?.targets[0]?.text, 'Paris');
    assert.ok(result.tokens.some(({ token }) => token === 'Charles'));
  });

  it('masks a clicked token instead of, or beside, the present one', async () => {
    const editor = await open('The old man walked along the shore.');
    select(editor, 'shore');
    await run(MASK);
    const { result } = await settled();
    const index = result?.tokens.findIndex(({ token }) => token === 'man') ?? -1;
    await api.cloze.handlers.maskToken({ index, additive: true });
    assert.deepEqual(
      (await settled()).result?.targets.map(({ text }) => text),
      ['man', 'shore'],
    );
    const old = state().result?.tokens.findIndex(({ token }) => token === 'old') ?? -1;
    await api.cloze.handlers.maskToken({ index: old, additive: false });
    assert.deepEqual(
      (await settled()).result?.targets.map(({ text }) => text),
      ['old'],
    );
    await api.cloze.handlers.history({ step: -1 });
    assert.equal(state().result?.targets.length, 2);
  });

  it('follows the selection when asked to', async () => {
    const editor = await open('The old man walked along the shore.');
    api.cloze.setFollow(true);
    try {
      select(editor, 'walked');
      await until('the selected word', () => state().result?.targets[0]?.text === 'walked');
      const { length } = state().history;
      caret(editor, 5);
      await until('the word at the caret', () => state().result?.targets[0]?.text === 'old');
      assert.equal(state().history.length, length, 'following adds no history for every move');
    } finally {
      api.cloze.setFollow(false);
    }
  });

  it('scores candidates, also ones of several tokens', async () => {
    const editor = await open('Adolphe Adam died in Paris .');
    select(editor, 'Paris');
    await run(MASK);
    await api.cloze.handlers.setCandidates({ candidates: ['Paris', 'Rome', 'New York', ' '] });
    try {
      const { result } = await settled();
      assert.deepEqual(new Set(result?.candidates.map(({ text }) => text)), new Set(['Paris', 'Rome', 'New York']));
      const [paris, rome] = expected().fill_mask[1]?.masks[0]?.predictions ?? [];
      const score = (text: string): number | undefined =>
        result?.candidates.find((item) => item.text === text)?.logprob;
      near(score('Paris'), paris?.logprob ?? NaN, TOLERANCE, 'log p(Paris)');
      near(score('Rome'), rome?.logprob ?? NaN, TOLERANCE, 'log p(Rome)');
    } finally {
      await api.cloze.handlers.setCandidates({ candidates: [] });
    }
  });

  it('reveals a token in the editor', async () => {
    const editor = await open('Before.\n\nAdolphe Adam died in Paris .');
    select(editor, 'Paris');
    await run(MASK);
    const { result } = await settled();
    const range = result?.tokens.find(({ token }) => token === 'died')?.range;
    assert.ok(range);
    await api.cloze.handlers.reveal({ range });
    assert.equal(editor.document.getText(vscode.window.activeTextEditor?.selection), 'died');
  });

  it('copies its numbers', async () => {
    const editor = await open('Adolphe Adam died in Paris .');
    select(editor, 'Paris');
    await run(MASK);
    const { result } = await settled();
    await api.cloze.handlers.export({ format: 'clipboard' });
    const copied = await vscode.env.clipboard.readText();
    if (copied === '') return; // a browser without clipboard permission
    const first = copied.split('\n')[1]?.split('\t') ?? [];
    assert.equal(Number(first[10]), result?.masks[0]?.predictions[0]?.logprob);
  });

  it('works in documents of a virtual file system, without changing them', async () => {
    const provider = vscode.workspace.registerTextDocumentContentProvider('lens-test', {
      provideTextDocumentContent: () => 'Adolphe Adam died in Paris .',
    });
    try {
      const document = await vscode.workspace.openTextDocument(vscode.Uri.parse('lens-test:/virtual.txt'));
      const editor = await vscode.window.showTextDocument(document);
      select(editor, 'Paris');
      await run(MASK);
      const { result, canInsert, subject } = await settled();
      assert.equal(result?.masks[0]?.predictions[0]?.token, 'Paris');
      assert.equal(canInsert, false);
      assert.equal(subject?.document, 'virtual.txt');
      await assert.rejects(async () => api.cloze.handlers.insert({ texts: ['Rome'] }), /read-only/);
    } finally {
      provider.dispose();
    }
  });

  it('keeps a result of a closed document, without offering to insert it', async () => {
    const editor = await open('Adolphe Adam died in Paris .');
    select(editor, 'Paris');
    await run(MASK);
    assert.equal((await settled()).canInsert, true);
    await closeAll();
    await until('the document is closed', () => editor.document.isClosed);
    await until('no insertion', () => !state().canInsert);
    assert.equal(state().result?.targets[0]?.text, 'Paris');
    await assert.rejects(async () => api.cloze.handlers.insert({ texts: ['Rome'] }), /closed/);
    await assert.rejects(async () => api.cloze.handlers.reveal({ range: { start: 0, end: 7 } }), /closed/);
  });

  it('reads a bounded part of a long line and a long document', async () => {
    const line = `${'word '.repeat(100_000)}Adolphe Adam died in Paris . ${'word '.repeat(100_000)}`;
    const editor = await open(line);
    caret(editor, line.indexOf('Paris') + 1);
    const began = performance.now();
    await run(MASK);
    const { result, subject, error } = await settled();
    assert.equal(error, undefined);
    assert.equal(result?.targets[0]?.text, 'Paris');
    assert.ok((subject?.windowStart ?? 0) > 450_000);
    assert.ok(performance.now() - began < 30_000);
  });

  it('says what to do when nothing is selected, and keeps the last result', async () => {
    const editor = await open('   \n');
    caret(editor, 1);
    await assert.rejects(api.cloze.predictSelection(editor), /Nothing is selected/);
  });
});
