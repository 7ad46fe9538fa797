/** Memories inside the real VS Code, on the bundled model: the view, its words and lenses, changes, names in the workspace. */
import assert from 'node:assert/strict';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as vscode from 'vscode';
import type { LensApi } from '../../extension/extension';
import { FIRST_LOOK } from '../../extension/panels/memoriesPlan';
import { NAMES_FILE } from '../../extension/panels/memoryNames';
import type { LogitLens } from '../../extension/protocol/ffn';
import type { MemoriesState } from '../../extension/protocol/memoriesView';
import { caret, closeAll, lens, near, open, run, until } from './support';

const TEXT = 'The native language of Marcel Proust is French.';
/** As the example of docs/memories.md, found with the command line. */
const EXAMPLE = 'The native language of Marcel Proust is [MASK].';
const LOGPROB = -0.243;

describe('Memories', () => {
  let api: LensApi;
  const ready = (): MemoriesState => {
    const { state } = api.memories;
    assert.equal(state.status, 'ready', `${state.error?.message} ${state.error?.hint}`);
    return state;
  };
  const handlers = (): LensApi['memories']['handlers'] => api.memories.handlers;
  const names = (): string => join(vscode.workspace.workspaceFolders?.[0]?.uri.fsPath ?? '', NAMES_FILE);

  before(async () => {
    api = await lens();
  });
  beforeEach(() => handlers().look(FIRST_LOOK));
  afterEach(() => api.shared.setInterventions([]));
  after(async () => {
    await handlers().look(FIRST_LOOK);
    await closeAll();
  });

  const show = async (text: string, word: string, command = 'onnxLens.showMemories'): Promise<vscode.TextEditor> => {
    const editor = await open(text);
    caret(editor, text.indexOf(word) + 1);
    await run(command);
    return editor;
  };

  it('shows the memories at the word of the caret, which is masked', async () => {
    await show(TEXT, 'French');
    const { input, target, revision } = ready();
    assert.equal(input?.tokens[target ?? -1]?.token, 'French');
    assert.ok(revision.memories > 0);
    const result = await handlers().memories(null);
    assert.equal(result?.tokens[target ?? -1]?.token, '[MASK]');
    assert.equal(result.target.token, 'French');
    near(result.target.logprob ?? NaN, LOGPROB, 5e-4, 'log p of French');
    assert.equal(result.layers.length, 12);
    assert.equal(result.memories.length, FIRST_LOOK.count);
    // The tensors of the same text with a mask in it say the same.
    await handlers().look({ mask: false });
    await api.memories.show();
    assert.notEqual((await handlers().memories(null))?.tokens[target ?? -1]?.token, '[MASK]');
  });

  it('ranks them by what they add to the word, of all layers or of one, as in the documentation', async () => {
    await show(EXAMPLE, 'MASK');
    await handlers().look({ by: 'logit' });
    await api.memories.show();
    const all = await handlers().memories(null);
    const best = all?.memories.filter(({ logit }) => (logit ?? 0) > 0).slice(0, 2) ?? [];
    assert.deepEqual(
      best.map(({ layer, neuron }) => [layer, neuron]),
      [
        [10, 1518],
        [11, 2384],
      ],
    );
    near(best[0]?.logit ?? NaN, 0.94, 0.005, 'what L10N1518 adds');
    assert.equal(best[0]?.promoted[0]?.token, 'English');
    await handlers().look({ layer: 11 });
    await api.memories.show();
    const one = await handlers().memories(null);
    assert.ok(one?.memories.some(({ neuron }) => neuron === 2384));
    assert.ok(one?.memories.every(({ layer }) => layer === 11));
    // What the other layers write is still there.
    assert.deepEqual(
      one?.layers.map(({ logit }) => logit),
      all?.layers.map(({ logit }) => logit),
    );
  });

  it('measures another word that is typed, and refuses what is no single token', async () => {
    await show(EXAMPLE, 'MASK');
    await handlers().look({ by: 'logit' });
    await handlers().addWord({ text: 'English', to: 'word' });
    await api.memories.show();
    assert.equal((await handlers().memories(null))?.target.token, 'English');
    await assert.rejects(
      Promise.resolve(handlers().addWord({ text: 'Proustian', to: 'word' })),
      /“Proustian” is \d tokens of this model/u,
    );
  });

  it('switches a memory off in all views, and takes that back', async () => {
    await show(EXAMPLE, 'MASK');
    const before = (await handlers().memories(null))?.target;
    const change = { layer: 10, neuron: 1518, position: before?.read ?? 0 };
    await handlers().intervene({ ...change, scale: 0 });
    await api.memories.show();
    const { interventions } = ready();
    assert.deepEqual(interventions, [{ ...change, scale: 0 }]);
    const after = await handlers().memories(null);
    assert.ok((after?.target.logprob ?? 0) < (before?.logprob ?? 0) - 0.01, 'without it French is less likely');
    await handlers().look({ page: 'lens' });
    await api.memories.show();
    const lens = await handlers().lens(null);
    const logprobOf = (of: LogitLens | null | undefined): number | undefined =>
      of?.watched.find(({ token }) => token === 'French')?.logprobs.at(-1);
    near(logprobOf(lens), after?.target.logprob ?? 0, 5e-4, 'the lens without it');
    near(logprobOf(lens?.before), before?.logprob ?? 0, 5e-4, 'the lens of the unchanged model beside it');
    await handlers().look({ page: 'memories' });
    await handlers().intervene({ ...change, scale: 1 });
    await api.memories.show();
    near((await handlers().memories(null))?.target.logprob ?? NaN, before?.logprob ?? 0, 1e-4, 'as it was');
  });

  it('shows what the model would say after each part, and follows words', async () => {
    await show(TEXT, 'French', 'onnxLens.showLogitLens');
    assert.equal(ready().look.page, 'lens');
    await handlers().addWord({ text: 'English', to: 'watch' });
    await api.memories.show();
    const result = await handlers().lens(null);
    assert.equal(result?.states.length, 25);
    assert.deepEqual(
      result.watched.slice(0, 2).map(({ token }) => token),
      ['French', 'English'],
    );
    near(result.states.at(-1)?.predictions[0]?.logprob, LOGPROB, 5e-4, 'the last state says what the model says');
    await handlers().look({ page: 'text', between: true });
    await api.memories.show();
    const table = await handlers().text(null);
    assert.equal(table?.places.length, 25);
    assert.equal(table.top.length, 25 * table.tokens.length);
  });

  it('trains a tuned lens, stops and goes on, and reads the states through it', async function () {
    this.timeout(180_000);
    await show(TEXT, 'French', 'onnxLens.showLogitLens');
    const plain = await handlers().lens(null);
    await until('what there is of the model', () => api.memories.state.tuned.running === null);
    const texts = vscode.Uri.file(join(vscode.workspace.workspaceFolders?.[0]?.uri.fsPath ?? '', 'tuned.txt'));
    await writeFile(
      texts.fsPath,
      Array.from({ length: 20 }, (_, at) => `Proust wrote ${at} books in French.\n\n`).join(''),
    );
    try {
      const training = api.memories.trainLens([texts], 500);
      await until('the first step', () => api.memories.state.tuned.running?.fraction, 60_000);
      await handlers().stopTraining(null);
      await training;
      const { unfinished, lens: none } = api.memories.state.tuned;
      assert.equal(none, null);
      assert.ok((unfinished?.done ?? 0) > 0 && unfinished?.tokens === 500);
      assert.equal(api.memories.state.look.tuned, false);
      await api.memories.trainLens([texts], 40);
      const { lens: trained, error, unfinished: left } = api.memories.state.tuned;
      assert.deepEqual([error, left], [null, null]);
      assert.equal(trained?.states.length, 12);
      assert.equal(ready().look.tuned, true);
      const tuned = await handlers().lens(null);
      assert.deepEqual(tuned?.tuned, trained);
      assert.equal(tuned.states.length, 13);
      near(tuned.states.at(-1)?.predictions[0]?.logprob, LOGPROB, 5e-4, 'the last state says what the model says');
      assert.notEqual(tuned.states[0]?.entropy, plain?.states[0]?.entropy);
      await handlers().look({ tuned: false });
      await api.memories.show();
      assert.equal((await handlers().lens(null))?.tuned, null);
    } finally {
      await rm(texts.fsPath, { force: true });
    }
  });

  it('groups memories that fire together on the text', async () => {
    await show(TEXT, 'French');
    await handlers().look({ page: 'groups', groups: 3 });
    await api.memories.show();
    ready();
    const result = await handlers().groups(null);
    assert.equal(result?.groups.length, 3);
    assert.ok(result.error > 0 && result.error < 1, `${result.error}`);
    for (const { tokens, members } of result.groups) {
      near(Math.max(...tokens), 1, 1e-6, 'where it fires most');
      assert.equal(members.length, 12);
    }
    await handlers().look({ page: 'memories' });
  });

  it('moves to the token that is chosen, in the editor too', async () => {
    const editor = await show(TEXT, 'French');
    const index = api.memories.state.input?.tokens.find(({ token }) => token === 'language')?.index ?? 0;
    // The caret's own move may still be told of.
    await until('the token is the target', async () => {
      await handlers().target({ index });
      await api.memories.show();
      return api.memories.state.target === index;
    });
    assert.equal(editor.document.getText(editor.selection), 'language');
  });

  it('shows one memory: the words that its value writes', async () => {
    await api.memories.showMemory({ layer: 10, neuron: 1518 });
    ready();
    const value = await handlers().memory(null);
    assert.equal(value?.promoted[0]?.token, 'English');
    await api.memories.showMemory({ layer: 99, neuron: 0 });
    assert.equal(api.memories.state.status, 'error');
  });

  it('finds the texts that fire a memory, and opens one at the firing token', async function () {
    this.timeout(180_000);
    await api.memories.showMemory({ layer: 10, neuron: 1518 });
    await handlers().scan({ scope: 'included' });
    const triggers = await handlers().triggers(null);
    const { error, running } = api.memories.state.triggers;
    assert.ok(triggers?.complete, JSON.stringify({ error, running, read: triggers?.sentences }));
    assert.ok(triggers.sentences >= 90, `${triggers.sentences} sentences`);
    const { largest } = triggers;
    assert.ok(largest.length > 5);
    for (const [index, { activation }] of largest.entries())
      assert.ok(index === 0 || activation <= (largest[index - 1]?.activation ?? 0), 'the largest first');
    const [first] = largest;
    assert.equal(first?.activation, first?.activations[first.token]);
    await handlers().openTrigger({ end: 'largest', index: 0 });
    const opened = vscode.window.visibleTextEditors.find(({ document }) => document.uri.path.endsWith('.conllu'));
    assert.equal(opened?.document.getText(opened.selection), first?.text.slice(first.range.start, first.range.end));
    await assert.rejects(Promise.resolve(handlers().openTrigger({ end: 'smallest', index: 999 })), /no such text/u);
    // The same texts are read for the next one.
    await api.memories.showMemory({ layer: 11, neuron: 2713 });
    await until(
      'the texts of the next memory',
      () => api.memories.state.revision.triggers > 0 && handlers().triggers(null),
      60_000,
    );
    const like = await handlers().similar(null);
    assert.deepEqual([like?.layer, like?.neuron], [11, 2713]);
  });

  it('colours the words of the document by a memory, until Escape or an edit', async () => {
    const editor = await open(`${TEXT}\n\nIt rained in the night. Their mother tongue is Welsh.\n`);
    await api.memories.showMemory({ layer: 10, neuron: 1518 });
    await handlers().inDocument({ on: true });
    const { shown } = api.memoryColors;
    assert.ok(shown !== null && api.memories.state.inDocument);
    const coloured = shown.tokens.filter(({ step }) => step > 3).map(({ range }) => editor.document.getText(range));
    assert.ok(coloured.length > 0, 'something fires');
    const most = shown.tokens.find(({ activation }) => activation === shown.largest);
    assert.equal(most?.step, 7);
    const all = shown.tokens.map(({ range }) => editor.document.getText(range));
    for (const word of ['native', 'Welsh', 'night']) assert.ok(all.includes(word), word);
    await run('onnxLens.hideMemoryInDocument');
    assert.equal(api.memoryColors.shown, null);
    await handlers().inDocument({ on: true });
    await editor.edit((change) => change.insert(new vscode.Position(0, 0), 'Now: '));
    await until('the colours go with an edit', () => !api.memoryColors.active);
  });

  it('keeps names in the workspace, beside what others write there, and never over marks of a merge', async function () {
    // Six times it waits for what the watcher of files says.
    this.timeout(120_000);
    await rm(names(), { force: true });
    try {
      await api.memories.name({ layer: 10, neuron: 1518 }, 'native languages #language #names');
      const expected = { layer: 10, neuron: 1518, name: 'native languages', tags: ['language', 'names'] };
      assert.deepEqual(api.memories.state.names.names, [expected]);
      // Somebody else adds a line meanwhile.
      const theirs = `L3N4\ttheirs\t\tother\t${'c'.repeat(64)}\n`;
      await writeFile(names(), (await readFile(names(), 'utf8')) + theirs);
      await api.memories.name({ layer: 10, neuron: 620 }, 'Celtic');
      const text = await readFile(names(), 'utf8');
      for (const part of ['native languages', 'Celtic', 'theirs']) assert.ok(text.includes(part), part);
      await until('names of others', () => api.memories.state.names.others === 1);
      // A merge leaves its marks.
      const marked = `<<<<<<< HEAD\n${text}`;
      await writeFile(names(), marked);
      await until('the file is seen', () => api.memories.state.names.error !== null);
      assert.match(api.memories.state.names.error?.message ?? '', /line 1: a mark of a merge/u);
      await assert.rejects(Promise.resolve(handlers().name({ layer: 1, neuron: 1 })), /mark of a merge/u);
      assert.equal(await readFile(names(), 'utf8'), marked);
      await handlers().openNames(null);
      assert.ok(vscode.window.activeTextEditor?.document.uri.fsPath.endsWith('onnx-lens-memories.tsv'));
      await closeAll();
      await writeFile(names(), text);
      await until('the file is mended', () => api.memories.state.names.names.length === 2);
      await api.memories.name({ layer: 10, neuron: 620 }, '');
      assert.equal(api.memories.state.names.names.length, 1);
    } finally {
      await rm(names(), { force: true });
    }
  });
});
