/** Embeddings inside the real VS Code: the word at the caret, its occurrences in the document, sentences. */
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
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

  describe('with models of the library beside the included one', () => {
    const BUNDLED = 'bert-base-cased';
    let folder: string;
    const added: string[] = [];
    const add = async (path: string): Promise<string> => {
      const id = await api.models.add(path);
      added.push(id);
      return id;
    };
    /** Numbered, so that no two are alike. */
    const file = (name: string, sentences: number): vscode.Uri => {
      const path = join(folder, name);
      writeFileSync(
        path,
        Array.from(
          { length: sentences },
          (_, at) => `The ${at % 2 === 0 ? 'old' : 'young'} man walked along the shore ${at} times.`,
        ).join('\n'),
      );
      return vscode.Uri.file(path);
    };
    const sourceOf = (uri: vscode.Uri): { name: string; file: string }[] => [{ name: uri.path, file: uri.fsPath }];

    beforeEach(() => {
      folder = mkdtempSync(join(tmpdir(), 'lens-models-'));
    });
    afterEach(async () => {
      await api.models.select(BUNDLED);
      for (const id of added.splice(0)) if (api.models.get(id) !== undefined) await api.models.remove(id);
      rmSync(folder, { recursive: true, force: true });
      await handlers().indexWhat({ what: 'workspace' });
    });

    it('compares all layers of two models: alike where they are the same, and says what is missing', async () => {
      cpSync(fixture('bert'), join(folder, 'copy'), { recursive: true });
      const copy = await add(join(folder, 'copy'));
      const model = await add(fixture('bert'));
      await api.models.select(model);
      const sources = sourceOf(file('men.txt', 24));
      await api.embeddings.compareWith(copy, sources);
      assert.equal(ready().look.page, 'contextuality');
      const same = await handlers().compared(null);
      const layers = [...(same?.layers[0] ?? [])];
      assert.deepEqual([same?.models, same?.layers, same?.unit], [[model, copy], [layers, layers], 'token']);
      assert.ok(layers.length > 2 && same?.cka.length === layers.length ** 2);
      layers.forEach((layer, row) => {
        near(same.cka[row * layers.length + row], 1, TOLERANCE, `CKA of layer ${layer} with itself`);
        for (let column = 0; column < row; column++) {
          const value = same.cka[row * layers.length + column] as number;
          near(same.cka[column * layers.length + row], value, TOLERANCE, `CKA of ${row} with ${column}, turned around`);
          assert.ok(value > 0 && value < 0.9999, `CKA of layers ${row} and ${column}: ${value}`);
        }
      });

      // The same texts again, with the first model of the list to pick from.
      const picked = Promise.resolve(handlers().compareModels(null)).then(() => true);
      await until('the picked model', async () => {
        await run('workbench.action.acceptSelectedQuickOpenItem');
        return Promise.race([picked, sleep(100).then(() => false)]);
      });
      ready();
      const two = await handlers().compared(null);
      assert.deepEqual([two?.models, two?.sentences], [[model, BUNDLED], 24]);
      const sizes = two?.layers.map(({ length }) => length);
      assert.deepEqual(sizes, [layers.length, 13]);
      assert.equal(two?.cka.length, layers.length * 13);
      assert.ok(two.cka.every((value) => value > 0 && value < 0.9999));

      await assert.rejects(
        api.embeddings.compareWith('no-such-model', sources),
        /“no-such-model” is not in the library/u,
      );
      const gone = await add(join(folder, 'gone'));
      await api.embeddings.compareWith(gone, sources);
      assert.deepEqual([api.embeddings.state.status, api.embeddings.state.error?.code], ['error', 'model-not-found']);
      assert.equal(await handlers().compared(null), null, 'no older comparison under the error');
      await api.embeddings.compareWith(BUNDLED, sourceOf(file('few.txt', 3)));
      assert.match(api.embeddings.state.error?.message ?? '', /the same word in 3 sentences; 10 are needed/u);
    });

    it('shows how large the index of a model is, and deletes it with the model', async () => {
      const bundled = api.models.require(BUNDLED).ref.folder;
      const model = await add(fixture('bert'));
      file('men.txt', 40);
      caret(await open(TEXT), TEXT.indexOf('bank') + 1);
      api.embeddings.indexFolder(vscode.Uri.file(folder));
      for (const id of [BUNDLED, model]) {
        await api.models.select(id);
        await run('onnxLens.findNeighbours');
        await api.embeddings.buildIndex();
      }
      const stored = (): EmbeddingsState['index']['stored'] => api.embeddings.state.index.stored;
      const own = stored().find((each) => each.model.folder === fixture('bert'));
      const others = stored().find((each) => each.model.folder === bundled);
      assert.ok(own !== undefined && others !== undefined && stored().length === 2);
      for (const { folder: place, bytes } of [own, others]) {
        const sizes = readdirSync(place).map((name) => statSync(join(place, name)).size);
        assert.equal(
          bytes,
          sizes.reduce((sum, size) => sum + size, 0),
          place,
        );
        assert.ok(bytes > 10_000, `${bytes} bytes`);
      }

      await run('onnxLens.removeModel', model);
      await until('the index has gone', () => !existsSync(own.folder));
      await until('what is listed', () => stored().length === 1);
      assert.deepEqual(stored()[0]?.folder, others.folder, 'the index of another model stays');
      assert.ok(existsSync(others.folder));
      await handlers().deleteIndex({ index: null });
    });
  });
});
