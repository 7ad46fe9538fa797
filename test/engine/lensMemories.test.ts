/** `lens memories`, `values`, `intervene` and `export` as programs. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { InterveneResult, Memories, ValueSearch, ValueWords } from '../../extension/protocol/ffn';
import { fixture, reference } from '../support/fixtures';
import { lens, lensJson } from '../support/lens';

const { folder } = fixture('bert');
const [text] = reference('bert').meta.cases[0]?.text as [string];

describe('lens memories, values, intervene and export', function () {
  this.timeout(60_000);
  let home: string;
  before(() => {
    home = mkdtempSync(join(tmpdir(), 'lens-memories-'));
  });
  after(() => rmSync(home, { recursive: true, force: true }));

  it('the strongest memory switched off does what the ranking says, also in an exported model', () => {
    const { memories } = lensJson<Memories>(...['memories', folder, '--text', text, '--by', 'ablation', '--top', '1']);
    const [first] = memories;
    assert.ok(first !== undefined);
    const change = `L${first.layer}N${first.neuron}=0`;
    const asked = ['intervene', folder, '--text', text];
    const recipe = join(home, 'recipe.json');
    const { target } = lensJson<InterveneResult>(...asked, '--change', change, '--save', recipe);
    const here = lensJson<InterveneResult>(...asked, '--change', `${change}@${target.position}`);
    assert.ok(Math.abs(here.after.logprob - here.before.logprob - (first.ablation as number)) < 1e-4);

    const out = join(home, 'changed');
    assert.equal(lens('export', folder, '--recipe', recipe, '--out', out).code, 0);
    const changed = lensJson<InterveneResult>(...asked, '--recipe', recipe);
    const copy = lensJson<Memories>(...['memories', out, '--text', text, '--top', '1', '--token', `${target.id}`]);
    assert.ok(Math.abs((copy.target.logprob as number) - changed.after.logprob) < 1e-5);
    // Every other command says the same under the recipe as of the exported model.
    const fill = (of: string, ...more: string[]): { predictions: { logprob: number }[] }[] =>
      lensJson(...['fill-mask', of, '--text', text, '--top', '3', ...more]);
    const best = ([mask]: ReturnType<typeof fill>): number => mask?.predictions[0]?.logprob ?? NaN;
    assert.ok(Math.abs(best(fill(folder, '--recipe', recipe)) - best(fill(out))) < 1e-5);
    assert.ok(Math.abs(best(fill(folder)) - best(fill(out))) > 1e-4);
    assert.match(lens('fill-mask', folder, '--text', text, '--change', change).out, /^Changed: L\d+N\d+ off$/mu);
    assert.equal(lens('tokens', folder, '--text', text, '--recipe', recipe).code, 2);
    // A folder that is there, and a recipe of another model.
    assert.equal(lens('export', folder, '--recipe', recipe, '--out', out).code, 1);
    const foreign = lens('export', fixture('gpt2').folder, '--recipe', recipe, '--out', join(home, 'other'));
    assert.equal(foreign.code, 2);
    assert.match(foreign.err, /for another model/u);
    assert.deepEqual(readdirSync(home).sort(), ['changed', 'recipe.json']);
  });

  it('a value has its words, and its words find it', () => {
    const { promoted } = lensJson<ValueWords>('values', folder, '--neuron', '2.5', '--top', '3');
    const { hits } = lensJson<ValueSearch>(
      ...['values', folder, '--word', `${promoted[0]?.id}`, '--top', '1000', '--cache', join(home, 'cache')],
    );
    const own = hits.find(({ layer, neuron }) => layer === 2 && neuron === 5);
    assert.equal(own?.words[0]?.rank, 1);
    rmSync(join(home, 'cache'), { recursive: true });
  });

  it('refuses what it cannot read', () => {
    const wrong = [
      ['memories', folder, '--text', text, '--by', 'size'],
      ['memories', folder, '--text', text, '--candidates', '5'],
      ['values', folder],
      ['values', folder, '--neuron', 'nine'],
      ['values', folder, '--neuron', '0.80'],
      ['intervene', folder, '--text', text],
      ['intervene', folder, '--text', text, '--change', 'L1X2=0'],
      ['intervene', folder, '--text', text, '--recipe', join(home, 'none.json')],
      ['fill-mask', folder, '--text', text, '--recipe', join(home, 'none.json')],
      ['score', folder, '--text', text, '--change', 'L0H0=0@2'],
    ];
    for (const args of wrong) assert.equal(lens(...args).code, 2, args.join(' '));
  });
});
