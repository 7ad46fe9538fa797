/** Hover and surprisal colours inside the real VS Code. */
import assert from 'node:assert/strict';
import * as vscode from 'vscode';
import type { LensApi } from '../../extension/extension';
import { closeAll, expected, fixture, lens, near, open, run, until, withSetting } from './support';

const TEXT = 'Adolphe Adam died in Paris .';

async function hoverAt(document: vscode.TextDocument, word: string): Promise<vscode.MarkdownString[]> {
  const position = document.positionAt(document.getText().indexOf(word) + 1);
  const hovers = await vscode.commands.executeCommand<vscode.Hover[]>(
    'vscode.executeHoverProvider',
    document.uri,
    position,
  );
  return hovers.flatMap(({ contents }) => contents as vscode.MarkdownString[]);
}

const textOf = (contents: vscode.MarkdownString[]): string => contents.map(({ value }) => value).join('\n');

describe('Hover', () => {
  let api: LensApi;
  before(async () => {
    api = await lens();
    await run('onnxLens.loadModel', 'bert-base-cased');
  });
  after(closeAll);

  it('shows the five expected words with their numbers, and the real one', async () => {
    const { document } = await open(TEXT, 'markdown');
    const content = textOf(await hoverAt(document, 'Paris'));
    const predictions = expected().fill_mask[1]?.masks[0]?.predictions.slice(0, 5) ?? [];
    let at = -1;
    for (const { token, logprob } of predictions) {
      const next = content.indexOf(`\n${token}`, at + 1);
      assert.ok(next > at, `${token} is missing or out of order in ${content}`);
      at = next;
      const line = content.slice(next + 1).split('\n')[0] ?? '';
      const shown = Number(line.trim().split(/\s+/).at(-1)?.replace('\u2212', '-'));
      near(shown, logprob, 0.006, `log p(${token})`);
    }
    assert.match(content, /rank(?: |&nbsp;)1(?: |&nbsp;)of(?: |&nbsp;)28,996/);
    assert.match(content, /command:onnxLens\.maskRange\?/);
    assert.match(content, /command:onnxLens\.openCloze/);
  });

  it('is not shown for other languages, nor when switched off', async () => {
    const code = await open(TEXT, 'python');
    assert.equal(textOf(await hoverAt(code.document, 'Paris')).includes('onnxLens'), false);
    await withSetting('hover.enabled', false, async () => {
      const { document } = await open(TEXT, 'markdown');
      assert.equal(textOf(await hoverAt(document, 'Paris')).includes('onnxLens'), false);
    });
  });

  it('trusts only its own commands, and shows the text of a document as text', async () => {
    const hostile =
      'The <img src=x onerror=alert(1)> word [x](command:workbench.action.quit) was a `fence` $(bug) here.';
    const { document } = await open(hostile, 'markdown');
    for (const word of ['onerror', 'quit', 'fence', 'bug']) {
      for (const content of await hoverAt(document, word)) {
        if (!content.value.includes('onnxLens')) continue;
        assert.equal(content.supportHtml ?? false, false);
        assert.notEqual(content.isTrusted, true);
        const outside = content.value.replace(/```[\s\S]*?```/g, '');
        assert.doesNotMatch(outside, /<img/);
        for (const [, command] of outside.matchAll(/\]\(command:([\w.]+)/g)) assert.match(command ?? '', /^onnxLens\./);
      }
    }
  });

  it('masks through its link only what the hover was shown for', async () => {
    const { document } = await open(TEXT, 'plaintext');
    const start = TEXT.indexOf('Paris');
    const place = { uri: document.uri.toString(), version: document.version, start, end: start + 5 };
    await run('onnxLens.maskRange', place);
    await until('the word of the link', () => api.cloze.state.result?.targets[0]?.text === 'Paris');
    const { length } = api.cloze.state.history;
    for (const wrong of [
      { ...place, version: 99 },
      { ...place, end: 1_000 },
      { ...place, start: -1 },
      { uri: 5 },
      null,
    ])
      await run('onnxLens.maskRange', wrong);
    assert.equal(api.cloze.state.history.length, length);
  });

  it('offers to load a model instead of loading it', async () => {
    await run('onnxLens.unloadModel', 'bert-base-cased');
    await until('unloaded', () => api.models.get('bert-base-cased')?.state === 'not-loaded');
    const { document } = await open(TEXT, 'plaintext');
    assert.match(textOf(await hoverAt(document, 'Paris')), /command:onnxLens\.loadModel/);
    assert.equal(api.models.get('bert-base-cased')?.state, 'not-loaded');
    await withSetting('hover.whenNotLoaded', 'load', async () => {
      assert.match(textOf(await hoverAt(document, 'Paris')), /28,996/);
    });
  });
});

describe('Surprisal colors', () => {
  let api: LensApi;
  before(async () => {
    api = await lens();
  });
  afterEach(() => run('onnxLens.clearSurprisal'));
  after(closeAll);

  it('scores a document as PyTorch does', async () => {
    for (const { text, logprobs, pll } of expected().pseudo_log_likelihood) {
      await open(text);
      await run('onnxLens.surprisal');
      const { shown } = api.surprisal;
      assert.equal(shown?.kind, 'pseudo-log-likelihood');
      assert.equal(shown.scored.count, logprobs.length);
      near(shown.scored.total, pll, 1e-3 * logprobs.length, `pseudo-log-likelihood of “${text}”`);
      shown.scored.tokens.forEach(({ logprob }, index) => {
        near(logprob, logprobs[index] ?? NaN, 1e-3, `token ${index} of “${text}”`);
      });
      assert.equal(shown.done, shown.characters);
    }
  });

  it('scores only what is selected, in its context, at its place in the document', async () => {
    const text = 'Before it.\n\nThe cat sat on the mat.\n\nAfter it.';
    const editor = await open(text);
    const start = text.indexOf('cat');
    editor.selection = new vscode.Selection(editor.document.positionAt(start), editor.document.positionAt(start + 7));
    await run('onnxLens.surprisal');
    const tokens = api.surprisal.shown?.scored.tokens ?? [];
    assert.deepEqual(
      tokens.map(({ range }) => text.slice(range.start, range.end)),
      ['cat', 'sat'],
    );
    const reference = expected().pseudo_log_likelihood[1];
    const at = reference?.tokens.indexOf('cat') ?? -1;
    near(tokens[0]?.logprob, reference?.logprobs[at] ?? NaN, 1e-3, 'log p(cat)');
  });

  it('scores a text of several pieces once, from its first to its last word', async () => {
    await run('onnxLens.addModelFolder', vscode.Uri.file(fixture('bert')));
    try {
      const text = `${'The old man walked along the shore and looked at the sea.\n\n'.repeat(600)}The end.`;
      await open(text);
      await run('onnxLens.surprisal');
      const { shown } = api.surprisal;
      const tokens = shown?.scored.tokens ?? [];
      assert.equal(shown?.done, text.length);
      assert.equal(shown.scored.count, tokens.length);
      let end = 0;
      for (const { range } of tokens) {
        assert.ok(range.start >= end && range.end > range.start, `a token at ${range.start} after one up to ${end}`);
        assert.equal(text.slice(end, range.start).trim(), '', `text at ${end} was not scored`);
        end = range.end;
      }
      assert.equal(text.slice(end).trim(), '');
    } finally {
      await api.models.remove(api.models.selected?.ref.id ?? '');
    }
  });

  it('explains a token in a hover, in any language', async () => {
    const { document } = await open('The cat sat on the mat.', 'python');
    await run('onnxLens.surprisal');
    const content = textOf(await hoverAt(document, 'cat'));
    assert.match(content, /bits/);
    assert.match(content, /rank/);
  });

  it('moves with edits, forgets what was edited, and is cleared on demand', async () => {
    const editor = await open('The cat sat on the mat.');
    await run('onnxLens.surprisal');
    await editor.edit((edit) => edit.replace(new vscode.Range(0, 4, 0, 7), 'parrot'));
    await until('the edit', () => api.surprisal.shown?.scored.changed === true);
    const text = editor.document.getText();
    const words = (api.surprisal.shown?.scored.tokens ?? []).map(({ range }) => text.slice(range.start, range.end));
    assert.equal(words.includes('parrot'), false);
    assert.equal(words.includes('sat'), true);
    await run('onnxLens.clearSurprisal');
    assert.equal(api.surprisal.shown, null);
  });

  it('says so when there is nothing to score', async () => {
    const editor = await open(' \n ');
    await assert.rejects(
      api.surprisal.show(editor, new AbortController().signal, () => undefined),
      /nothing to score/,
    );
    assert.equal(api.surprisal.shown, null);
  });
});
