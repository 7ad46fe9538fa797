/** `lens neighbours`, `similarity`, `analogy`, `occurrences`, `contextuality` and `mix` as programs. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
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
