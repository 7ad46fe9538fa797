/** Which text goes into the model: sentence, paragraph, window; words at carets; ranges that follow edits. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  chooseContext,
  cutPoint,
  hull,
  maskTokenAt,
  MAX_TEXT,
  rangeToRead,
  sentencesOf,
  shifted,
  wordAt,
  type TextSlice,
} from '../../extension/editor/context';
import type { ContextKind } from '../../extension/protocol/view';
import { LensError } from '../../extension/protocol/errors';

const whole = (text: string, start = 0): TextSlice => ({ text, start, atStart: true, atEnd: true });

function contextOf(text: string, word: string, kind: ContextKind): string {
  const start = text.indexOf(word);
  assert.ok(start >= 0);
  return chooseContext(whole(text), [{ start, end: start + word.length }], kind).text;
}

describe('context around a selection', () => {
  const TEXT =
    'Title of it\n\nFirst one here. The second one,\nwrapped over lines, ends. A third!\n \t\nAnother paragraph.\n';

  it('takes the sentence, also when it is wrapped over lines', () => {
    assert.equal(contextOf(TEXT, 'wrapped', 'sentence'), 'The second one,\nwrapped over lines, ends.');
    assert.equal(contextOf(TEXT, 'First', 'sentence'), 'First one here.');
    assert.equal(contextOf(TEXT, 'third', 'sentence'), 'A third!');
  });

  it('takes the paragraph between blank lines, white space in them or not', () => {
    assert.equal(contextOf(TEXT, 'second', 'paragraph'), TEXT.slice(13, TEXT.indexOf('\n \t\n')));
    assert.equal(contextOf(TEXT, 'Title', 'paragraph'), 'Title of it');
    assert.equal(contextOf(TEXT, 'Another', 'paragraph'), 'Another paragraph.');
  });

  it('reads Windows line ends as one line end', () => {
    const text = TEXT.replaceAll('\n', '\r\n');
    assert.equal(contextOf(text, 'wrapped', 'sentence'), 'The second one,\r\nwrapped over lines, ends.');
    assert.equal(contextOf(text, 'Title', 'paragraph'), 'Title of it');
  });

  it('takes everything for the window, white space too', () => {
    assert.equal(contextOf(TEXT, 'second', 'window'), TEXT);
  });

  it('does not end a sentence after a title or an initial', () => {
    const text = 'It rained. Yesterday Mr. Smith met J. Doe in St. Albans. They talked.';
    assert.equal(contextOf(text, 'Smith', 'sentence'), 'Yesterday Mr. Smith met J. Doe in St. Albans.');
  });

  it('keeps list items and headings apart, and drops no marker', () => {
    const text = '# A heading\nText below it\n- first item\n- second item\n> quoted';
    assert.equal(contextOf(text, 'heading', 'sentence'), '# A heading');
    assert.equal(contextOf(text, 'first', 'sentence'), '- first item');
    assert.equal(contextOf(text, 'quoted', 'sentence'), '> quoted');
    assert.equal(contextOf(text, 'below', 'sentence'), 'Text below it');
  });

  it('holds all selections and what lies between them', () => {
    const text = 'One a. Two b. Three c. Four d.';
    const ranges = [
      { start: text.indexOf('b'), end: text.indexOf('b') + 1 },
      { start: text.indexOf('c'), end: text.indexOf('c') + 1 },
    ];
    assert.equal(chooseContext(whole(text), ranges, 'sentence').text, 'Two b. Three c.');
  });

  it('cuts no word and no surrogate pair at the ends of what was read', () => {
    const slice: TextSlice = { text: 'alf a word and the res', start: 1_000, atStart: false, atEnd: false };
    const at = 1_000 + slice.text.indexOf('word');
    const context = chooseContext(slice, [{ start: at, end: at + 4 }], 'window');
    assert.equal(context.text, ' a word and the');
    assert.equal(context.windowStart, 1_003);
    const emoji = '\u{1F600}'.repeat(50);
    const cut: TextSlice = { text: emoji.slice(1, -1), start: 1, atStart: false, atEnd: false };
    assert.equal(chooseContext(cut, [{ start: 40, end: 42 }], 'window').text, emoji.slice(2, -2));
  });

  it('contains the selections as they are, for any text (property)', () => {
    const text = fc.string({
      unit: fc.constantFrom('a', 'B', '.', ' ', '\n', '\r\n', '!', '\u{1F600}', '-', '#', 'é', '字'),
    });
    const kind = fc.constantFrom<ContextKind>('sentence', 'paragraph', 'window');
    fc.assert(
      fc.property(text, fc.nat(), fc.nat(), kind, fc.nat(10_000), (value, a, b, context, start) => {
        const [from, to] = [a % (value.length + 1), b % (value.length + 1)].sort((x, y) => x - y) as [number, number];
        const range = { start: start + from, end: start + to };
        const chosen = chooseContext({ text: value, start, atStart: true, atEnd: true }, [range], context);
        const local = chosen.windowStart - start;
        assert.equal(chosen.text, value.slice(local, local + chosen.text.length));
        assert.ok(chosen.windowStart <= range.start && range.end <= chosen.windowStart + chosen.text.length);
      }),
    );
  });

  it('refuses selections that lie too far apart, and none at all', () => {
    const isBadInput = (error: unknown): boolean => error instanceof LensError && error.code === 'bad-input';
    assert.throws(
      () =>
        rangeToRead([
          { start: 0, end: 1 },
          { start: MAX_TEXT, end: MAX_TEXT + 1 },
        ]),
      isBadInput,
    );
    assert.throws(() => hull([]), isBadInput);
    const { start, end } = rangeToRead([{ start: 5_000_000, end: 5_000_010 }]);
    assert.ok(end - start < MAX_TEXT && start < 5_000_000 && end > 5_000_010);
  });

  it('is quick on 64,000 characters without a space or with only line ends', () => {
    for (const unit of ['x', 'x\n', '. ', '\n']) {
      const text = unit.repeat(Math.floor(64_000 / unit.length));
      const began = performance.now();
      chooseContext(whole(text), [{ start: 32_000, end: 32_001 }], 'sentence');
      assert.ok(performance.now() - began < 1_000, JSON.stringify(unit));
    }
  });
});

describe('words and sentences', () => {
  const wordOf = (text: string, offset: number, punctuation?: boolean): string | null => {
    const range = wordAt(text, offset, punctuation);
    return range === null ? null : text.slice(range.start, range.end);
  };

  it('finds the word that a caret touches', () => {
    assert.equal(wordOf('The cat sat.', 5), 'cat');
    assert.equal(wordOf('The cat sat.', 4), 'cat');
    assert.equal(wordOf('The cat sat.', 7), 'cat');
    assert.equal(wordOf("I don't know", 5), "don't");
    assert.equal(wordOf('The cat sat.', 12), '.');
    assert.equal(wordOf('The cat sat.', 12, false), null);
    assert.equal(wordOf('a   b', 2), null);
    assert.equal(wordOf('', 0), null);
  });

  it('finds a mask token as one, its ends included', () => {
    const text = 'It is [MASK] here';
    for (const offset of [6, 9, 12])
      assert.deepEqual(maskTokenAt(text, offset, ['<mask>', '[MASK]']), { start: 6, end: 12 });
    assert.equal(maskTokenAt(text, 13, ['[MASK]']), null);
  });

  it('divides a text into sentences without their white space', () => {
    const text = ' He bought a ticket.  Then he\nboarded the train. ';
    assert.deepEqual(
      sentencesOf(text).map(({ start, end }) => text.slice(start, end)),
      ['He bought a ticket.', 'Then he\nboarded the train.'],
    );
  });

  it('cuts long texts at blank lines, then lines, then sentences, then words', () => {
    assert.equal(cutPoint('aaaa aaaa\n\nbbbb bbbb', 16), 11);
    assert.equal(cutPoint('aaaa aaaa\nbbbb bbbb', 16), 10);
    assert.equal(cutPoint('aaaa aaaa. bbbb bbbb', 14), 11);
    assert.equal(cutPoint('aaaa aaaa bbbb bbbb', 12), 10);
    assert.equal(cutPoint('\u{1F600}'.repeat(4), 3), 2);
    assert.equal(cutPoint('short', 10), 5);
  });
});

describe('a range that follows edits', () => {
  const range = { start: 10, end: 20 };
  it('moves with edits before it, and stays for edits behind it', () => {
    assert.deepEqual(shifted(range, { offset: 0, length: 2, inserted: 5 }), { start: 13, end: 23 });
    assert.deepEqual(shifted(range, { offset: 10, length: 0, inserted: 1 }), { start: 11, end: 21 });
    assert.deepEqual(shifted(range, { offset: 20, length: 4, inserted: 0 }), range);
  });
  it('grows and shrinks with edits inside it, and holds what replaces it', () => {
    assert.deepEqual(shifted(range, { offset: 12, length: 3, inserted: 1 }), { start: 10, end: 18 });
    assert.deepEqual(shifted(range, { offset: 10, length: 10, inserted: 4 }), { start: 10, end: 14 });
    assert.deepEqual(shifted(range, { offset: 5, length: 30, inserted: 2 }), { start: 5, end: 7 });
    assert.deepEqual(shifted(range, { offset: 5, length: 10, inserted: 0 }), { start: 5, end: 10 });
  });
});
