/** The Probes view's host inside the real VS Code: runs, rows, numbers, comparison, history, export. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as vscode from 'vscode';
import { readRun } from '../../extension/cloze/runFile';
import type { LensApi } from '../../extension/extension';
import { ProbeHistory } from '../../extension/panels/probeHistory';
import { closeAll, expected, lens, near, repository, run, until } from './support';

describe('Probes view', () => {
  let api: LensApi;
  let folder: string;
  before(async () => {
    api = await lens();
    folder = mkdtempSync(join(tmpdir(), 'onnx-lens-'));
  });
  after(async () => {
    await closeAll();
    rmSync(folder, { recursive: true });
  });

  const view = () => api.probesView;
  const show = async (name: string, text: string): Promise<vscode.TextEditor> => {
    const file = join(folder, name);
    writeFileSync(file, text);
    return vscode.window.showTextDocument(await vscode.workspace.openTextDocument(file));
  };
  const finished = () =>
    until('a finished run', () => (view().state.status === 'ready' ? view().state : undefined), 120_000);

  it("shows the lecture's table with PyTorch's numbers, and goes from a row to its line", async () => {
    const lecture = readFileSync(join(repository(), 'samples', 'workspace', 'lecture.cloze'), 'utf8');
    const editor = await show('lecture.cloze', lecture);
    await run('onnxLens.probeFile');
    const state = await finished();
    const rows = await view().handlers.rows(null);
    assert.equal(rows.length, api.probes.runs.at(-1)?.total);
    for (const { query, top, answer, logprob } of rows) {
      const [reference] =
        expected().fill_mask.find(({ text }) => text === query.replace('____', '[MASK]'))?.masks ?? [];
      assert.ok(reference !== undefined, query);
      top.forEach((each, at) => {
        near(each.logprob, reference.predictions[at]?.logprob ?? NaN, 1e-3, query);
      });
      const known = reference.predictions.find(({ token }) => token === answer);
      if (known !== undefined) near(logprob ?? undefined, known.logprob, 1e-3, query);
    }
    const index = rows.findIndex(({ query }) => query.startsWith('Francesco Bartolomeo Conti'));
    editor.selection = new vscode.Selection(0, 0, 0, 0);
    await view().handlers.reveal({ index });
    const active = vscode.window.visibleTextEditors.find(({ document }) => document === editor.document);
    assert.match(active!.document.lineAt(active!.selection.active.line).text, /^\s*Francesco Bartolomeo Conti/);
    const details = await view().handlers.details({ index });
    assert.equal(details?.place?.file, 'lecture.cloze');
    assert.equal(details.answers[0]?.top.length, 10);
    assert.equal(state.runs[0]?.title.includes('lecture'), true);
  });

  it('has for each relation what the metrics say', async () => {
    const summary = await view().handlers.summary(null);
    const rows = await view().handlers.rows(null);
    for (const { relation, n, p1 } of summary?.relations ?? []) {
      const own = rows.filter((row) => row.relation === relation && row.rank !== null);
      assert.equal(n, own.length);
      near(p1, own.filter(({ rank }) => rank === 1).length / Math.max(1, own.length), 1e-12, relation);
    }
  });

  it('compares two runs over the same facts', async () => {
    const text = (template: string): string =>
      `relation capital\n  template: ${template}\n  France → Paris\n  Italy → Rome\n  Spain → Madrid\n`;
    await show('one.cloze', text('[Y] and [X] are words.'));
    await run('onnxLens.probeFile');
    const [first] = (await finished()).runs;
    await show('two.cloze', text('The capital of [X] is [Y].'));
    await run('onnxLens.probeFile');
    await finished();
    await view().handlers.compareWith({ run: first!.id });
    const comparison = await view().handlers.comparison(null);
    assert.equal(comparison?.all.n, 3);
    const rows = await view().handlers.rows(null);
    const right = rows.filter(({ status }) => status === 'right').length;
    assert.equal(comparison.all.gained + comparison.all.right, right);
    assert.ok(comparison.all.gained > 0);
    for (const { index, subject } of comparison.changes) assert.ok(rows[index]?.query.includes(subject));
  });

  it('keeps finished runs as files of “lens probe”, the newest only, and deletes them', async () => {
    const history = new ProbeHistory(join(folder, 'kept'));
    const last = api.probes.runs.at(-1)!;
    const ids = ['a', 'b', 'c'].map((each) => `${each.repeat(8)}-0000-0000-0000-${each.repeat(12)}`);
    const places = last.facts.map((_, index) => ({ file: join(folder, 'two.cloze'), line: index + 3 }));
    for (const [index, id] of ids.entries())
      await history.keep(
        { id, title: id, model: 'm', startedAt: index, state: 'finished', facts: 3, total: 3, p1: 0.5 },
        last.record!,
        places,
        2,
      );
    assert.deepEqual(
      (await history.list()).map(({ id }) => id),
      [ids[2], ids[1]],
    );
    const loaded = await history.load(ids[2]!);
    assert.deepEqual(loaded.run, JSON.parse(JSON.stringify(last.record)));
    assert.deepEqual(loaded.places, places);
    assert.deepEqual((await readRun(join(folder, 'kept', `${ids[2]}.jsonl`))).header, loaded.run.header);
    await history.remove(ids[2]!);
    assert.deepEqual(
      (await history.list()).map(({ id }) => id),
      [ids[1]],
    );
  });

  it('removes a run and shows another one', async () => {
    const { run: shown } = view().state;
    await view().handlers.remove({ run: shown! });
    assert.notEqual(view().state.run, shown);
    assert.ok(view().state.runs.every(({ id }) => id !== shown));
    await run('onnxLens.showProbes');
  });
});
