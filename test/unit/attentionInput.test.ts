import assert from 'node:assert/strict';
import { prepareInput, unitsOf } from '../../extension/engine/analysis/attention/input';
import { inputTokens } from '../../extension/engine/analysis/attention/inputTokens';
import { scaleInterventions } from '../../extension/engine/analysis/interventions';
import { longestFirst } from '../../extension/engine/analysis/pairs';
import type { Anatomy } from '../../extension/engine/anatomy/anatomy';
import type { AttentionInput } from '../../extension/protocol/attention';
import type { ModelInfo } from '../../extension/protocol/engine';
import { LensError } from '../../extension/protocol/errors';
import { FakeTokenizer } from '../support/fakeModel';

const words = (from: number, to: number): string =>
  Array.from({ length: to - from }, (_, index) => `w${from + index}`).join(' ');

function prepare(
  params: Omit<AttentionInput, 'model'>,
  maxTokens = 100,
  tokenizer = new FakeTokenizer(),
): ReturnType<typeof prepareInput> {
  return prepareInput({ info: { maxTokens } as ModelInfo, tokenizer }, params);
}
const fails = (code: string) => (thrown: unknown) => thrown instanceof LensError && thrown.code === code;

describe('input of attention analyses', () => {
  it('is told of before anything is computed, with the mask where masked words are predicted', () => {
    const ask = (info: Partial<ModelInfo>): ReturnType<typeof inputTokens> =>
      inputTokens(
        { info: { maxTokens: 100, anatomy: { causal: null }, ...info } as ModelInfo, tokenizer: new FakeTokenizer() },
        { text: 'The capital of' },
      );
    const masked = ask({ kind: 'masked', vocabSize: 9 });
    assert.deepEqual(masked.tokens, prepare({ text: 'The capital of' }).tokens);
    assert.deepEqual([masked.causal, masked.mask, masked.window.tokens], [false, '[MASK]', 6]);
    assert.deepEqual(ask({ kind: 'causal', vocabSize: 9 }).mask, null);
    assert.deepEqual(ask({ kind: 'encoder', vocabSize: null }).mask, null);
  });

  it('numbers tokens, texts and words', () => {
    const text = 'The capital of';
    const { tokens, row, window } = prepare({ text, pair: 'Paris is' });
    assert.deepEqual(
      tokens.map(({ token, text: which, word }) => [token, which, word]),
      [
        ['[CLS]', 0, 0],
        ['The', 0, 1],
        ['capi', 0, 2],
        ['##tal', 0, 2],
        ['of', 0, 3],
        ['[SEP]', 0, 4],
        ['Pari', 1, 5],
        ['##s', 1, 5],
        ['is', 1, 6],
        ['[SEP]', 1, 7],
      ],
    );
    assert.deepEqual([...(row.segments ?? [])], [0, 0, 0, 0, 0, 0, 1, 1, 1, 1]);
    assert.deepEqual(window.pair, { range: { start: 0, end: 8 }, truncatedEnd: false });
    const units = unitsOf(tokens, true);
    assert.deepEqual(
      units.map(({ label }) => label),
      ['[CLS]', 'The', 'capital', 'of', '[SEP]', 'Paris', 'is', '[SEP]'],
    );
    assert.deepEqual(units[2], {
      label: 'capital',
      range: { start: 4, end: 11 },
      special: false,
      text: 0,
      tokens: [2, 3],
    });
    assert.equal(unitsOf(tokens, false).length, tokens.length);
  });

  it('takes the window around what matters, with ranges of the whole text', () => {
    const text = words(100, 200);
    const start = text.indexOf('w150');
    const { tokens, window } = prepare({ text, around: { start, end: start + 4 } }, 13);
    assert.equal(tokens.length, 13);
    const content = tokens.filter(({ range }) => range !== null);
    for (const { token, range } of content) assert.equal(text.slice(range?.start, range?.end), token);
    assert.ok(content.some(({ token }) => token === 'w150'));
    assert.ok(window.truncatedStart && window.truncatedEnd);
    assert.equal(prepare({ text }, 13).tokens[1]?.token, 'w100');
  });

  it('cuts the longer text of a pair first, then both', () => {
    const { tokens, window, notes } = prepare({ text: words(0, 4), pair: words(10, 40) }, 12);
    assert.equal(tokens.length, 12);
    assert.deepEqual(
      tokens.filter(({ range }) => range !== null).map(({ token }) => token),
      [...words(0, 4).split(' '), ...words(10, 15).split(' ')],
    );
    assert.equal(window.truncatedEnd, false);
    assert.deepEqual(window.pair, { range: { start: 0, end: words(10, 15).length }, truncatedEnd: true });
    assert.match(notes[0] ?? '', /the second text of the pair was cut/);
    const both = prepare({ text: words(0, 40), pair: words(40, 70) }, 12);
    assert.equal(both.window.truncatedEnd && both.window.pair?.truncatedEnd, true);
  });

  it('is longest_first of the tokenizers library', () => {
    // From tokenizers 0.23, enable_truncation(most + 3, strategy='longest_first').
    assert.deepEqual(longestFirst(4, 30, 9), [4, 5]);
    assert.deepEqual(longestFirst(30, 4, 9), [5, 4]);
    assert.deepEqual(longestFirst(40, 30, 9), [5, 4]);
    assert.deepEqual(longestFirst(30, 30, 9), [4, 5]);
    assert.deepEqual(longestFirst(3, 5, 8), [3, 5]);
    assert.deepEqual(longestFirst(0, 30, 9), [0, 9]);
  });

  it('replaces each token that a masked range touches, one mask each', () => {
    const text = 'The capital of';
    const { tokens, row } = prepare({ text, masked: [{ start: 6, end: 9 }] });
    assert.deepEqual(
      tokens.map(({ token }) => token),
      ['[CLS]', 'The', '[MASK]', '[MASK]', 'of', '[SEP]'],
    );
    assert.equal(row.ids.length, prepare({ text }).row.ids.length);
    // The words are those of the text as it was.
    assert.deepEqual(
      tokens.map(({ word }) => word),
      [0, 1, 2, 2, 3, 4],
    );
    assert.deepEqual(tokens[3]?.range, { start: 8, end: 11 });
    assert.throws(() => prepare({ text, masked: [{ start: 3, end: 4 }] }), fails('bad-input'));
    assert.throws(() => prepare({ text, masked: [{ start: 3, end: 40 }] }), fails('bad-input'));
    const causal = new FakeTokenizer({ causal: true });
    assert.throws(() => prepare({ text, masked: [{ start: 0, end: 2 }] }, 100, causal), fails('no-mask-token'));
  });

  it('puts the heads of a layer into one gate', () => {
    const block = { attention: { heads: 4 } };
    const anatomy = { layers: 2, blocks: [block, block] } as unknown as Anatomy;
    assert.deepEqual(
      scaleInterventions(
        anatomy,
        [
          { layer: 1, head: 2, scale: 0 },
          { layer: 0, head: 3, scale: 2 },
          { layer: 1, head: 0, scale: 0.5 },
        ],
        9,
      ),
      [
        { hook: 'blocks.0.attn.hook_z', scale: { dims: [1, 1, 4, 1], data: Float32Array.of(1, 1, 1, 2) } },
        { hook: 'blocks.1.attn.hook_z', scale: { dims: [1, 1, 4, 1], data: Float32Array.of(0.5, 1, 0, 1) } },
      ],
    );
    for (const head of [
      { layer: 2, head: 0 },
      { layer: 0, head: 4 },
    ])
      assert.throws(() => scaleInterventions(anatomy, [{ ...head, scale: 0 }], 9), fails('bad-input'));
    // At one token, times what holds everywhere.
    const [change] = scaleInterventions(
      anatomy,
      [
        { layer: 0, head: 1, scale: 3, position: 1 },
        { layer: 0, head: 1, scale: 2 },
      ],
      2,
    );
    assert.deepEqual(change?.scale, { dims: [1, 2, 4, 1], data: Float32Array.of(1, 2, 1, 1, 1, 6, 1, 1) });
    assert.throws(
      () => scaleInterventions(anatomy, [{ layer: 0, head: 0, scale: 0, position: 2 }], 2),
      fails('bad-input'),
    );
  });
});
