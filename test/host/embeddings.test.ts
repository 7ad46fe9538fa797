/** Embeddings inside the real VS Code: the word at the caret, its occurrences in the document, sentences. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import * as vscode from 'vscode';
import type { LensApi } from '../../extension/extension';
import { FIRST_LOOK } from '../../extension/panels/embeddingsController';
import type { EmbeddingsState } from '../../extension/protocol/embeddingsView';
import { caret, closeAll, fixture, lens, near, open, run, select, until } from './support';

const TEXT =
  'She sat on the bank of the river. The bank refused the loan. They walked along the bank of the stream. His bank raised its fees.';
const TOLERANCE = 1e-4;

describe('Embeddings', () => {
  let api: LensApi;
  const ready = (): EmbeddingsState => {
    const { state } = api.embeddings;
    assert.equal(state.status, 'ready', `${state.error?.message} ${state.error?.hint}`);
    return state;
  };
  const handlers = (): LensApi['embeddings']['handlers'] => api.embeddings.handlers;

  before(async () => {
    api = await lens();
  });
  afterEach(() => handlers().look(FIRST_LOOK));
  after(closeAll);

  it('shows the word at the caret from the static row to the last layer', async () => {
    const editor = await open(TEXT);
    caret(editor, TEXT.indexOf('bank') + 1);
    await run('onnxLens.showEmbeddings');
    const { word, subject, revision } = ready();
    assert.deepEqual([word, subject?.line], ['bank', 1]);
    assert.ok(revision.word > 0);
    const result = await handlers().word(null);
    assert.equal(result?.word.text, 'bank');
    assert.equal(result.layers.length, 14);
    near(result.layers[0]?.toStatic ?? NaN, 1, TOLERANCE, 'cosine of the static row with itself');
    // The caret moves the word along.
    caret(editor, TEXT.indexOf('river') + 1);
    await until('the word under the caret', () => api.embeddings.state.word === 'river');
    await api.embeddings.show();
    assert.equal((await handlers().word(null))?.word.text, 'river');
  });

  it('finds its occurrences in the document, and opens one there', async () => {
    const editor = await open(TEXT);
    caret(editor, TEXT.indexOf('bank') + 1);
    await run('onnxLens.findOccurrences');
    assert.equal(ready().look.page, 'occurrences');
    const result = await handlers().occurrences(null);
    assert.equal(result?.occurrences.length, 4);
    assert.equal(result.layers.length, 14);
    near(result.layers[0]?.selfSimilarity, 1, TOLERANCE, 'self-similarity of the static row');
    await handlers().openOccurrence({ index: 1 });
    const { activeTextEditor } = vscode.window;
    assert.equal(activeTextEditor?.document.getText(activeTextEditor.selection), 'bank');
    assert.equal(activeTextEditor?.selection.start.character, TEXT.indexOf('bank refused'));
    await assert.rejects(Promise.resolve(handlers().openOccurrence({ index: 99 })), /no such occurrence/u);
  });

  it('builds an index of a folder, finds neighbours in it, follows its files, and deletes it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'lens-host-'));
    writeFileSync(join(folder, 'river.txt'), 'They walked along the bank of the river. A dog slept.');
    writeFileSync(join(folder, 'money.txt'), 'The bank raised its fees.');
    try {
      const editor = await open(TEXT);
      caret(editor, TEXT.indexOf('bank') + 1);
      api.embeddings.indexFolder(vscode.Uri.file(folder));
      await run('onnxLens.findNeighbours');
      assert.deepEqual(
        [api.embeddings.state.look.page, api.embeddings.state.index.state, api.embeddings.state.index.files],
        ['neighbours', 'none', 2],
      );
      assert.equal(await handlers().neighbours(null), null);
      await api.embeddings.buildIndex();
      const result = await handlers().neighbours(null);
      assert.deepEqual([result?.index.files, result?.neighbours[0]?.word], [2, 'bank']);
      await handlers().openNeighbour({ index: 0 });
      const { activeTextEditor } = vscode.window;
      assert.equal(activeTextEditor?.document.getText(activeTextEditor.selection), 'bank');
      // Sentences have an index of their own.
      caret(await open(TEXT), TEXT.indexOf('They walked'));
      await run('onnxLens.findPassages');
      assert.equal(ready().look.page, 'sentences');
      const passages = await handlers().passages(null);
      assert.match(passages?.word ?? '', /^They walked along the bank of the stream\.$/u);
      assert.match(passages?.neighbours[0]?.sentence ?? '', /^They walked along the bank of the river\.$/u);
      await handlers().openPassage({ index: 0 });
      assert.match(vscode.window.activeTextEditor?.document.fileName ?? '', /river\.txt$/u);
      assert.deepEqual(api.embeddings.state.index.stored.map(({ pool }) => pool).sort(), ['mean', 'word']);
      caret(await open(TEXT), TEXT.indexOf('bank') + 1);
      await run('onnxLens.findNeighbours');
      const [index] = api.embeddings.state.index.stored;
      assert.ok(index !== undefined && index.bytes > 10_000 && index.finished);
      // A file that comes later is looked at with the next question.
      writeFileSync(join(folder, 'more.txt'), 'She sat on the bank of the stream.');
      await until('the new file', async () => {
        await api.embeddings.show('neighbours');
        return (await handlers().neighbours(null))?.index.files === 3;
      });
      await handlers().deleteIndex({ index: null });
      assert.deepEqual([api.embeddings.state.index.stored.length, api.embeddings.state.index.state], [0, 'none']);
      assert.equal(await handlers().neighbours(null), null);
    } finally {
      rmSync(folder, { recursive: true });
      await handlers().indexWhat({ what: 'workspace' });
    }
  });

  it('mixes the layers of the word, and learns the mix that labelled lines want', async () => {
    const editor = await open(TEXT);
    caret(editor, TEXT.indexOf('bank') + 1);
    await run('onnxLens.showLayerMix');
    assert.equal(ready().look.page, 'mix');
    const equal = await handlers().mix(null);
    near(equal?.mix.weights[0], 1 / 13, TOLERANCE, 'weight of a layer among 13 alike');
    await handlers().look({
      mix: { logits: Array.from({ length: 13 }, (_, layer) => (layer === 8 ? 20 : 0)), gamma: 1 },
    });
    await until(
      'the other mix',
      () => api.embeddings.state.status === 'ready' && api.embeddings.state.revision.mix > 1,
    );
    const eighth = await handlers().mix(null);
    const inContext = await api.embeddings.show('word').then(() => handlers().word(null));
    near(eighth?.norm, inContext?.layers[9]?.norm ?? NaN, 1e-2, 'norm at layer 8');
    const lines = Array.from({ length: 12 }, (_, at) =>
      at % 2 === 0 ? `The bank lent ${at} of them money.\tmoney` : `They fished ${at} times from the bank.\triver`,
    );
    const file = join(mkdtempSync(join(tmpdir(), 'lens-mix-')), 'lines.tsv');
    writeFileSync(file, lines.join('\n'));
    try {
      await api.embeddings.learn(vscode.Uri.file(file), null, 'upos');
      ready();
      const learned = await handlers().learned(null);
      assert.deepEqual([learned?.labels, learned?.train, learned?.folds], [['money', 'river'], 12, 5]);
      assert.ok((learned?.accuracy ?? 0) > 0.8 && learned?.single.length === 14);
      writeFileSync(file, 'a text\tone\nanother\tone');
      await api.embeddings.learn(vscode.Uri.file(file), null, 'upos');
      assert.match(api.embeddings.state.error?.message ?? '', /one label only/u);
    } finally {
      rmSync(dirname(file), { recursive: true });
      await handlers().refresh(null);
    }
  });

  it('opens word vectors beside the model, asks both, and tests both on files', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'lens-vectors-'));
    const file = (name: string, content: string): vscode.Uri => {
      writeFileSync(join(folder, name), content);
      return vscode.Uri.file(join(folder, name));
    };
    try {
      await api.embeddings.openVectors(file('broken.txt', 'no numbers here'));
      assert.match(api.embeddings.state.error?.message ?? '', /no words with vectors/u);
      await api.embeddings.openVectors(vscode.Uri.file(fixture('embeddings', 'glove.txt')));
      assert.deepEqual([api.embeddings.state.table?.name, api.embeddings.state.table?.width], ['glove.txt', 8]);
      await handlers().look({ question: { words: ['man', 'king', 'woman'], exclude: true } });
      await until('the answers', () => api.embeddings.state.revision.static > 0 && ready());
      const answers = (await handlers().static(null))?.tables ?? [];
      assert.deepEqual(
        answers.map(({ name, answer }) => [name, answer?.width]),
        [
          ['glove.txt', 8],
          ['bert-base-cased', 768],
        ],
      );
      assert.equal(answers[0]?.answer?.neighbours[0]?.word, 'queen');
      await api.embeddings.score('rated', file('pairs.tsv', 'king\tqueen\t9\nman\tw3\t1\nrome\titaly\t7\n'));
      ready();
      const [glove] = (await handlers().scores(null))?.tables ?? [];
      assert.deepEqual([glove?.rated?.covered, glove?.rated?.spearman], [3, 1]);
      await api.embeddings.score('analogies', file('questions.txt', ': royal\nman king woman queen\nman king woman\n'));
      assert.match((await handlers().scores(null))?.tables[0]?.why ?? '', /Line 3 of .* 3 words/u);
      await handlers().closeVectors(null);
      assert.equal(api.embeddings.state.table, null);
    } finally {
      rmSync(folder, { recursive: true });
      await handlers().look({ question: null });
      await handlers().refresh(null);
    }
  });

  it('compares the sentences of the document, or those that are selected', async () => {
    const editor = await open(TEXT);
    caret(editor, 0);
    await run('onnxLens.compareSentences');
    assert.equal(ready().look.page, 'sentences');
    const all = await handlers().sentences(null);
    assert.equal(all?.sentences.length, 4);
    near(all.cosines[0], 1, TOLERANCE, 'cosine of a sentence with itself');
    await handlers().openSentence({ index: 2 });
    const { activeTextEditor } = vscode.window;
    assert.match(activeTextEditor?.document.getText(activeTextEditor.selection) ?? '', /^They walked/u);
    select(editor, 'She sat on the bank of the river. The bank refused the loan.');
    await run('onnxLens.compareSentences');
    assert.equal((await handlers().sentences(null))?.sentences.length, 2);
    caret(editor, 0);
    select(editor, 'She sat on the bank of the river.');
    await assert.rejects(api.embeddings.compareSentences(editor), /Two sentences are needed/u);
  });
});
