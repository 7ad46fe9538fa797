/** What the Memories view asks and exports. */
import assert from 'node:assert/strict';
import { questionAt, wordIn } from '../../extension/panels/memoriesPlan';
import { memoriesExport } from '../../extension/panels/memoriesExport';
import type { InputTokens } from '../../extension/protocol/attention';

const token = (index: number, text: string, start: number | null, word = index): InputTokens['tokens'][number] => ({
  ...{ index, id: 100 + index, token: text, special: start === null || text === '[MASK]', text: 0, word },
  range: start === null ? null : { start, end: start + text.replace('##', '').length },
});
const INPUT: InputTokens = {
  tokens: [
    token(0, '[CLS]', null),
    token(1, 'Pro', 0),
    token(2, '##ust', 3, 1),
    token(3, 'is', 7),
    token(4, '[MASK]', 10),
    token(5, '[SEP]', null),
  ],
  window: { range: { start: 0, end: 16 }, tokens: 6, truncatedStart: false, truncatedEnd: false },
  ...{ causal: false, mask: '[MASK]' },
};
const NONE = {
  memories: null,
  lens: null,
  text: null,
  groups: null,
  clusters: null,
  search: null,
  memory: null,
  triggers: null,
};
const NAMES = [{ layer: 1, neuron: 2, name: 'years', tags: ['time', 'x'] }];

describe('memories view, plan and export', () => {
  it('masks the whole word, and asks at the piece that is looked at', () => {
    assert.deepEqual(questionAt(INPUT, 2, true), { position: 2, masked: [{ start: 0, end: 6 }] });
    assert.deepEqual(questionAt(INPUT, 2, false), { position: 2, masked: [] });
  });

  it('masks no mask, no special token, and nothing where the model predicts no masked words', () => {
    assert.deepEqual(questionAt(INPUT, 4, true), { position: 4, masked: [] });
    assert.deepEqual(questionAt(INPUT, 0, true), { position: 0, masked: [] });
    assert.deepEqual(questionAt({ ...INPUT, mask: null }, 3, true), { position: 3, masked: [] });
  });

  it('leaves the place to the engine where no token is looked at', () => {
    assert.deepEqual(questionAt(INPUT, null, true), { position: null, masked: [] });
    assert.deepEqual(questionAt(INPUT, 99, true), { position: null, masked: [] });
  });

  it('takes a word that is one token, and says what the others are', () => {
    assert.deepEqual(wordIn([token(0, '[CLS]', null), token(1, 'is', 0)], 'is'), { id: 101, token: 'is' });
    assert.throws(() => wordIn(INPUT.tokens, 'Proust'), /“Proust” is 4 tokens of this model: Pro ##ust/u);
    assert.throws(() => wordIn([], ''), /There is no word/u);
  });

  it('exports the page that is shown, in rows with names, and nothing of an empty one', () => {
    const search = {
      ...{ model: 'bert', direction: 'promote', total: 1, of: 50, method: '', elapsed: 1 },
      words: [{ id: 5, token: 'Paris', text: 'Paris' }],
      hits: [
        {
          layer: 1,
          neuron: 2,
          words: [{ rank: 3, score: 0.5 }],
          first: [{ id: 7, token: 'Lyon', text: '', score: 1 }],
        },
      ],
    } as const;
    const { rows } = memoriesExport(
      'search',
      { ...NONE, search: structuredClone(search) as never },
      { model: 'bert', names: NAMES },
    );
    assert.deepEqual(
      [...rows],
      [
        ['model', 'direction', 'layer', 'neuron', 'name', 'rank of Paris', 'score of Paris', 'first words'],
        ['bert', 'promote', 1, 2, 'years', 3, 0.5, 'Lyon'],
      ],
    );
    assert.deepEqual([...memoriesExport('names', NONE, { model: 'bert', names: NAMES }).rows][1], [
      ...['bert', 1, 2, 'years', 'time x'],
    ]);
    assert.throws(() => memoriesExport('memories', NONE, { model: '', names: [] }), /nothing to export/u);
  });
});
