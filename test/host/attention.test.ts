/** Attention inside the real VS Code: the shared subject, what the pages ask for, colours in the document, files, saved states. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as vscode from 'vscode';
import type { LensApi } from '../../extension/extension';
import { savedState } from '../../extension/panels/attentionFiles';
import type { AttentionLook, AttentionState } from '../../extension/protocol/attentionView';
import { readSavedAttention } from '../../extension/protocol/savedAttention';
import { readSafetensors } from '../../scripts/lens/safetensors';
import { caret, closeAll, fixture, lens, near, open, run, select, until, withSetting } from './support';

const SHOW = 'onnxLens.showAttention';
const HIDE = 'onnxLens.hideAttentionInDocument';
/** Of the reference, whose patterns PyTorch computed. */
const TEXT = 'Paris is the capital of [MASK].';
const TOKENS = ['[CLS]', 'Paris', 'is', 'the', 'capital', 'of', '[MASK]', '.', '[SEP]'];
const HEADS = 12;
const TOLERANCE = 1e-3;
const FIRST: Partial<AttentionLook> = {
  ...{ page: 'heads', layer: 0, heads: [], words: true },
  ...{ specials: 'show', direction: 'from', method: 'weight' },
};

describe('Attention', () => {
  let api: LensApi;
  let folder: string;
  let reference: ReturnType<typeof readSafetensors>;
  const state = (): AttentionState => api.attention.state;
  const ready = (): AttentionState => {
    const { status, error } = state();
    assert.equal(status, 'ready', `${error?.message} ${error?.hint}`);
    return state();
  };
  /** PyTorch's weight. */
  const weight = (layer: number, head: number, query: number, key: number): number => {
    const { data } = reference.get(`a/blocks.${layer}.attn.hook_pattern`) ?? {};
    return data?.[(head * TOKENS.length + query) * TOKENS.length + key] ?? Number.NaN;
  };

  before(async () => {
    api = await lens();
    folder = mkdtempSync(join(tmpdir(), 'onnx-lens-'));
    reference = readSafetensors(fixture('bert-base-cased', 'reference.safetensors'));
  });
  afterEach(async () => {
    await run(HIDE);
    await api.attention.handlers.pin({ on: false });
    await api.attention.handlers.clearInterventions(null);
    await api.attention.changeLook(FIRST);
  });
  after(async () => {
    await closeAll();
    rmSync(folder, { recursive: true });
  });

  it('shows all heads of the text at the caret', async () => {
    const editor = await open(`Before it.\n\n${TEXT}\n`);
    caret(editor, editor.document.getText().indexOf('capital') + 2);
    await run(SHOW);
    const { overview, subject, look, revision } = ready();
    assert.deepEqual(
      overview?.tokens.map(({ token }) => token),
      TOKENS,
    );
    assert.deepEqual([overview?.layers, overview?.heads, overview?.missing], [12, HEADS, []]);
    assert.deepEqual([subject?.line, subject?.context, subject?.stale], [3, 'sentence', false]);
    assert.equal(look.target, TOKENS.indexOf('capital'));
    assert.ok(revision.overview > 0);
    const pictures = await api.attention.handlers.thumbnails(null);
    assert.equal(pictures?.data.length, 12 * HEADS * pictures!.size ** 2);
    let mean = 0;
    for (let query = 1; query < TOKENS.length; query += 1) mean += weight(3, 2, query, query - 1) / TOKENS.length;
    near(overview?.statistics.previous[3 * HEADS + 2], mean, TOLERANCE, 'attention to the previous token of L3H2');
  });

  it('hands out the picture of a head as PyTorch computes it, and asks for it only on its page', async () => {
    const editor = await open(TEXT);
    select(editor, 'Paris');
    await run(SHOW);
    const before = ready().revision.maps;
    await api.attention.changeLook({ layer: 4, heads: [{ layer: 4, head: 7 }], words: false });
    assert.equal(state().revision.maps, before, 'nothing is computed for a page that is not shown');
    await api.attention.changeLook({ page: 'head' });
    assert.notEqual(ready().revision.maps, before);
    const maps = await api.attention.handlers.maps(null);
    assert.equal(maps?.units.length, TOKENS.length);
    maps.data.forEach((value, at) => {
      const [query, key] = [Math.floor(at / TOKENS.length), at % TOKENS.length];
      near(value, weight(4, 7, query, key), TOLERANCE, `L4H7 ${TOKENS[query]} → ${TOKENS[key]}`);
    });
    const { revision } = state();
    await api.attention.changeLook({ drawing: 'matrix', threshold: { kind: 'mass', value: 0.9 } });
    assert.equal(state().revision.maps, revision.maps, 'drawing it otherwise is no new question');
    await run('onnxLens.nextHead');
    assert.deepEqual(state().look.heads, [{ layer: 4, head: 8 }]);
    near((await api.attention.handlers.maps(null))?.data[1], weight(4, 8, 0, 1), TOLERANCE, 'L4H8');
  });

  it('takes two selections as a pair', async () => {
    const editor = await open('The cats [MASK] on mats. They slept all day.');
    select(editor, 'The cats [MASK] on mats.', 'They slept all day.');
    await run(SHOW);
    const { overview } = ready();
    assert.deepEqual(overview?.tokens.map(({ token, text }) => `${token} ${text}`).slice(7, 11), [
      '. 0',
      '[SEP] 0',
      'They 1',
      'slept 1',
    ]);
    const pair = await open('One sentence stands here. Another one follows it.');
    caret(pair, 4);
    await run('onnxLens.showAttentionPair');
    assert.equal(
      ready().overview?.tokens.some(({ text }) => text === 1),
      true,
    );
    caret(pair, pair.document.getText().indexOf('follows') + 1);
    await until('the target in the second text', () => {
      const { look, overview: shown } = state();
      return look.target !== null && shown?.tokens[look.target]?.token === 'follows';
    });
  });

  it('moves the target with the caret and with a click, everywhere', async () => {
    const editor = await open(TEXT);
    caret(editor, 1);
    await run(SHOW);
    const { revision } = ready();
    caret(editor, TEXT.indexOf('capital') + 1);
    await until('the target at the caret', () => state().look.target === TOKENS.indexOf('capital'));
    await api.attention.changeLook({ target: TOKENS.indexOf('is') });
    assert.equal(editor.document.getText(editor.selection), 'is');
    assert.deepEqual(api.shared.target, { text: 0, range: { start: 6, end: 8 } });
    await api.attention.changeLook({ target: 0 });
    assert.equal(state().look.target, 0, 'a special token stands in no text, and can be looked at');
    assert.equal(state().revision.overview, revision.overview, 'the text was not read again');
    select(editor, 'capital');
    await run('onnxLens.maskSelection');
    assert.equal(state().look.target, TOKENS.indexOf('capital'), 'what Cloze masks is the target here');
  });

  it('is left where it is while pinned', async () => {
    const editor = await open(TEXT);
    caret(editor, 1);
    await run(SHOW);
    await api.attention.handlers.pin({ on: true });
    const pinned = ready();
    const other = await open('Something else is here.');
    select(other, 'else');
    await run('onnxLens.maskSelection');
    assert.equal(state().subject?.document, pinned.subject?.document);
    assert.equal(api.shared.place?.subject.text, 'Something else is here.');
    await api.attention.handlers.pin({ on: false });
    await api.attention.show();
    assert.equal(ready().overview?.tokens[1]?.token, 'Something');
  });

  it('says that its text has changed, and reads it again when asked', async () => {
    const editor = await open(TEXT);
    caret(editor, 1);
    await run(SHOW);
    assert.equal(ready().subject?.stale, false);
    await editor.edit((edit) => edit.replace(new vscode.Range(0, 0, 0, 5), 'London'));
    await until('staleness', () => state().subject?.stale === true);
    assert.equal(state().overview?.tokens[1]?.token, 'Paris', 'the numbers stay those of the text that was read');
    await api.attention.handlers.refresh(null);
    assert.equal(ready().overview?.tokens[1]?.token, 'London');
    assert.equal(state().subject?.stale, false);
    await closeAll();
    await until('the document is closed', () => editor.document.isClosed);
    await assert.rejects(async () => api.attention.handlers.reveal({ range: { start: 0, end: 6 }, text: 0 }), /closed/);
    await api.attention.changeLook({ target: 2 });
    assert.equal(state().look.target, 2);
  });

  it('shows one query step by step', async () => {
    const editor = await open(TEXT);
    caret(editor, 1);
    await run(SHOW);
    await api.attention.changeLook({ page: 'steps', layer: 2, heads: [{ layer: 2, head: 5 }] });
    ready();
    const steps = await api.attention.handlers.steps(null);
    assert.deepEqual([steps?.layer, steps?.head, steps?.query], [2, 5, 1]);
    steps?.pattern.forEach((value, key) => near(value, weight(2, 5, 1, key), TOLERANCE, `weight of ${TOKENS[key]}`));
  });

  it('compares heads, texts, masked with unmasked, and changed with unchanged', async () => {
    const editor = await open(TEXT);
    select(editor, 'capital');
    await run(SHOW);
    const compared = async () => {
      ready();
      const comparison = await api.attention.handlers.comparison(null);
      assert.ok(comparison);
      return comparison;
    };
    await api.attention.changeLook({ layer: 1, heads: [{ layer: 1, head: 3 }], words: false });
    await api.attention.handlers.compare({ kind: 'heads', other: { layer: 6, head: 2 } });
    const heads = await compared();
    assert.deepEqual([heads.labels, heads.aligned], [['L1H3', 'L6H2'], true]);
    near(heads.maps[0].data[10], weight(1, 3, 1, 1), TOLERANCE, 'L1H3');
    near(heads.maps[1].data[10], weight(6, 2, 1, 1), TOLERANCE, 'L6H2');

    await api.attention.handlers.compare({ kind: 'masked' });
    const masked = await compared();
    assert.equal(masked.aligned, true);
    assert.deepEqual(
      masked.maps.map(({ tokens }) => tokens[4]?.token),
      ['capital', '[MASK]'],
    );

    assert.equal(state().comparable.find(({ kind }) => kind === 'interventions')?.enabled, false);
    await api.attention.handlers.intervene({ layer: 0, head: 0, scale: 0 });
    await api.attention.handlers.compare({ kind: 'interventions' });
    const changed = await compared();
    near(changed.maps[0].data[10], weight(1, 3, 1, 1), TOLERANCE, 'unchanged');
    assert.ok(Math.abs((changed.maps[1].data[10] ?? 0) - weight(1, 3, 1, 1)) > 1e-6, 'a head off changes later layers');
    await api.attention.handlers.clearInterventions(null);

    await run('onnxLens.keepForComparison');
    const other = await open('Paris is the capital of France.');
    caret(other, 1);
    await run(SHOW);
    await api.attention.handlers.compare({ kind: 'texts' });
    const texts = await compared();
    assert.equal(texts.aligned, false);
    assert.deepEqual(
      texts.maps.map(({ tokens }) => tokens[6]?.token),
      ['[MASK]', 'France'],
    );
  });

  it('refuses to compare models that read other tokens', async () => {
    const first = api.models.require().ref.id;
    await run('onnxLens.addModelFolder', vscode.Uri.file(fixture('bert')));
    const added = api.models.selected?.ref.id ?? '';
    try {
      await run('onnxLens.selectModel', first);
      const editor = await open(TEXT);
      caret(editor, 1);
      await run(SHOW);
      await api.attention.handlers.compare({ kind: 'models', other: added });
      assert.equal(state().status, 'error');
      assert.match(state().error?.message ?? '', /same tokens/);
    } finally {
      await api.models.remove(added);
    }
  });

  it('tells which heads matter for the word at the caret', async () => {
    const editor = await open('Adolphe Adam died in Paris .');
    select(editor, 'Paris');
    await run('onnxLens.whichHeads');
    ready();
    assert.equal(state().look.page, 'effects');
    const { effects, together } = await api.attention.handlers.effects(null);
    assert.equal(effects?.effects.length, 12 * HEADS);
    assert.equal(effects.target.token, 'Paris');
    assert.equal(effects.before.predictions[0]?.token, 'Paris');
    assert.equal(together, null);
    const strongest = effects.effects.reduce((one, other) => (other.zero < one.zero ? other : one));
    await api.attention.handlers.intervene({ layer: strongest.layer, head: strongest.head, scale: 0 });
    await api.attention.show();
    const changed = (await api.attention.handlers.effects(null)).together;
    assert.ok(changed?.after);
    near(changed.after.logprob - changed.before.logprob, strongest.zero, TOLERANCE, 'the same head off, by click');
  }).timeout(180_000);

  describe('in the document', () => {
    const colored = (): string[] =>
      (api.colors.shown?.words ?? []).flatMap(({ unit, step }) => (step > 0 ? [unit.label] : []));

    it('colours what the word at the caret attends to, with exact weights on hover', async () => {
      const editor = await open(`Before it.\n\n${TEXT}`);
      const text = editor.document.getText();
      caret(editor, text.indexOf('capital') + 1);
      await api.attention.changeLook({ layer: 3, heads: [{ layer: 3, head: 1 }] });
      await run('onnxLens.showAttentionInDocument');
      const { shown } = api.colors;
      assert.ok(shown);
      assert.equal(state().inDocument, true);
      for (const { unit, weight: value } of shown.words)
        near(value, weight(3, 1, 4, unit.tokens[0] ?? -1), TOLERANCE, `capital → ${unit.label}`);
      near(shown.elsewhere, weight(3, 1, 4, 0) + weight(3, 1, 4, 8), TOLERANCE, 'to special tokens');
      const hovers = await vscode.commands.executeCommand<vscode.Hover[]>(
        'vscode.executeHoverProvider',
        editor.document.uri,
        editor.document.positionAt(text.indexOf('Paris') + 1),
      );
      const said = hovers.flatMap(({ contents }) => contents as vscode.MarkdownString[]).map(({ value }) => value);
      assert.ok(
        said.some((value) => value.includes('capital') && value.includes('L3H1')),
        said.join('\n'),
      );
    });

    it('follows the caret without asking again, and asks again outside', async () => {
      const editor = await open(`${TEXT}\n\nThe old man walked along the shore.`);
      caret(editor, 1);
      await run('onnxLens.showAttentionInDocument');
      const first = api.colors.shown;
      caret(editor, TEXT.indexOf('capital'));
      const moved = await until('other colours', () => {
        const { shown } = api.colors;
        return shown?.maps.units[shown.unit]?.label === 'capital' ? shown : null;
      });
      assert.equal(moved.maps, first?.maps);
      await api.attention.changeLook({ direction: 'to' });
      assert.equal(api.colors.shown?.maps, first?.maps);
      assert.notEqual(api.colors.shown?.words[0]?.weight, moved.words[0]?.weight);
      caret(editor, editor.document.getText().indexOf('walked') + 1);
      await until('colours of the other sentence', () => colored().includes('walked'), 30_000);
    });

    it('is hidden by an edit and by its command', async () => {
      const editor = await open(TEXT);
      caret(editor, 1);
      await run('onnxLens.showAttentionInDocument');
      assert.ok(colored().length > 0);
      await editor.edit((edit) => edit.insert(new vscode.Position(0, 5), 'ian'));
      await until('no colours', () => api.colors.shown === null && !state().inDocument);
      await run('onnxLens.showAttentionInDocument');
      assert.ok(colored().length > 0);
      await run(HIDE);
      assert.deepEqual([api.colors.shown, state().inDocument], [null, false]);
    });
  });

  it('reads files for statistics, leaves out those that it cannot read, and can be stopped', async () => {
    for (let index = 0; index < 6; index += 1)
      writeFileSync(
        join(folder, `text${index}.txt`),
        'The old man walked along the shore.\n\nParis is the capital of France.\n',
      );
    writeFileSync(join(folder, 'broken.txt'), Buffer.from([0xff, 0xfe, 0x00, 0xd8]));
    await run('onnxLens.headStatistics', vscode.Uri.file(folder));
    const { workError, work } = state();
    assert.deepEqual([workError, work], [null, null]);
    const corpus = await api.attention.handlers.corpus(null);
    assert.equal(corpus?.state.documents, 12);
    assert.deepEqual(
      corpus.state.skipped.map(({ name }) => name),
      ['broken.txt'],
    );
    assert.equal(corpus.statistics.types.length, 12 * HEADS);
    const running = api.attention.work.start('corpus', [vscode.Uri.file(folder)]);
    await until('work', () => state().work);
    api.attention.work.stop();
    await running;
    assert.equal(state().work, null);
    await api.attention.work.goOn('corpus');
    assert.equal((await api.attention.handlers.corpus(null))?.state.documents, 12);
  }).timeout(180_000);

  it('finds heads for relations, and the sentences behind them', async () => {
    const file = join(folder, 'sample.conllu');
    const rows = [
      ['1', 'The', 'the', 'DET', '2', 'det'],
      ['2', 'man', 'man', 'NOUN', '3', 'nsubj'],
      ['3', 'walked', 'walk', 'VERB', '0', 'root'],
      ['4', '.', '.', 'PUNCT', '3', 'punct'],
    ].map(([id, form, lemma, tag, head, relation]) =>
      [id, form, lemma, tag, '_', '_', head, relation, '_', '_'].join('\t'),
    );
    writeFileSync(file, `# text = The man walked .\n${rows.join('\n')}\n\n`);
    await run('onnxLens.headRelations', vscode.Uri.file(file));
    assert.equal(state().workError, null);
    const relations = await api.attention.handlers.relations(null);
    const det = relations?.table.find(({ relation }) => relation === 'det');
    assert.equal(det?.n, 1);
    const [example] = await api.attention.handlers.examples({ ...det.best, relation: 'det' });
    assert.equal(example?.words[example.from]?.form, 'The');
    await api.attention.handlers.openExample({ source: example.source, line: example.line });
    assert.equal(vscode.window.activeTextEditor?.document.uri.fsPath, file);
  }).timeout(120_000);

  it('saves what is looked at, and shows it again', async () => {
    const file = join(folder, 'story.txt');
    writeFileSync(file, `Before it.\n\n${TEXT}\n`);
    const document = await vscode.workspace.openTextDocument(file);
    const editor = await vscode.window.showTextDocument(document);
    select(editor, 'capital');
    await run(SHOW);
    await api.attention.changeLook({ page: 'head', layer: 2, heads: [{ layer: 2, head: 1 }], direction: 'to' });
    await api.attention.handlers.intervene({ layer: 0, head: 3, scale: 0.5 });
    await api.attention.show();
    const data = (await api.attention.handlers.maps(null))?.data;
    const place = vscode.Uri.file(join(folder, 'state.lens.json'));
    const info = await api.engine.info(api.models.require().ref);
    writeFileSync(place.fsPath, JSON.stringify(savedState(api.attention, info, place)));
    assert.equal(readSavedAttention(readFileSync(place.fsPath, 'utf8')).document.path, 'story.txt');

    await api.attention.changeLook(FIRST);
    await api.attention.handlers.clearInterventions(null);
    await closeAll();
    const other = await open('Something else.');
    caret(other, 1);
    await run(SHOW);
    await run('onnxLens.openAttentionState', place);
    const { look, interventions, subject, overview } = ready();
    assert.deepEqual(
      [look.page, look.heads, look.direction, overview?.tokens[look.target ?? -1]?.token],
      ['head', [{ layer: 2, head: 1 }], 'to', 'capital'],
    );
    assert.deepEqual(interventions, [{ layer: 0, head: 3, scale: 0.5 }]);
    assert.deepEqual([subject?.document, subject?.stale], ['story.txt', false]);
    assert.deepEqual((await api.attention.handlers.maps(null))?.data, data);

    // In the editor: of a change from outside VS Code hears only when its watcher does.
    const changed = await vscode.workspace.openTextDocument(file);
    const edit = new vscode.WorkspaceEdit();
    edit.replace(changed.uri, new vscode.Range(0, 0, changed.lineCount, 0), 'It reads otherwise now.\n');
    await vscode.workspace.applyEdit(edit);
    await changed.save();
    await closeAll();
    await until('the file is read anew', async () => {
      await run('onnxLens.openAttentionState', place);
      return state().subject?.stale === true;
    });
    assert.deepEqual((await api.attention.handlers.maps(null))?.data, data, 'the picture is that of the saved text');
  });

  it('says why a model shows nothing', async () => {
    await withSetting('model', 'no-such-model', async () => {
      const editor = await open(TEXT);
      caret(editor, 1);
      await run(SHOW);
      assert.equal(state().status, 'error');
      assert.match(state().error?.message ?? '', /no-such-model/);
    });
  });
});
