/** The drawing of a part's nodes, and the facts of a model. */
import assert from 'node:assert/strict';
import type { PartNode } from '../../extension/protocol/engine';
import { centre, layout } from '../../webviews/anatomy/layout';
import { contentsOf, facts, flat, visibleParts } from '../../webviews/anatomy/rows';
import { ANATOMY_STATES } from '../../webviews/gallery/anatomyStates';

const node = (output: string, ...inputs: string[]): PartNode => ({
  ...{ name: output, opType: 'Add', domain: '', constant: false },
  inputs: inputs.map((name) => ({ name, shape: null })),
  outputs: [{ name: output, shape: null }],
});

describe('anatomy', () => {
  it('puts every node below what it reads, and no two in one place', () => {
    const all = [node('a', 'x'), node('b', 'a'), node('c', 'a'), node('d', 'b', 'c'), node('e', 'a', 'd')];
    const drawn = layout(all, [0, 1, 2, 3, 4]);
    assert.deepEqual(
      drawn.nodes.map(({ row }) => row),
      [0, 1, 1, 2, 3],
    );
    for (const { index, before, y } of drawn.nodes)
      for (const each of before) assert.ok((drawn.nodes[each]?.y ?? 0) < y, `${each} above ${index}`);
    const [, b, c] = drawn.nodes;
    assert.ok(b && c && b.x + b.width <= c.x);
    assert.equal(centre(drawn.nodes[0]!), (b.x + c.x + c.width) / 2);
    assert.ok(drawn.nodes.every(({ x, width }) => x >= 0 && x + width <= drawn.width));
  });

  it('draws a part of a graph, and an empty one', () => {
    const all = [node('a', 'x'), node('b', 'a'), node('c', 'b')];
    assert.deepEqual(
      layout(all, [0, 2]).nodes.map(({ before }) => before),
      [[], []],
    );
    assert.equal(layout(all, []).nodes.length, 0);
  });

  it('shows the parts that are opened', () => {
    const { anatomy } = ANATOMY_STATES['ready']!;
    const ids = visibleParts(anatomy!.parts, new Set(['blocks.0', 'blocks.1.attn'])).map(({ part }) => part.id);
    assert.ok(ids.includes('blocks.0.attn') && !ids.includes('blocks.0.attn.q') && !ids.includes('blocks.1.attn.q'));
  });

  it('has the contents of a part with those inside it', () => {
    const attention = flat(ANATOMY_STATES['ready']!.anatomy!.parts).find(({ id }) => id === 'blocks.0.attn')!;
    const { weights, hooks, nodes } = contentsOf(attention);
    assert.equal(weights.length, 8);
    assert.ok(hooks.some(({ name }) => name === 'blocks.0.attn.hook_pattern'));
    assert.deepEqual(
      nodes,
      [...nodes].sort((a, b) => a - b),
    );
  });

  it('leaves out facts that are not known', () => {
    const { anatomy } = ANATOMY_STATES['llama']!;
    const values = new Map(facts(anatomy!).map(({ label, value }) => [label, value]));
    assert.equal(values.get('Heads'), '32, 8 for keys and values');
    assert.equal(values.get('Attention'), 'left side, some layers 4096 tokens');
    const unknown = { ...anatomy!.info.anatomy, layers: 0, heads: null, causal: null, norm: null };
    const few = facts({ ...anatomy!, info: { ...anatomy!.info, anatomy: unknown } }).map(({ label }) => label);
    for (const label of ['Layers', 'Heads', 'Attention', 'Norm', 'Positions']) assert.ok(!few.includes(label), label);
  });
});
