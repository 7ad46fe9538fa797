// Added tokens ([MASK], <s> …): found in the text before anything else is done with it.
import type { SourceText } from './sourceText';

export interface AddedToken {
  id: number;
  content: string;
  /** Only where no letter or digit touches it. */
  singleWord: boolean;
  /** Swallows the white space before or after it. */
  stripLeft: boolean;
  stripRight: boolean;
  /** Searched in the normalised text. */
  normalized: boolean;
  special: boolean;
}

/** A part of the text: either ordinary text, or an added token and the text it stands for. */
export interface Section {
  text: SourceText;
  added: AddedToken | null;
}

const WORD = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\u200c\u200d]/u;
const SPACE = /\p{White_Space}/u;

/** Finds tokens in a text, the leftmost and there the longest; linear in the text for a fixed set. */
export class AddedTokenFinder {
  private readonly byFirstUnit = new Map<number, [content: string, token: AddedToken][]>();

  /** `entries`: what to look for, as it stands in the text. */
  constructor(entries: Iterable<readonly [content: string, token: AddedToken]>) {
    for (const [content, token] of entries) {
      if (content === '') continue;
      const first = content.charCodeAt(0);
      const list = this.byFirstUnit.get(first) ?? [];
      list.push([content, token]);
      this.byFirstUnit.set(first, list);
    }
    for (const list of this.byFirstUnit.values()) list.sort((a, b) => b[0].length - a[0].length);
  }

  split(source: SourceText): Section[] {
    const { text } = source;
    const sections: Section[] = [];
    let done = 0;
    const keep = (to: number): void => {
      if (to > done) sections.push({ text: source.slice(done, to), added: null });
    };
    for (let at = 0; at < text.length; at++) {
      const candidates = this.byFirstUnit.get(text.charCodeAt(at));
      const found = candidates?.find(([content]) => text.startsWith(content, at));
      if (found === undefined) continue;
      const [content, token] = found;
      const end = at + content.length;
      if (token.singleWord && (isWord(text, at - 1) || isWord(text, end))) {
        at = end - 1;
        continue;
      }
      let from = at;
      while (token.stripLeft && from > done && SPACE.test(text.charAt(from - 1))) from--;
      keep(from);
      // The token's own text is without the space that it swallows.
      sections.push({ text: source.slice(at, end), added: token });
      done = end;
      while (token.stripRight && done < text.length && SPACE.test(text.charAt(done))) done++;
      at = done - 1;
    }
    keep(text.length);
    return sections;
  }
}

function isWord(text: string, unit: number): boolean {
  return unit >= 0 && unit < text.length && WORD.test(text.charAt(unit));
}
