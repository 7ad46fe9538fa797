/** Relation probes inside the real VS Code: lines of texts, .cloze files. Numbers are those that PyTorch computed. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
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
  (await hintsOf(document)).map(({ label }) => (label as string).trim());

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
        assert.ok((hint.label as string).trim().startsWith(`${mask?.predictions[0]?.token} −`), hint.label as string);
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
    assert.match(shown[1] ?? '', /^capital \d\/3 templates$/);
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

  describe('the language', () => {
    const TEXT = [
      'relation capital: is the capital of',
      '  template: The capital of [X] is [Y].',
      '  France → Paris',
      '  Spain → Madrid',
      '',
      'relation river',
      '  template: The [X] flows through Bonn.',
      '  Rhine → Bonn',
      '  Rhine → Bonn',
      '',
    ].join('\n');

    it('shows what is wrong, with ranges, and what the loaded model cannot rank', async () => {
      await api.engine.request('load', { model: api.models.require().ref });
      const editor = await write(
        'bad.cloze',
        `${TEXT}relation odd\n  template: [X] is [Y].\n  one → 猫猫猫 | antidisestablishment\n`,
      );
      const { document } = editor;
      const found = await until('diagnostics of the text and of the model', () => {
        const all = vscode.languages.getDiagnostics(document.uri);
        return all.some(({ code }) => code === 'answer-tokens') ? all : undefined;
      });
      const placed = found.map(({ code, range }) => `${code as string} ${document.getText(range)}`).sort();
      assert.deepEqual(placed, [
        'answer-tokens antidisestablishment',
        'answer-vocabulary 猫猫猫',
        'duplicate-fact Rhine → Bonn',
        'no-template river',
        'template-answer The [X] flows through Bonn.',
      ]);
    });

    it('completes options, placeholders, answers and relations of other files', async () => {
      await write('other.cloze', 'relation currency: money of\n  template: [X] pays in [Y].\n  Japan → yen\n');
      const editor = await write('complete.cloze', `${TEXT}\n`);
      const labelsAt = async (line: string): Promise<string[]> => {
        const { document } = editor;
        const last = document.lineCount - 1;
        await editor.edit((edit) => edit.replace(document.lineAt(last).range, line));
        const list = await vscode.commands.executeCommand<vscode.CompletionList>(
          'vscode.executeCompletionItemProvider',
          document.uri,
          document.lineAt(last).range.end,
        );
        return list.items
          .filter(({ kind }) => kind !== vscode.CompletionItemKind.Snippet && kind !== vscode.CompletionItemKind.Text)
          .map(({ label }) => (typeof label === 'string' ? label : label.label));
      };
      const starts = await labelsAt('te');
      for (const option of ['relation', 'template', 'context', 'candidates', 'vocabulary'])
        assert.ok(starts.includes(option), `${option}: ${starts.join()}`);
      assert.deepEqual((await labelsAt('  template: [')).sort(), ['[X]', '[Y]']);
      assert.deepEqual((await labelsAt('  candidates: ')).sort(), ['file', 'relation']);
      assert.ok((await labelsAt('  Bonn → ')).includes('Bonn'));
    });

    it('folds, lists symbols, explains, renames', async () => {
      const editor = await write('rename.cloze', TEXT);
      const { document } = editor;
      const folds = await vscode.commands.executeCommand<vscode.FoldingRange[]>(
        'vscode.executeFoldingRangeProvider',
        document.uri,
      );
      assert.deepEqual(
        folds.map(({ start, end }) => [start, end]),
        [
          [0, 3],
          [5, 8],
        ],
      );
      const symbols = await vscode.commands.executeCommand<vscode.DocumentSymbol[]>(
        'vscode.executeDocumentSymbolProvider',
        document.uri,
      );
      assert.deepEqual(
        symbols.map(({ name, children }) => [name, children.length]),
        [
          ['capital', 3],
          ['river', 1],
        ],
      );
      const hovers = await vscode.commands.executeCommand<vscode.Hover[]>(
        'vscode.executeHoverProvider',
        document.uri,
        new vscode.Position(0, 10),
      );
      assert.match(hovers.map(({ contents }) => (contents[0] as vscode.MarkdownString).value).join(), /2&nbsp;facts/);
      const rename = (name: string) =>
        vscode.commands.executeCommand<vscode.WorkspaceEdit>(
          'vscode.executeDocumentRenameProvider',
          document.uri,
          new vscode.Position(0, 12),
          name,
        );
      assert.deepEqual(
        (await rename('capital-of')).entries().map(([, edits]) => edits.map(({ newText }) => newText)),
        [['capital-of']],
      );
      await assert.rejects(async () => rename('two words'));
      await assert.rejects(async () => rename('river'));
    });

    it('has lenses that run a relation, and all', async () => {
      const editor = await write('lenses.cloze', TEXT.replace('flows through Bonn', 'flows through [Y]'));
      const lenses = await vscode.commands.executeCommand<vscode.CodeLens[]>(
        'vscode.executeCodeLensProvider',
        editor.document.uri,
        10,
      );
      assert.deepEqual(
        lenses.map(({ range, command }) => [range.start.line, command?.title.replace(/\$\(.*?\) /, '')]),
        [
          [0, 'Run'],
          [0, 'Run All'],
          [5, 'Run'],
        ],
      );
      const [first] = lenses;
      await run(first?.command?.command ?? '', ...((first?.command?.arguments ?? []) as unknown[]));
      assert.deepEqual(
        lastRun()
          .facts.map(({ subject }) => subject)
          .sort(),
        ['France', 'Spain'],
      );
      assert.deepEqual(
        (await hintsOf(editor.document)).map(({ position }) => position.line),
        [2, 3],
      );
      // A fact that says something else has no result; the others keep theirs, where they stand now.
      await editor.edit((edit) => edit.replace(new vscode.Range(2, 2, 2, 8), 'Chad'));
      await editor.edit((edit) => edit.insert(new vscode.Position(0, 0), '# Before it.\n'));
      assert.deepEqual(
        (await hintsOf(editor.document)).map(({ position }) => position.line),
        [4],
      );
      await editor.edit((edit) => edit.replace(new vscode.Range(2, 0, 2, 50), '  template: [X] has the capital [Y].'));
      assert.deepEqual(await hintsOf(editor.document), []);
    });
  });
});
