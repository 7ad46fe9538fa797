// What must hold for the ranges of any text, however odd, under every kind of tokenizer.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import fc from 'fast-check';
import { loadTokenizer } from '../../extension/engine/text/huggingFaceTokenizer';
import { SourceText } from '../../extension/engine/text/sourceText';
import type { LensTokenizer } from '../../extension/engine/text/tokenizer';

const FIXTURES = join(process.cwd(), 'test', 'fixtures');
const TOKENIZERS = [
  'tokenizers/wp_cased',
  'tokenizers/bpe_gpt2',
  'tokenizers/bpe_llama2',
  'tokenizers/uni_xlmr',
  'tokenizers/uni_albert',
  'bert',
  'roberta',
  'modernbert',
];
const RUNS = { seed: 20260723, numRuns: 300 };

const fragment = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 6 }),
  fc.string({ unit: 'grapheme', maxLength: 6 }),
  fc.constantFrom(
    ' ',
    '  ',
    '\r\n',
    '\t',
    '\0',
    '\u00a0',
    '\u3000',
    '\ufeff',
    '\u200b',
    '\u200d',
    '\ud83d',
    '\ude00',
    '😀',
    '👩‍👩‍👧‍👦',
    '🇵🇱',
    'e\u0301',
    '\u0301',
    'ẛ\u0323',
    'ﷺ',
    'ﬁ',
    'İ',
    'ΟΔΟΣ',
    'العربية',
    '漢字',
    '𠀀',
    'ภาษาไทย',
    '각',
    'ᄀ\u1161',
    'ｶﾞ',
    'ñandú',
    '½',
    'the',
    'The cat',
    '[MASK]',
    '<mask>',
    ' <mask>',
    '[UNK]',
    '</s>',
    '##s',
    '▁',
    '▁the',
    'Ġ',
    '<0x41>',
    '``',
    "don't",
    '123',
    'x'.repeat(120),
  ),
);
const anyText = fc.array(fragment, { maxLength: 12 }).map((parts) => parts.join(''));

function splitsPair(text: string, unit: number): boolean {
  return /[\ud800-\udbff]/.test(text.charAt(unit - 1)) && /[\udc00-\udfff]/.test(text.charAt(unit));
}

function checkRanges(tokenizer: LensTokenizer, text: string): void {
  const encoding = tokenizer.encode(text);
  const told = JSON.stringify(text);
  assert.equal(encoding.ranges.length, encoding.ids.length);
  assert.equal(encoding.tokens.length, encoding.ids.length);
  let start = 0;
  let end = 0;
  encoding.ranges.forEach((range, index) => {
    assert.equal(encoding.tokens[index], tokenizer.token(encoding.ids[index] ?? -1), told);
    assert.equal(range === null, encoding.special[index] === 1, told);
    if (range === null) return;
    assert.ok(range.start <= range.end && range.end <= text.length, `inside ${told}`);
    assert.ok(range.start >= start && range.end >= end, `ordered in ${told}`);
    ({ start, end } = range);
    assert.ok(!splitsPair(text, start) && !splitsPair(text, end), `whole characters of ${told}`);
    const covered = text.slice(start, end);
    if (/[^\p{White_Space}]/u.test(covered)) assert.ok(!/^\p{White_Space}|\p{White_Space}$/u.test(covered), told);
  });
}

describe('align: ranges of any text', () => {
  for (const name of TOKENIZERS) {
    it(`${name}: ordered, inside, whole characters, no space at the ends`, async () => {
      const tokenizer = await loadTokenizer(join(FIXTURES, name));
      fc.assert(
        fc.property(anyText, (text) => checkRanges(tokenizer, text)),
        RUNS,
      );
    });

    it(`${name}: content is the text between the template's tokens`, async () => {
      const tokenizer = await loadTokenizer(join(FIXTURES, name));
      fc.assert(
        fc.property(anyText, (text) => {
          const content = tokenizer.encodeContent(text);
          const whole = tokenizer.encode(text);
          const { ids, offset } = tokenizer.wrap(content.ids);
          assert.deepEqual(ids, whole.ids);
          assert.deepEqual(whole.ranges.slice(offset, offset + content.ids.length), content.ranges);
          const pair = tokenizer.encodePair(text, 'x');
          assert.deepEqual(pair.ranges.filter((range) => range !== null).slice(0, content.ids.length), content.ranges);
        }),
        { ...RUNS, numRuns: 100 },
      );
    });
  }

  // What each normaliser does to a token's text, said again in other words.
  const unicode = fc.constantFrom(
    'The',
    'café',
    'cafe\u0301',
    'Ünï',
    '漢字',
    '😀',
    'x²',
    '…',
    'naïve',
    "don't",
    'Ωmega',
    '\u200b',
    '12',
  );
  const spaced = fc.array(unicode, { minLength: 1, maxLength: 10 }).map((parts) => parts.join(' '));
  const readings: [name: string, normalise: (text: string) => string][] = [
    ['tokenizers/wp_cased', (text) => text.replace(/\p{Cf}/gu, '')],
    [
      'bert',
      (text) =>
        text
          .normalize('NFD')
          .replace(/[\p{Mn}\p{Cf}]/gu, '')
          .toLowerCase(),
    ],
    ['tokenizers/bpe_gpt2', (text) => text],
    ['tokenizers/bpe_llama2', (text) => text],
    ['roberta', (text) => text],
    ['modernbert', (text) => text.normalize('NFC')],
  ];
  for (const [name, normalise] of readings) {
    it(`${name}: the text under a token's range, normalised, is the token`, async () => {
      const tokenizer = await loadTokenizer(join(FIXTURES, name));
      fc.assert(
        fc.property(spaced, (text) => {
          const { ids, ranges, tokens } = tokenizer.encodeContent(text);
          ranges.forEach((range, index) => {
            const read = tokenizer.text(ids[index] ?? -1).trim();
            // Unknown pieces and parts of characters have no text of their own to compare.
            if (range === null || read.includes('\ufffd') || /^(\[UNK\]|<unk>|<0x..>)$/.test(tokens[index] ?? ''))
              return;
            assert.equal(
              read,
              normalise(text.slice(range.start, range.end)).trim(),
              JSON.stringify([text, tokens[index]]),
            );
          });
        }),
        RUNS,
      );
    });
  }

  it('byte-level pieces put together are the text again', async () => {
    const tokenizer = await loadTokenizer(join(FIXTURES, 'tokenizers/bpe_gpt2'));
    fc.assert(
      fc.property(anyText, (text) => {
        fc.pre(!text.includes('<|endoftext|>'));
        const wellFormed = text.replace(/\p{Cs}/gu, '\ufffd');
        assert.equal(tokenizer.join(tokenizer.encodeContent(text).ids), wellFormed.trim());
      }),
      RUNS,
    );
  });
});

describe('align: text that knows its source', () => {
  it('keeps the place of every unit through insertions, removals and slices', () => {
    const source = SourceText.of('a  bc', 10);
    const marked = source.replace([
      { from: 0, to: 0, with: '▁' },
      { from: 1, to: 3, with: '▁' },
    ]);
    assert.equal(marked.text, '▁a▁bc');
    assert.deepEqual(marked.range(0, 1), { start: 10, end: 10 });
    assert.deepEqual(marked.range(0, 2), { start: 10, end: 11 });
    assert.deepEqual(marked.range(2, 3), { start: 11, end: 13 });
    const word = marked.slice(2, 5);
    assert.equal(word.text, '▁bc');
    assert.deepEqual(word.range(1, 3), { start: 13, end: 15 });
    assert.deepEqual(word.range(3, 3), { start: 15, end: 15 });
    assert.equal(source.replace([]), source);
    // A text whose first character was removed still begins where it began; Metaspace's “first” asks for it.
    assert.equal(source.replace([{ from: 0, to: 1, with: '' }]).slice(0, 3).start, 10);
  });
});
