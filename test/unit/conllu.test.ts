/** Treebanks in CoNLL-U: what the format allows, and what files have wrong. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import {
  parseSentence,
  sentencesOf,
  type TreebankProblem,
  type TreebankSentence,
} from '../../extension/engine/analysis/corpora/conllu';
import { mentionsOf } from '../../extension/engine/analysis/corpora/entities';

/** `id form head relation misc`, in ten columns. */
const row = (line: string): string => {
  const [id, form, head = '_', relation = '_', misc = '_'] = line.split(' ');
  return [id, form, '_', '_', '_', '_', head, relation, '_', misc].join('\t');
};
const parse = (...lines: string[]): { sentence: TreebankSentence | null; problems: TreebankProblem[] } =>
  parseSentence(
    lines.map((line) => (line.startsWith('#') || line.includes('\t') ? line : row(line))),
    10,
  );
const good = (...lines: string[]): TreebankSentence => {
  const { sentence, problems } = parse(...lines);
  assert.deepEqual(problems, []);
  return sentence as TreebankSentence;
};
const seen = ({ text, words }: TreebankSentence): string[] =>
  words.map(({ range: { start, end } }) => text.slice(start, end));

describe('CoNLL-U', () => {
  it('gives the text as it was written, and the words in it', () => {
    const sentence = good(
      '# text = (ignored)',
      '1 Good 2 amod',
      '2 food 0 root SpaceAfter=No',
      '3 , 2 punct X=1|SpaceAfter=No',
      '4 yes 2 discourse',
    );
    assert.equal(sentence.text, 'Good food,yes');
    assert.deepEqual(seen(sentence), ['Good', 'food', ',', 'yes']);
    assert.deepEqual(
      sentence.words.map(({ head, relation }) => [head, relation]),
      [
        [1, 'amod'],
        [-1, 'root'],
        [1, 'punct'],
        [1, 'discourse'],
      ],
    );
    assert.equal(sentence.line, 11);
  });

  it('divides multiword tokens that their words spell, and gives the others to each word', () => {
    const spelt = good("1-2 don't", '1 do 3 aux', "2 n't 3 advmod", '3 go 0 root');
    assert.equal(spelt.text, "don't go");
    assert.deepEqual(seen(spelt), ['do', "n't", 'go']);
    const fused = good('1 Fin 0 root', '2-3 du _ _ SpaceAfter=No', '2 de 4 case', '3 le 4 det', '4 jeu 1 nmod');
    assert.equal(fused.text, 'Fin dujeu');
    assert.deepEqual(seen(fused), ['Fin', 'du', 'du', 'jeu']);
  });

  it('leaves empty nodes out', () => {
    const sentence = good(
      '0.1 Ghost',
      '1 Tea 0 root',
      '1.1 drank _ _ CopyOf=1',
      '2-3 now.',
      '2 now 1 advmod',
      '2.1 x',
      '3 . 1 punct',
    );
    assert.equal(sentence.text, 'Tea now.');
    assert.deepEqual(seen(sentence), ['Tea', 'now', '.']);
    assert.deepEqual(
      sentence.words.map(({ head }) => head),
      [-1, 0, 0],
    );
  });

  it('tells of heads that cannot be, and keeps the rest', () => {
    const { sentence, problems } = parse('1 a 9 det', '2 b 0 root', '3 c 3 obj', '4 d _ dep', '5 e x dep', '6 f 2 obj');
    assert.deepEqual(
      sentence?.words.map(({ head }) => head),
      [null, -1, null, null, null, 1],
    );
    assert.deepEqual(
      problems.map(({ line }) => line),
      [10, 12, 13, 14],
    );
    assert.match(problems[1]?.why ?? '', /word 3 cannot have the head 3, which is itself/);
  });

  it('breaks circles, and only these', () => {
    const { sentence, problems } = parse('1 a 2 x', '2 b 3 x', '3 c 2 x', '4 d 0 root', '5 e 1 x');
    assert.deepEqual(
      sentence?.words.map(({ head }) => head),
      [1, null, null, -1, 0],
    );
    assert.equal(problems.length, 1);
    assert.match(problems[0]?.why ?? '', /words 2, 3 are heads of each other/);
  });

  it('leaves out a sentence with a broken line, and names the line', () => {
    const cases: [string[], number, RegExp][] = [
      [['1 a 0 root', '2\tb\tonly'], 11, /3 columns between tabs instead of 10/],
      [['1 a 0 root', '3 b 1 x'], 11, /word 2 has the number 3/],
      [['1 a 0 root', 'x b 1 x'], 11, /“x” with the form “b” is no word/],
      [['1 a 0 root', '3-4 bc', '2 b 1 x'], 11, /the token 3-4 does not stand before its words/],
    ];
    for (const [lines, line, why] of cases) {
      const { sentence, problems } = parse(...lines);
      assert.equal(sentence, null);
      assert.equal(problems[0]?.line, line);
      assert.match(problems[0]?.why ?? '', why);
      assert.match(problems[0]?.why ?? '', /the sentence is left out/);
    }
  });

  it('says once of a sentence that it has no heads', () => {
    const { problems } = parse('1 a', '2 b');
    assert.deepEqual(
      problems.map(({ line }) => line),
      [10],
    );
  });

  it('reads files with any line ends, a byte order mark, comments alone, and no last newline', async () => {
    const text = `\uFEFF# newdoc id = x\r\n${row('1 A 0 root')}\r\n\r\n\r\n# alone\r\n\r\n \r\n${row('1 B 2 x')}\r\n${row('2 C 0 root')}`;
    const problems: TreebankProblem[] = [];
    const found = [];
    for await (const sentence of sentencesOf({ name: 'x', text: text.slice(1) }, (problem) => problems.push(problem)))
      found.push([sentence.line, sentence.text, sentence.newDocument]);
    assert.deepEqual(found, [
      [2, 'A', true],
      [8, 'B C', false],
    ]);
    assert.deepEqual(problems, []);
  });

  it('does not take a file without blank lines for one sentence', async () => {
    const text = Array.from({ length: 6000 }, () => row('1 A 0 root')).join('\n');
    const problems: TreebankProblem[] = [];
    for await (const _ of sentencesOf({ name: 'x', text }, (problem) => problems.push(problem))) assert.fail();
    assert.match(problems[0]?.why ?? '', /more than 5000 lines/);
  });

  it('reads the sample: every text as its comment says', async () => {
    const file = resolve('samples/workspace/treebank/gum-wikinews.conllu');
    const texts = Array.from(readFileSync(file, 'utf8').matchAll(/^# text = (.*)$/gm), ([, text]) => text);
    const found: string[] = [];
    for await (const { text } of sentencesOf({ name: 'gum', file }, ({ why }) => assert.fail(why))) found.push(text);
    assert.equal(found.length, 90);
    assert.deepEqual(found, texts);
  });

  it('finds mentions, their clusters and their heads', () => {
    const sentence = good(
      '1 The 2 det Entity=(1-person-new-cf1',
      '2 king 5 nsubj',
      '3 of 4 case',
      '4 Ys 2 nmod Entity=(2-place)1)',
      '5 saw 0 root Entity=(9[1/2]-event)',
      '6 himself 5 obj SpaceAfter=No|Entity=(1-person-giv)',
      '7 and 8 cc Entity=(3-place-x(4-a',
      '8 Ys 6 conj Entity=(2-place-giv)4)3)7)',
    );
    assert.deepEqual(
      mentionsOf(sentence, ['GRP', 'etype']).map(({ cluster, head }) => `${cluster}:${head}`),
      ['2:3', '1:1', '1:5', '2:7', '4:7', '3:7'],
    );
    const other = good('1 Ys 0 root Entity=(place-2)');
    assert.deepEqual(mentionsOf(other, ['etype', 'eid']), [{ cluster: '2', head: 0 }]);
  });
});
