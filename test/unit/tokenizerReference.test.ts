// Ids and ranges against the reference library (Rust), for texts of many kinds and for every fixture's own tokenizer.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadTokenizer } from '../../extension/engine/text/huggingFaceTokenizer';

const FIXTURES = join(process.cwd(), 'test', 'fixtures');

type Offset = [number, number];

function readJson<T>(...path: string[]): T {
  return JSON.parse(readFileSync(join(FIXTURES, ...path), 'utf8')) as T;
}

/** Where each code point of a text begins, in UTF-16 units; one more entry for the end. */
function unitsOf(text: string): number[] {
  const units = [0];
  for (const character of text) units.push((units.at(-1) ?? 0) + character.length);
  return units;
}

/** The reference counts code points and may have spaces at the ends. White space alone becomes an empty string. */
function trimmedReference(text: string, units: number[], [from, to]: Offset): string {
  let start = units[from] ?? NaN;
  let end = units[to] ?? NaN;
  while (start < end && /\p{White_Space}/u.test(text.charAt(start))) start++;
  while (start < end && /\p{White_Space}/u.test(text.charAt(end - 1))) end--;
  return start === end ? 'white space' : `${start}-${end}`;
}

function trimmed(text: string, start: number, end: number): string {
  return text.slice(start, end).trim() === '' ? 'white space' : `${start}-${end}`;
}

describe('tokenizer: five tokenizers of the reference library', () => {
  const texts = readJson<string[]>('tokenizers', 'texts.json');

  // The only differences, both on purpose:
  // marks: a ▁ that the tokenizer writes in front of a word has no text. Here its range is empty, in the reference it
  //   has the word's first character.
  // composed: a character that a normaliser put together from a letter and its marks covers all of them here, so that
  //   its range, normalised, is the token. The reference gives it the letter alone.
  const conventional: Record<string, { marks: number; composed: number }> = {
    wp_cased: { marks: 0, composed: 0 },
    bpe_gpt2: { marks: 0, composed: 0 },
    bpe_llama2: { marks: 20, composed: 0 },
    uni_xlmr: { marks: 212, composed: 3 },
    uni_albert: { marks: 25, composed: 1 },
  };

  for (const [name, differences] of Object.entries(conventional)) {
    it(`${name}: all ids, and all ranges but ${differences.marks} + ${differences.composed}`, async () => {
      const tokenizer = await loadTokenizer(join(FIXTURES, 'tokenizers', name));
      const expected = readJson<{ ids: number[]; tokens: string[]; offsets: Offset[] }[]>(
        'tokenizers',
        name,
        'expected.json',
      );
      assert.equal(expected.length, texts.length);
      const found = { marks: 0, composed: 0 };
      texts.forEach((text, index) => {
        const reference = expected[index];
        assert.ok(reference !== undefined);
        const encoding = tokenizer.encode(text);
        assert.deepEqual([...encoding.ids], reference.ids, `ids of ${JSON.stringify(text)}`);
        encoding.tokens.forEach((token, place) => {
          // For an unknown piece the reference shows the text that it stands for; we show the vocabulary's string.
          if (token !== '<unk>') assert.equal(token.trim(), reference.tokens[place]?.trim());
        });
        const units = unitsOf(text);
        reference.offsets.forEach((offset, place) => {
          const range = encoding.ranges[place] ?? null;
          const told = `token ${place} (${encoding.tokens[place]}) of ${JSON.stringify(text)}`;
          assert.equal(encoding.special[place] === 1, range === null, told);
          if (range === null) {
            assert.deepEqual(offset, [0, 0], told);
            return;
          }
          const ours = trimmed(text, range.start, range.end);
          const theirs = trimmedReference(text, units, offset);
          if (encoding.tokens[place] === '▁' && range.start === range.end && theirs !== 'white space') {
            found.marks++;
            assert.equal(range.start, units[offset[0]], told);
          } else if (ours !== theirs && /\p{M}$/u.test(text.slice(range.start, range.end))) {
            found.composed++;
            assert.equal(range.start, units[offset[0]], told);
            assert.match(text.slice(units[offset[1]], range.end), /^\p{M}+$/u, told);
          } else {
            assert.equal(ours, theirs, told);
          }
        });
      });
      assert.deepEqual(found, differences);
    });
  }
});

// Found by comparing with the reference library (0.23) on 50,000 random texts and on every code point alone.
describe('tokenizer: what the reference does with rare characters', () => {
  const cases: [tokenizer: string, why: string, text: string, ids: number[]][] = [
    ['tokenizers/wp_cased', 'its extension E begins late', 'a\u{2b8b0}b', [2, 1, 3]],
    ['tokenizers/wp_cased', 'no punctuation in its Unicode', 'a\u{113d5}b\u2e4cc', [2, 1, 3]],
    ['bert', 'no accents in its Unicode', 'a\u07fdb', [2, 1, 3]],
    ['bert', 'no format character in its Unicode', 'a\u0890b', [2, 1, 3]],
    ['albert', 'no mark in its Unicode', 'a\u0897b', [2, 12, 1, 44, 3]],
    ['tokenizers/uni_xlmr', 'not decomposed in its Unicode', '\u32ff', [0, 6, 3, 2]],
    ['tokenizers/uni_xlmr', 'nothing joins a control', '\u200e\u0301', [0, 6, 3, 2]],
    ['tokenizers/uni_xlmr', 'nothing joins a paragraph separator', '\u2029\u0313a', [0, 6, 3, 50, 2]],
    ['tokenizers/uni_xlmr', 'tags join', 'a\u0340\u{e0041}C', [0, 18, 3, 136, 2]],
    ['tokenizers/uni_xlmr', 'the unknown piece has its own score', '\u8b42<unk>x', [0, 6, 3, 113, 2]],
  ];
  for (const [name, why, text, ids] of cases) {
    it(`${name}: ${why}`, async () => {
      const tokenizer = await loadTokenizer(join(FIXTURES, name));
      assert.deepEqual([...tokenizer.encode(text).ids], ids);
    });
  }

  it('a range covers what became one character, not its neighbours', async () => {
    const covered = async (name: string, text: string): Promise<string[]> => {
      const tokenizer = await loadTokenizer(join(FIXTURES, name));
      return tokenizer.encodeContent(text).ranges.map((range) => text.slice(range?.start, range?.end));
    };
    // The vowel signs compose, the consonant stays apart.
    const [consonant, signs] = ['\u0d9a', '\u0dd9\u0dcf'];
    const sinhala = await covered('modernbert', `${consonant}${signs}`);
    assert.deepEqual(new Set(sinhala), new Set([consonant, signs]));
    assert.deepEqual(await covered('gpt1-ts', 'E\u0301\u0323\u3131'), ['E', '\u3131']);
  });
});

interface Case {
  text: (string | [string, string])[];
  input_ids: number[][];
  token_type_ids?: number[][];
  attention_mask: number[][];
  tokens: string[][];
  offsets: Offset[][];
}

describe('tokenizer: the fixtures’ own tokenizers', () => {
  for (const fixture of readdirSync(FIXTURES)) {
    const folder = existsSync(join(FIXTURES, fixture, 'tokenizer.json'))
      ? join(FIXTURES, fixture)
      : join(process.cwd(), 'models', fixture);
    if (!existsSync(join(folder, 'tokenizer.json')) || !existsSync(join(FIXTURES, fixture, 'reference.json'))) continue;
    it(fixture, async () => {
      const tokenizer = await loadTokenizer(folder);
      const { cases } = readJson<{ cases: Case[] }>(fixture, 'reference.json');
      assert.ok(cases.length > 0);
      for (const example of cases) {
        example.text.forEach((text, row) => {
          const told = JSON.stringify(text);
          const encoding = typeof text === 'string' ? tokenizer.encode(text) : tokenizer.encodePair(...text);
          const given = example.input_ids[row] ?? [];
          const mask = example.attention_mask[row] ?? [];
          // With a past, the model gets the end of the text only; padding is the session's work.
          const past = mask.length - given.length;
          const unpadded = <T>(values: T[] | undefined): T[] => (values ?? []).filter((_, place) => mask[past + place]);
          assert.deepEqual([...encoding.ids].slice(past), unpadded(given), told);
          assert.deepEqual(encoding.tokens.slice(past), unpadded(example.tokens[row]), told);
          if (example.token_type_ids !== undefined) {
            assert.deepEqual([...encoding.segments].slice(past), unpadded(example.token_type_ids[row]), told);
          }
          let part = typeof text === 'string' ? text : text[0];
          unpadded(example.offsets[row]).forEach((offset, place) => {
            const range = encoding.ranges[past + place] ?? null;
            if (range === null) {
              assert.deepEqual(offset, [0, 0], told);
              // The second text begins after the separator.
              if (place > 0 && typeof text !== 'string') part = text[1];
              return;
            }
            const mark = encoding.tokens[past + place] === '▁' && range.start === range.end;
            const ours = trimmed(part, range.start, range.end);
            const theirs = trimmedReference(part, unitsOf(part), offset);
            if (!mark) assert.equal(ours, theirs, `token ${place} of ${told}`);
          });
        });
      }
    });
  }
});
