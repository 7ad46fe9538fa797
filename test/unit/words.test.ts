/** Which pieces make a word, for each way of writing a vocabulary. */
import assert from 'node:assert/strict';
import { wordIndices, wordText, type Piece } from '../../extension/protocol/words';

/** Pieces laid over the text where each is found next; null: a special token. */
function pieces(text: string, parts: [token: string, shown: string | null][]): Piece[] {
  let from = 0;
  return parts.map(([token, shown]) => {
    if (shown === null) return { token, range: null };
    const start = text.indexOf(shown, from);
    assert.ok(start >= 0, shown);
    from = start + shown.length;
    return { token, range: { start, end: from } };
  });
}
const wordsOf = (tokens: readonly Piece[]): string[] => {
  const words = wordIndices(tokens);
  return [...new Set(words)].map((word) =>
    wordText(tokens.flatMap(({ token }, at) => (words[at] === word ? [token] : []))),
  );
};

describe('words', () => {
  it('WordPiece: ## goes on; punctuation stands alone', () => {
    const tokens = pieces('Mauritius (don’t)!', [
      ['[CLS]', null],
      ['Maur', 'Maur'],
      ['##iti', 'iti'],
      ['##us', 'us'],
      ['(', '('],
      ['don', 'don'],
      ['’', '’'],
      ['t', 't'],
      [')', ')'],
      ['!', '!'],
      ['[SEP]', null],
    ]);
    assert.deepEqual(wordsOf(tokens), ['[CLS]', 'Mauritius', '(', 'don', '’t', ')', '!', '[SEP]']);
  });

  it('an apostrophe after a space opens a quotation', () => {
    const tokens = pieces("say 'hello'", [
      ['say', 'say'],
      ["'", "'"],
      ['hello', 'hello'],
      ["'", "'"],
    ]);
    assert.deepEqual(wordsOf(tokens), ['say', "'", 'hello', "'"]);
  });

  it('byte-level BPE: spaces and line breaks part, bytes of one character do not', () => {
    const text = 'naïve 😀x\nend  of';
    const tokens: Piece[] = [
      { token: 'na', range: { start: 0, end: 2 } },
      { token: 'Ã¯', range: { start: 2, end: 3 } },
      { token: 've', range: { start: 3, end: 5 } },
      { token: 'ĠðŁĺ', range: { start: 6, end: 8 } },
      { token: 'Ģ', range: { start: 6, end: 8 } },
      { token: 'Ċ', range: { start: 9, end: 10 } },
      { token: 'end', range: { start: 10, end: 13 } },
      { token: 'Ġ', range: { start: 13, end: 14 } },
      { token: 'Ġof', range: { start: 15, end: 17 } },
    ];
    assert.equal(text.length, 17);
    assert.deepEqual(wordsOf(tokens), ['naïve', '😀', '⏎', 'end', '␣', 'of']);
  });

  it('Unigram: a space mark of its own parts, pieces inside a word do not', () => {
    const tokens: Piece[] = [
      { token: '▁un', range: { start: 0, end: 2 } },
      { token: 'believ', range: { start: 2, end: 8 } },
      { token: 'able', range: { start: 8, end: 12 } },
      { token: '▁', range: { start: 12, end: 13 } },
      { token: 'x', range: { start: 13, end: 14 } },
      { token: '</s>', range: null },
    ];
    assert.deepEqual(wordsOf(tokens), ['unbelievable', '▁', 'x', '</s>']);
  });

  it('scripts without spaces: what the tokenizer took together', () => {
    const tokens = pieces('中国人abc', [
      ['中国', '中国'],
      ['人', '人'],
      ['abc', 'abc'],
    ]);
    assert.deepEqual(wordsOf(tokens), ['中国', '人', 'abc']);
  });

  it('the second text of a pair begins a word', () => {
    const tokens: Piece[] = [
      { token: 'end', range: { start: 0, end: 3 }, text: 0 },
      { token: 'begin', range: { start: 0, end: 5 }, text: 1 },
      { token: 'ning', range: { start: 5, end: 9 }, text: 1 },
    ];
    assert.deepEqual(wordIndices(tokens), [0, 1, 1]);
  });
});
