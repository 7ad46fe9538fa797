/** `lens triggers`, `memory-stats`, `value-clusters` and `memory-groups` as programs. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type {
  MemoryGroups,
  MemoryStatsLayer,
  NeuronTriggers,
  SimilarMemories,
  ValueClusters,
} from '../../extension/protocol/ffn';
import { fixture, reference } from '../support/fixtures';
import { lens, lensJson } from '../support/lens';

const { folder } = fixture('bert');
const CORPUS = 'test/fixtures/ffn/corpus.tsv';
const [text] = reference('bert').meta.cases[0]?.text as [string];

interface Triggers {
  sentences: number;
  tokens: number;
  neurons: NeuronTriggers[];
}

describe('lens triggers, memory-stats, value-clusters and memory-groups', function () {
  this.timeout(120_000);
  let home: string;
  before(() => {
    home = mkdtempSync(join(tmpdir(), 'lens-triggers-'));
  });
  after(() => rmSync(home, { recursive: true, force: true }));

  it('shards put together are what one scan finds, and a stopped one goes on', () => {
    const asked = ['triggers', folder, CORPUS, '--neuron', '1.5,L2N70', '--top', '4'];
    const whole = lensJson<Triggers>(...asked);
    assert.deepEqual([whole.sentences, whole.neurons.length], [36, 2]);
    const states = [0, 1].map((index) => {
      const out = join(home, `shard-${index}.json`);
      assert.equal(lens(...asked, '--shard', `${index}/2`, '--out', out).code, 0);
      return out;
    });
    const texts = ({ neurons }: Triggers): unknown =>
      neurons.map(({ largest }) => largest.map(({ text: own, token, line }) => [own, token, line]));
    const merged = lensJson<Triggers>('triggers', 'merge', ...states);
    assert.equal(merged.tokens, whole.tokens);
    assert.deepEqual(texts(merged), texts(whole));
    const begun = join(home, 'begun.json');
    assert.equal(lens(...asked, '--limit', '10', '--out', begun).code, 0);
    assert.deepEqual(texts(lensJson<Triggers>(...asked, '--resume', begun)), texts(whole));
    const { out } = lens(...asked);
    assert.match(out, /⟦.+⟧/u);
    assert.match(out, /L2N70: m from/u);
    assert.notEqual(lens(...asked, '--smallest').out, out);
  });

  it('statistics of shards add up', () => {
    const asked = ['memory-stats', folder, CORPUS, '--cache', join(home, 'cache')];
    const whole = lensJson<{ layers: MemoryStatsLayer[]; predictions: number }>(...asked);
    const states = [0, 1].map((index) => {
      const out = join(home, `stats-${index}.json`);
      assert.equal(lens(...asked, '--shard', `${index}/2`, '--out', out).code, 0);
      return out;
    });
    const merged = lensJson<{ layers: MemoryStatsLayer[]; predictions: number }>('memory-stats', 'merge', ...states);
    assert.equal(merged.predictions, whole.predictions);
    merged.layers.forEach(({ active, saturated }, layer) => {
      assert.ok(Math.abs(active - (whole.layers[layer]?.active as number)) < 1e-4);
      assert.ok(Math.abs(saturated - (whole.layers[layer]?.saturated as number)) < 1e-9);
    });
    assert.match(lens(...asked).out, /lost by FFN/u);
  });

  it('similar memories, clusters and groups', () => {
    const similar = lensJson<SimilarMemories>('values', folder, '--neuron', '1.5', '--similar', '--top', '3');
    assert.deepEqual([similar.keys?.length, similar.values.length, similar.linear], [3, 3, null]);
    assert.match(lens('values', folder, '--neuron', '1.5', '--similar').out, /cosine of its key with its value/u);
    const { clusters } = lensJson<ValueClusters>(
      'value-clusters',
      folder,
      '--clusters',
      '4',
      '--layer',
      '0',
      '--layer',
      '2',
    );
    assert.equal(
      clusters.reduce((sum, { size }) => sum + size, 0),
      160,
    );
    const { groups } = lensJson<MemoryGroups>('memory-groups', folder, '--text', text, '--groups', '2');
    assert.equal(groups.length, 2);
    for (const command of [
      ['value-clusters', folder, '--clusters', '4'],
      ['memory-groups', folder, '--text', text, '--groups', '2'],
    ])
      assert.match(lens(...command).out, /Groups: /u);
  });

  it('refuses what it cannot read', () => {
    const other = join(home, 'other.json');
    writeFileSync(other, '{"kind":"statistics"}');
    const broken = join(home, 'broken.json');
    writeFileSync(broken, '{"kind":');
    const wrong = [
      ['triggers', folder, CORPUS],
      ['triggers', folder, '--neuron', '1.5'],
      ['triggers', folder, CORPUS, '--neuron', '1.x'],
      ['triggers', folder, CORPUS, '--neuron', '1.500'],
      ['triggers', folder, CORPUS, '--neuron', '1.5', '--threshold', '-1'],
      ['triggers', folder, CORPUS, '--neuron', '1.5', '--shard', '2/2'],
      ['triggers', folder, CORPUS, '--neuron', '1.5', '--resume', other],
      ['triggers', 'merge'],
      ['triggers', 'merge', broken],
      ['triggers', 'merge', join(home, 'shard-0.json'), join(home, 'shard-0.json')],
      ['memory-stats', folder],
      ['memory-stats', 'merge', join(home, 'shard-0.json')],
      ['values', folder, '--word', '5', '--similar'],
      ['value-clusters', folder, '--clusters', '1000'],
      ['memory-groups', folder, '--text', text, '--groups', '0'],
    ];
    for (const args of wrong) assert.equal(lens(...args).code, 2, args.join(' '));
    assert.ok(readFileSync(join(home, 'shard-0.json'), 'utf8').startsWith('{"kind":"triggers"'));
  });
});
