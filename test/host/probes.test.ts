/** Relation probes inside the real VS Code: lines of texts, .cloze files. Numbers are those that PyTorch computed. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as vscode from 'vscode';
import type { LensApi } from '../../extension/extension';
import { caret, closeAll, expected, lens, near, open, repository, run, select, until, withSetting } from './support';

const TOLERANCE = 1e-3;

async function hintsOf(document: vscode.TextDocument): Promise<vscode.InlayHint[]> {
  const whole = new vscode.Range(0, 0, document.lineCount, 0);
  const hints = await vscode.commands.executeCommand<vscode.InlayHint[]>(
    'vscode.executeInlayHintProvider',
    document.uri,
    whole,
  );
  return hints.sort((a, b) => a.position.line - b.position.line);
}
const labels = async (document: vscode.TextDocument): Promise<string[]> =>
  (await hintsOf(document)).map(({ label }) => label as string);

async function hoverText(document: vscode.TextDocument, line: number): Promise<string> {
  const hovers = await vscode.commands.executeCommand<vscode.Hover[]>(
    'vscode.executeHoverProvider',
    document.uri,
    new vscode.Position(line, 2),
  );
  return hovers.flatMap(({ contents }) => contents.map((each) => (each as vscode.MarkdownString).value)).join('\n');
}

describe('Probes', () => {
  let api: LensApi;
  let folder: string;
  before(async () => {
    api = await lens();
    folder = mkdtempSync(join(tmpdir(), 'onnx-lens-'));
  });
  afterEach(async () => {
    await run('onnxLens.clearProbeResults');
    await closeAll();
  });
  after(() => rmSync(folder, { recursive: true }));

  const lastRun = () => {
    const found = api.probes.runs.at(-1);
    assert.ok(found);
    return found;
  };
  const write = async (name: string, text: string): Promise<vscode.TextEditor> => {
    const file = join(folder, name);
    writeFileSync(file, text);
    return vscode.window.showTextDocument(await vscode.workspace.openTextDocument(file));
  };

  describe('a line of any text', () => {
    // Of the reference.
    const { text, masks } = expected().fill_mask.find(({ masks: all }) => all.length === 1)!;
    const [mask] = masks;

    for (const blank of ['[MASK]', '____', '[Y]'])
      it(`is asked at ${blank}, with PyTorch's log-probabilities`, async () => {
        const question = text.replace('[MASK]', blank);
        const editor = await open(`Before it.\n\n${question}\n`);
        caret(editor, editor.document.getText().indexOf(question) + 1);
        await run('onnxLens.probeLine');
        const [fact] = lastRun().facts;
        assert.equal(fact?.result.kind, 'open');
        const top = fact.result.kind === 'open' ? fact.result.answers[0]?.top : undefined;
        mask?.predictions.slice(0, 5).forEach(({ id, logprob }, index) => {
          assert.equal(top?.[index]?.id, id);
          near(top?.[index]?.logprob, logprob, TOLERANCE, `log-probability ${index + 1}`);
        });
        const [hint] = await hintsOf(editor.document);
        assert.equal(hint?.position.line, 2);
        assert.equal(hint.position.character, question.length);
        assert.equal((hint.label as string).split(' · ').length, 3);
        assert.ok((hint.label as string).startsWith(`${mask?.predictions[0]?.token} −`), String(hint.label));
        assert.match(await hoverText(editor.document, 2), /10 {2}/);
      });

    it('loses its result when its sentence is edited, and keeps it when lines move', async () => {
      const question = text.replace('[MASK]', '____');
      const editor = await open(question);
      await run('onnxLens.probeLine');
      assert.equal((await hintsOf(editor.document)).length, 1);
      await editor.edit((edit) => edit.insert(new vscode.Position(0, 0), 'A line before it.\n'));
      assert.deepEqual(
        (await hintsOf(editor.document)).map(({ position }) => position.line),
        [1],
      );
      await editor.edit((edit) => edit.insert(new vscode.Position(1, 3), 'x'));
      assert.deepEqual(await hintsOf(editor.document), []);
    });

    it('has as many predictions as the setting says, or none', async () => {
      const editor = await open(text);
      await run('onnxLens.probeLine');
      await withSetting('probes.hintCount', 5, async () => {
        assert.equal((await labels(editor.document))[0]?.split(' · ').length, 5);
      });
      await withSetting('probes.inlayHints', false, async () => {
        assert.deepEqual(await labels(editor.document), []);
      });
    });

    it('says so when there is no blank', async () => {
      const before = api.probes.runs.length;
      await open('No blank is here.\n\n________\n');
      await run('onnxLens.probeLine');
      assert.equal(api.probes.runs.length, before);
    });
  });

  it('asks all blanks of a selection, and what is selected as its own answer', async () => {
    const editor = await open(
      'Paris is the capital of ____.\n\nRome is the capital of ____.\n\nBerlin is the capital of Germany.\n',
    );
    editor.selection = new vscode.Selection(0, 0, 3, 0);
    await run('onnxLens.probeSelection');
    assert.deepEqual(
      (await hintsOf(editor.document)).map(({ position }) => position.line),
      [0, 2],
    );
    select(editor, 'Germany');
    await run('onnxLens.probeSelection');
    const [fact] = lastRun().facts;
    assert.deepEqual(fact?.answers, ['Germany']);
    assert.equal(fact.sentence, 'Berlin is the capital of [Y].');
    assert.equal(fact.result.kind, 'ranked');
    assert.match((await labels(editor.document))[2] ?? '', /^✓ Germany −/);
  });

  it('asks a selected fact again by the templates of the relation that it fits', async () => {
    const editor = await open('The capital of France is Paris.\n');
    select(editor, 'Paris');
    await run('onnxLens.probeFact');
    const { facts, job } = lastRun();
    assert.deepEqual(
      job.relations.map(({ id, templates }) => [id, templates.length]),
      [
        [job.relations[0]?.id, 0],
        ['capital', 3],
      ],
    );
    const again = facts.find(({ relation }) => relation === 'capital');
    assert.equal(again?.subject, 'France');
    assert.equal(again.result.kind === 'ranked' && again.result.answers.length, 3);
    const shown = await labels(editor.document);
    assert.equal(shown.length, 2);
    assert.match(shown[1] ?? '', /\d\/3 templates$/);
  });

  describe('.cloze files', () => {
    it("run with the lecture's 23 queries to 1e-3", async () => {
      const file = join(repository(), 'samples', 'workspace', 'lecture.cloze');
      const editor = await vscode.window.showTextDocument(await vscode.workspace.openTextDocument(file));
      assert.equal(editor.document.languageId, 'cloze');
      await run('onnxLens.probeFile');
      const { facts, job, state, record } = lastRun();
      assert.deepEqual([state, facts.length, record?.header.facts.count], ['finished', 23, 23]);
      const shown = await hintsOf(editor.document);
      assert.equal(shown.length, 23);
      for (const { fact, template, line } of facts.map((each) => {
        const relation = job.relations.find(({ id }) => id === each.relation)!;
        return { fact: each, template: relation.templates[0]!.text, line: relation.places[0]!.line - 1 };
      })) {
        const question = template.replace('[X]', () => fact.subject ?? '').replace('[Y]', '[MASK]');
        const [reference] = expected().fill_mask.find(({ text }) => text === question)?.masks ?? [];
        assert.ok(reference !== undefined && fact.result.kind === 'ranked', question);
        const top = fact.result.answers[0]?.top ?? [];
        assert.deepEqual(
          top.map(({ id }) => id),
          reference.predictions.map(({ id }) => id),
        );
        reference.predictions.forEach(({ logprob }, index) =>
          near(top[index]?.logprob, logprob, TOLERANCE, `${question} ${index}`),
        );
        const label = shown.find(({ position }) => position.line === line)?.label as string;
        assert.ok(label.includes(`${top[0]?.text} −`), label);
      }
    });
  });
});
