/** The language of .cloze files: what is read, where it stands, and what is said of errors. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { parseCloze, type ClozeDocument, type DiagnosticCode, type Part } from '../../extension/cloze/language';
import { cutTemplate, fillTemplate, negate } from '../../extension/cloze/template';

const codes = (text: string): DiagnosticCode[] => parseCloze(text).diagnostics.map(({ code }) => code);
/** The text under the only diagnostic. */
function marked(text: string): [DiagnosticCode, string] {
  const { diagnostics } = parseCloze(text);
  assert.equal(diagnostics.length, 1, JSON.stringify(diagnostics));
  const [{ code, range }] = diagnostics as [ClozeDocument['diagnostics'][number]];
  return [code, text.slice(range.start, range.end)];
}
const relation = (lines: string): string => `relation r\ntemplate: [X] is in [Y] .\n${lines}`;

describe('.cloze files', () => {
  it('hold relations, templates, facts, options and comments, each with its place', () => {
    const text = `\ufeff# facts
vocabulary: words.txt

relation P19: place of birth
  template: [X] was born in [Y] .
  negated: [X] was not born in [Y] .
  candidates: Rome | Paris
  😀 Conti → Florence | Firenze
    context: He came from Florence.
  Adam's -> Paris\r
  The son of [X] lives in [Y]. → Rome
`;
    const { relations, options, comments, diagnostics } = parseCloze(text);
    assert.deepEqual(diagnostics, []);
    const under = ({ range }: Part): string => text.slice(range.start, range.end);
    assert.equal(options.vocabulary?.value, 'words.txt');
    assert.deepEqual(
      comments.map(({ start, end }) => text.slice(start, end)),
      ['# facts'],
    );
    const [read] = relations;
    assert.ok(read);
    assert.equal(read.id.value, 'P19');
    assert.equal(read.label?.value, 'place of birth');
    assert.equal(read.templates[0]?.negated?.value, '[X] was not born in [Y] .');
    assert.deepEqual(
      read.options.candidates?.kind === 'words' && read.options.candidates.words.map(({ value }) => value),
      ['Rome', 'Paris'],
    );
    assert.deepEqual(
      read.facts.map(({ left, answers, context, isSentence }) => [
        ...[left.value, answers.map(({ value }) => value).join(), context?.value, isSentence],
      ]),
      [
        ['😀 Conti', 'Florence,Firenze', 'He came from Florence.', false],
        ["Adam's", 'Paris', undefined, false],
        ['The son of [X] lives in [Y].', 'Rome', undefined, true],
      ],
    );
    for (const part of [read.id, ...read.templates, ...read.facts.flatMap(({ left, answers }) => [left, ...answers])])
      assert.equal(under(part), part.value);
    assert.equal(text.slice(read.range.start, read.range.end).split('\n').length, 8);
  });

  it('escapes what would be read as something else', () => {
    const { relations, diagnostics } = parseCloze(
      relation(String.raw`
\# 1 \→ 2 → a \| b | c
\relation of X → friend
\template: y → z
C:\temp \-> x -> back\\slash`),
    );
    assert.deepEqual(diagnostics, []);
    assert.deepEqual(
      relations[0]?.facts.map(({ left, answers }) => [left.value, ...answers.map(({ value }) => value)]),
      [
        ['# 1 → 2', 'a | b', 'c'],
        ['relation of X', 'friend'],
        ['template: y', 'z'],
        ['C:\\temp -> x', 'back\\slash'],
      ],
    );
  });

  it('say what is wrong, and where', () => {
    assert.deepEqual(marked('France → Paris'), ['outside-relation', 'France → Paris']);
    assert.deepEqual(marked('template: [X] is [Y].'), ['outside-relation', 'template']);
    assert.deepEqual(marked(relation('a → b\nnonsense')), ['unknown-line', 'nonsense']);
    assert.deepEqual(marked(relation('a → b\ntemplates: x')), ['unknown-option', 'templates']);
    assert.deepEqual(marked(relation('a → b\ntemplate: [X] is here.')), ['template-answer', '[X] is here.']);
    assert.deepEqual(marked(relation('a → b\ntemplate: [X] is [Y] or [Y].')), [
      'template-answer',
      '[X] is [Y] or [Y].',
    ]);
    assert.deepEqual(marked(relation('a → b\ntemplate: [X] is ____.')), ['template-answer', '____']);
    assert.deepEqual(marked(relation('a → b\ntemplate: [X] is [MASK].')), ['template-answer', '[MASK]']);
    assert.deepEqual(marked(relation('a → b\ntemplate: it is [Y].')), ['template-subject', 'it is [Y].']);
    assert.deepEqual(marked(relation('a → b\ntemplate:')), ['option-value', 'template']);
    assert.deepEqual(marked(relation('a → b\n[Y] and [Y] → c')), ['template-answer', '[Y] and [Y]']);
    assert.deepEqual(marked(relation('a → b\n → c')), ['empty-subject', '→ c']);
    assert.deepEqual(marked(relation('a → b\nc →')), ['empty-answer', 'c →']);
    assert.deepEqual(marked(relation('a → b\nc → d | | e')), ['empty-answer', ' ']);
    assert.deepEqual(marked(relation('a → b\nc → [MASK]')), ['answer-is-mask', '[MASK]']);
    assert.deepEqual(marked(relation('a → b\nc → d | d')), ['duplicate-answer', 'd']);
    assert.deepEqual(marked(relation('a → b\na → b')), ['duplicate-fact', 'a → b']);
    assert.deepEqual(marked(relation('context: early\na → b')), ['option-place', 'context']);
    assert.deepEqual(marked(relation('a → b\ncontext: one\ncontext: two')), ['duplicate-option', 'context']);
    assert.deepEqual(marked('relation r\na → b'), ['no-template', 'r']);
    assert.deepEqual(marked('relation r\n[Y] is a → b\nnegated: [X] [Y]'), ['option-place', 'negated']);
    assert.deepEqual(marked(relation('')), ['no-facts', 'r']);
    assert.deepEqual(marked(`${relation('a → b')}\n${relation('c → d')}`), ['duplicate-relation', 'r']);
    assert.deepEqual(marked(`relation two words\ntemplate: [X] [Y]\na → b`), ['relation-name', 'two words']);
    assert.deepEqual(codes('relation r\n[Y] is blue. → sky'), []);
  });

  it('lose no more than the line with the error', () => {
    const good = ['relation r', 'template: [X] is in [Y] .', 'a → b', 'c → d | e', 'relation s', '[Y] flies. → bird'];
    const bad = ['what', 'x:y', '→ q', 'q →', 'template: [Y]', 'negated:', 'c → [Y]', '-> ->', '\\'];
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(good.length), fc.constantFrom(...bad)), { maxLength: 8 }), (extra) => {
        const lines = good.flatMap((line, index) => [
          ...extra.filter(([at]) => at === index).map(([, text]) => text),
          line,
        ]);
        const read = (text: string): unknown =>
          parseCloze(text).relations.map(({ id, templates, facts }) => [
            id.value,
            templates.map(({ value }) => value),
            facts.map(({ left, answers }) => [left.value, ...answers.map(({ value }) => value)]),
          ]);
        assert.deepEqual(read(lines.join('\n')), read(good.join('\n')));
        assert.ok(parseCloze(lines.join('\n')).diagnostics.length >= extra.filter(([at]) => at < good.length).length);
      }),
      { seed: 20260723 },
    );
  });

  it('never throw, and every range is inside of the text and in order', () => {
    const piece = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 8 }),
      fc.constantFrom(
        'relation ',
        'template: ',
        '[X]',
        '[Y]',
        ' → ',
        '->',
        '|',
        '\n',
        '\r\n',
        '#',
        '\\',
        ':',
        'candidates: file ',
      ),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        const text = pieces.join('');
        const { diagnostics, relations, comments } = parseCloze(text);
        const ranges = [
          ...comments,
          ...diagnostics.map(({ range }) => range),
          ...relations.flatMap(({ range, id, templates, facts }) => [
            ...[range, id.range, ...templates.map((each) => each.range)],
            ...facts.flatMap((fact) => [fact.range, fact.left.range, ...fact.answers.map((each) => each.range)]),
          ]),
        ];
        for (const { start, end } of ranges) assert.ok(0 <= start && start <= end && end <= text.length);
        for (const { start, end } of comments) assert.ok(!/[\r\n]/u.test(text.slice(start, end)));
      }),
      { seed: 20260723, numRuns: 500 },
    );
  });

  it('any subject and answer can be written', () => {
    const escape = (text: string): string => text.replace(/\\|\||→|->/gu, (found) => `\\${found}`);
    const word = fc
      .string({
        unit: fc.constantFrom('a', 'B', ' ', '\\', '|', '→', '-', '>', '#', ':', '[', ']', '😀'),
        minLength: 1,
      })
      .map((text) => text.trim())
      .filter((text) => text !== '' && !/^(#|\[?$)/u.test(text) && !text.includes('[Y]') && !/^\p{L}+:/u.test(text));
    fc.assert(
      fc.property(word, word, (subject, answer) => {
        const { relations, diagnostics } = parseCloze(relation(`${escape(subject)} → ${escape(answer)}`));
        assert.deepEqual(diagnostics, []);
        assert.equal(relations[0]?.facts[0]?.left.value, subject);
        assert.equal(relations[0].facts[0].answers[0]?.value, answer);
      }),
      { seed: 20260723, numRuns: 500 },
    );
  });

  it('of the sample workspace have no errors, and several hundred facts of many relations', () => {
    const folder = join('samples', 'workspace');
    const documents = readdirSync(folder)
      .filter((name) => name.endsWith('.cloze'))
      .map((name) => parseCloze(readFileSync(join(folder, name), 'utf8')));
    assert.deepEqual(
      documents.flatMap(({ diagnostics }) => diagnostics),
      [],
    );
    const relations = documents.flatMap((document) => document.relations);
    assert.ok(relations.length >= 12 + 23);
    assert.ok(relations.reduce((sum, { facts }) => sum + facts.length, 0) >= 400);
  });
});

describe('templates', () => {
  it('take any subject, brackets and placeholders in it stay text', () => {
    const template = cutTemplate('[X] and [X] are in [Y], says [X].');
    assert.deepEqual(fillTemplate(template, 'a [Y] $& [X]'), {
      before: 'a [Y] $& [X] and a [Y] $& [X] are in ',
      after: ', says a [Y] $& [X].',
    });
  });

  it('are denied behind the first verb that takes “not”', () => {
    assert.equal(negate('[X] was born in [Y] .'), '[X] was not born in [Y] .');
    assert.equal(negate('[X] has been in [Y].'), '[X] has not been in [Y].');
    assert.equal(negate('[X] is not [Y].'), null);
    assert.equal(negate('[X] plays [Y].'), null);
  });
});
