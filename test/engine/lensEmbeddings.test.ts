/** `lens neighbours`, `similarity`, `analogy`, `occurrences`, `contextuality` and `mix` as programs. */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ContextualityResult, LearnMixResult, OccurrencesResult } from '../../extension/protocol/embeddings';
import { fixture } from '../support/fixtures';
import { lens, lensJson } from '../support/lens';

const { folder: model } = fixture('bert');
const GLOVE = 'test/fixtures/embeddings/glove.txt';

describe('lens on vectors', function () {
  this.timeout(60_000);
  const folder = mkdtempSync(join(tmpdir(), 'lens-vectors-'));
  after(() => rmSync(folder, { recursive: true }));
  const file = (name: string, content: string): string => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  function refuses(message: RegExp, ...args: string[]): void {
    const { code, err } = lens(...args);
    assert.equal(code, 2, err);
    assert.match(err, message);
  }

  it('neighbours: of a word in a text, and of a row of a table', () => {
    const text = 'the house was on the hill and the house was old';
    const found = lensJson<{
      word: { text: string };
      layers: { name: string; words: { label: string; same: boolean }[] }[];
    }>(...['neighbours', model, '--text', text, '--word', 'house']);
    assert.equal(found.word.text, 'house');
    assert.deepEqual(
      found.layers.map(({ name }) => name),
      ['static', 'layer.0', 'layer.1', 'layer.2', 'layer.3'],
    );
    assert.deepEqual(found.layers[0]?.words[0]?.label, 'house');
    const near = lensJson<{ neighbours: { word: string }[] }>('neighbours', GLOVE, '--word', 'king', '--top', '2');
    assert.deepEqual(
      near.neighbours.map(({ word }) => word),
      ['w8', 'queen'],
    );
    refuses(/“horse” does not stand/u, 'neighbours', model, '--text', text, '--word', 'horse');
    refuses(/no word “zzz”/u, 'neighbours', GLOVE, '--word', 'zzz');
    refuses(/no text changes/u, 'neighbours', GLOVE, '--text', text, '--word', 'king');
    refuses(/no layer 9/u, 'neighbours', model, '--text', text, '--word', 'house', '--layer', '9');
  });

  it('similarity: ρ and r of cosines with ratings, and how many pairs are known', () => {
    const pairs = file('pairs.tsv', 'king\tqueen\t9\nman\tw3\t1\nparis\tzz\t2\nrome\titaly\t7\n');
    const result = lensJson<{ spearman: number; pairs: number; covered: number; scores: { cosine: number }[] }>(
      ...['similarity', GLOVE, pairs],
    );
    assert.deepEqual([result.spearman, result.pairs, result.covered], [1, 4, 3]);
    const { vectors, neighbours } = JSON.parse(readFileSync('test/fixtures/embeddings/static.json', 'utf8')) as {
      vectors: number[];
      neighbours: Record<string, { word: string; cosine: number }[]>;
    };
    assert.ok(vectors.length > 0);
    const queen = neighbours['king']?.find(({ word }) => word === 'queen')?.cosine ?? NaN;
    assert.ok(Math.abs((result.scores[0]?.cosine ?? NaN) - queen) < 1e-6);
    const own = lensJson<{ covered: number; layer: string; pooling: string }>(
      ...['similarity', model, file('own.tsv', 'house\thill\t1\nthe\told\t2\nhill\told\t3'), '--layer', '2'],
    );
    assert.deepEqual([own.covered, own.layer, own.pooling], [3, 'layer.2', 'mean over the pieces of each word']);
    refuses(/no pair with a number/u, 'similarity', model, file('bad.tsv', 'a\tb\t1\nc\td\n'));
  });

  it('analogy: one question, and a file of them', () => {
    const one = lensJson<{ neighbours: { word: string }[] }>('analogy', GLOVE, '--ask', 'man king woman');
    assert.equal(one.neighbours[0]?.word, 'queen');
    const questions = file('questions.txt', ': royal\nman king woman queen\n: none\na b c d\n');
    const all = lensJson<{ total: { questions: number; covered: number; accuracy: number } }>(
      'analogy',
      GLOVE,
      questions,
    );
    assert.deepEqual([all.total.questions, all.total.covered, all.total.accuracy], [2, 1, 1]);
    refuses(/takes three words/u, 'analogy', GLOVE, '--ask', 'man king');
  });

  it('occurrences and contextuality: over files', () => {
    const text = file(
      'text.tsv',
      Array.from(
        { length: 12 },
        (_, at) => `the house number ${at} was on the hill\t${at % 2 === 0 ? 'even' : 'odd'}`,
      ).join('\n'),
    );
    const found = lensJson<OccurrencesResult>('occurrences', model, text, '--word', 'house', '--layers', 'static,3');
    assert.equal(found.occurrences.length, 12);
    assert.deepEqual(
      found.layers.map(({ name, rand }) => [name, rand === null]),
      [
        ['static', false],
        ['layer.3', false],
      ],
    );
    const measured = lensJson<ContextualityResult>('contextuality', model, text);
    assert.equal(measured.layers.length, 4);
    assert.ok(measured.pieces >= 5 && measured.sentences === 12);
    refuses(/no sentence in 2 texts/u, 'contextuality', model, file('image.png', ''), join(folder, 'none'));
  });

  it('contextuality in shards: merged, what one run finds; what does not belong together is told', function () {
    this.timeout(180_000);
    const text = file(
      'shards.txt',
      Array.from(
        { length: 31 },
        (_, at) =>
          `The ${at % 2 === 0 ? 'old' : 'young'} man ${at % 3 === 0 ? 'saw the house on the hill' : 'walked'} ${at}.`,
      ).join('\n'),
    );
    const options = ['--contexts', '4', '--samples', '20'];
    const state = (name: string): string => join(folder, `${name}.safetensors`);
    const shard = (index: number, name: string, ...more: string[]): string => {
      lensJson('contextuality', model, text, ...options, '--shard', `${index}/3`, '--out', state(name), ...more);
      return state(name);
    };
    const one = lensJson<ContextualityResult>('contextuality', model, text, ...options);
    const shards = [2, 0, 1].map((index) => shard(index, `shard-${index}`));
    const merged = lensJson<ContextualityResult>('contextuality', 'merge', ...shards, '--out', state('all'));
    for (const name of ['sentences', 'tokens', 'pieces', 'occurrences', 'explainedPieces', 'samples'] as const)
      assert.equal(merged[name], one[name], name);
    assert.ok(one.sentences === 31 && one.pieces > 5 && one.samples === 20);
    // Other sentences run beside each: single precision rounds otherwise.
    const same = (actual: number | undefined, wanted: number, what: string): void =>
      assert.ok(Math.abs((actual ?? NaN) - wanted) < 1e-5, `${what}: ${actual}, in one run ${wanted}`);
    one.layers.forEach((layer, at) => {
      for (const name of Object.keys(layer) as (keyof typeof layer)[])
        same(merged.layers[at]?.[name], layer[name], `${name} at ${layer.layer}`);
    });
    one.cka.forEach((value, at) => same(merged.cka[at], value, 'CKA'));
    // A whole is a state like others.
    const { elapsed: _, ...again } = lensJson<ContextualityResult>('contextuality', 'merge', state('all'));
    const { elapsed: __, ...before } = merged;
    assert.deepEqual(again, before);

    const [last = '', first = ''] = shards;
    const merging = (message: RegExp, ...states: string[]): void =>
      refuses(message, 'contextuality', 'merge', ...states);
    merging(/are not all: 1\/3 is missing/u, last, first);
    merging(/are not all: 0\/3, 1\/3 are missing/u, last);
    merging(/shard-2.*would count twice/u, last, first, last);
    merging(/none\.safetensors cannot be read/u, first, state('none'));
    const other = fixture('distilbert').folder;
    lensJson('contextuality', other, text, ...options, '--shard', '1/3', '--out', state('model'));
    merging(/model\.safetensors: .*its model is distilbert, and this is bert/u, first, state('model'));
    // Other files in a folder of the same name.
    cpSync(other, join(folder, 'bert'), { recursive: true });
    lensJson('contextuality', join(folder, 'bert'), text, ...options, '--shard', '1/3', '--out', state('namesake'));
    merging(/namesake\.safetensors: .*it is of another bert, with other files/u, first, state('namesake'));
    merging(/other heads or neurons are changed/u, first, shard(1, 'changed', '--change', 'L0H0'));
    merging(/it is of other texts/u, first, shard(1, 'limit', '--limit', '30'));
    const bytes = readFileSync(first);
    for (const [length, why] of [
      [bytes.length - 1, /cut short: “baseline” ends at/u],
      [100, /cut short, or no \.safetensors file/u],
      [3, /cut short, or no \.safetensors file/u],
    ] as const) {
      writeFileSync(state('short'), bytes.subarray(0, length));
      merging(why, last, state('short'));
    }
    merging(/no \.safetensors file/u, first, file('heads.json', '{"kind":"statistics"}'.padEnd(400)));
    lens('embed', model, '--text', 'the house', '--out', state('vectors'));
    merging(/no state of lens contextuality/u, state('vectors'));
    const damaged = Buffer.from(bytes);
    damaged.writeFloatLE(NaN, bytes.length - 4);
    writeFileSync(state('nan'), damaged);
    merging(/nan\.safetensors: .*“baseline” is no list of numbers/u, state('nan'));

    refuses(/Name a file for its state/u, 'contextuality', model, text, '--shard', '0/3');
    refuses(/is no shard/u, 'contextuality', model, text, '--shard', '3/3', '--out', state('x'));
    refuses(/compared as a whole/u, 'contextuality', model, text, '--compare', other, '--out', state('x'));
    refuses(/No state was named/u, 'contextuality', 'merge');
    const { code, err } = lens('contextuality', model, text, '--out', join(folder, 'no', 'state'));
    assert.equal(code, 1);
    assert.match(err, /could not be written/u);
  });

  it('mix: learns, tests and writes a mix that can be used', () => {
    const train = file(
      'train.tsv',
      Array.from({ length: 24 }, (_, at) =>
        at % 2 === 0 ? `the house was old ${at}\ta` : `on the hill and ${at}\tb`,
      ).join('\n'),
    );
    const out = join(folder, 'mix.json');
    const result = lensJson<LearnMixResult>(
      ...['mix', model, '--train', train, '--folds', '3', '--steps', '60', '--out', out],
    );
    assert.ok(Math.abs(result.mix.weights.reduce((a, b) => a + b) - 1) < 1e-9 && result.mix.weights.length === 4);
    assert.ok(result.accuracy > 0.8 && result.majority.accuracy === 0.5);
    assert.deepEqual(
      result.single.map(({ name }) => name),
      ['static', 'layer.0', 'layer.1', 'layer.2', 'layer.3'],
    );
    assert.equal(lens('embed', model, '--text', 'the house', '--layers', `mix:${out}`).code, 0);
    // The same seed gives the same result.
    const again = lensJson<LearnMixResult>('mix', model, '--train', train, '--folds', '3', '--steps', '60');
    assert.deepEqual(again.mix, result.mix);
    const csv = file(
      'train.csv',
      'label,text\n"a","the house, ""old"""\nb,on the hill\na,the house was\nb,and the hill\n',
    );
    const jsonl = file('test.jsonl', '{"text":"the old house","label":"a"}\n{"text":"on the hill","label":"b"}\n');
    const tested = lensJson<LearnMixResult>('mix', model, '--train', csv, '--test', jsonl, '--steps', '20');
    assert.deepEqual([tested.train, tested.test, tested.folds], [4, 2, 0]);
    const words = lensJson<LearnMixResult>(
      ...[
        'mix',
        model,
        '--train',
        'test/fixtures/heads/sentences.conllu',
        '--steps',
        '5',
        '--folds',
        '2',
        '--column',
        'deprel',
      ],
    );
    assert.ok(words.labels.includes('nsubj'));
    refuses(/one label only \(“a”\)/u, 'mix', model, '--train', file('one.tsv', 'x\ta\ny\ta'));
    refuses(/Line 2 of .* is no text, tab, label/u, 'mix', model, '--train', file('bad.tsv', 'x\ta\ny'));
  });
});
