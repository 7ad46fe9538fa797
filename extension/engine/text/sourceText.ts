// Text that has been changed (normalised) and still knows, for every UTF-16 unit, where it came from.
import type { TextRange } from '../../protocol/engine';

/** Immutable; `starts` and `ends` have one entry a unit of `text`, in units of the original text, half open. */
export class SourceText {
  private constructor(
    readonly text: string,
    private readonly starts: Int32Array | null,
    private readonly ends: Int32Array | null,
    /** Where the text begins and ends in the original. */
    readonly start: number,
    readonly end: number,
  ) {}

  /** Text as it stands in the original, from `start`. */
  static of(text: string, start = 0): SourceText {
    return new SourceText(text, null, null, start, start + text.length);
  }

  startOf(unit: number): number {
    return unit >= this.text.length
      ? this.end
      : this.starts === null
        ? this.start + unit
        : (this.starts[unit] ?? this.end);
  }

  endOf(unit: number): number {
    return this.ends === null ? this.start + unit + 1 : (this.ends[unit] ?? this.end);
  }

  /** The original range of the units [from, to); empty at its place when there are none. */
  range(from: number, to: number): TextRange {
    const start = this.startOf(from);
    if (to <= from) return { start, end: start };
    let end = start;
    for (let unit = from; unit < to; unit++) end = Math.max(end, this.endOf(unit));
    return { start, end };
  }

  slice(from: number, to: number): SourceText {
    return new SourceText(
      this.text.slice(from, to),
      this.starts?.subarray(from, to) ?? null,
      this.ends?.subarray(from, to) ?? null,
      // The beginning stays the beginning, also where its first characters were removed: `Metaspace` asks for it.
      from === 0 ? this.start : this.startOf(from),
      to > from ? this.endOf(to - 1) : this.startOf(from),
    );
  }

  /** Applies replacements of [from, to) by `with`, in order and without overlap. No replacements: the same object. */
  replace(edits: Iterable<Edit>): SourceText {
    const pieces: string[] = [];
    const starts: number[] = [];
    const ends: number[] = [];
    let done = 0;
    let changed = false;
    const keep = (to: number): void => {
      pieces.push(this.text.slice(done, to));
      for (let unit = done; unit < to; unit++) {
        starts.push(this.startOf(unit));
        ends.push(this.endOf(unit));
      }
    };
    for (const { from, to, with: content } of edits) {
      changed = true;
      keep(from);
      pieces.push(content);
      const range = this.range(from, to);
      for (let unit = 0; unit < content.length; unit++) {
        starts.push(range.start);
        ends.push(range.end);
      }
      done = to;
    }
    if (!changed) return this;
    keep(this.text.length);
    return new SourceText(pieces.join(''), Int32Array.from(starts), Int32Array.from(ends), this.start, this.end);
  }
}

/** Units [from, to) of a text give way to `with`. An insertion has from = to. */
export interface Edit {
  from: number;
  to: number;
  with: string;
}
