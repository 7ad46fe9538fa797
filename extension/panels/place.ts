/** A text of a document, or two of them as a pair, that the model reads: what the views look at together. */
import type * as vscode from 'vscode';
import type { AttentionInput } from '../protocol/attention';
import type { TextRange, WindowInfo } from '../protocol/engine';
import type { Target } from './attentionPlan';
import type { Subject } from './subject';

let places = 0;

export class Place {
  /** No other place has it. */
  readonly id = (places += 1);
  /** What the model had room for, known once it was asked. */
  private window: WindowInfo | null = null;

  constructor(
    readonly subject: Subject,
    readonly pair: Subject | null,
    /** In the first text: must be read when that is too long. */
    readonly around: TextRange | null,
  ) {}

  get stale(): boolean {
    return this.subject.stale || this.pair?.stale === true;
  }

  get input(): Pick<AttentionInput, 'text' | 'pair' | 'around'> {
    const { subject, pair, around } = this;
    if (pair !== null) return { text: subject.text, pair: pair.text };
    return { text: subject.text, ...(around === null ? {} : { around }) };
  }

  subjectOf(text: 0 | 1): Subject {
    return text === 1 ? (this.pair ?? this.subject) : this.subject;
  }

  /** Null when the document's range lies outside of what is looked at, or the text there has changed. */
  find(uri: vscode.Uri, range: TextRange): Target | null {
    for (const text of [0, 1] as const) {
      const subject = text === 0 ? this.subject : this.pair;
      if (subject === null || subject.stale || subject.uri.toString() !== uri.toString()) continue;
      const within = { start: subject.windowStart, end: subject.windowStart + subject.text.length };
      if (range.start < within.start || range.end > within.end) continue;
      const target: Target = { text, range: subject.toLocal(range) };
      if (this.reads(target)) return target;
    }
    return null;
  }

  /** Whether the model read it, as far as is known. */
  reads({ text, range }: Target): boolean {
    const read = text === 0 ? this.window?.range : this.window?.pair?.range;
    return read === undefined || (range.start >= read.start && range.end <= read.end);
  }

  /** Who asked the model tells what it read. */
  tell(window: WindowInfo): void {
    this.window = window;
  }

  /** The same texts at the same places. */
  equals({ subject, pair }: Place): boolean {
    return sameSubject(this.subject, subject) && sameSubject(this.pair, pair);
  }

  onEdit(event: vscode.TextDocumentChangeEvent): boolean {
    const first = this.subject.onEdit(event);
    const second = this.pair?.onEdit(event) === true;
    return first || second;
  }

  /** A document was opened again, or closed. True when it is one of these. */
  onDocument(document: vscode.TextDocument): boolean {
    const key = document.uri.toString();
    const own = [this.subject, this.pair].filter((subject) => subject?.uri.toString() === key);
    if (!document.isClosed) for (const subject of own) subject?.compare(document);
    return own.length > 0;
  }

  /** As it reads now, with the context that it has. */
  async again(): Promise<Place> {
    const { subject, pair } = this;
    if (pair !== null) return new Place(await subject.recaptureExactly(), await pair.recaptureExactly(), null);
    const newer = await subject.recapture(subject.kind);
    const anchor = newer.anchors[0];
    return new Place(newer, null, anchor === undefined ? null : newer.toLocal(anchor));
  }
}

function sameSubject(one: Subject | null, other: Subject | null): boolean {
  if (one === null || other === null) return one === other;
  return (
    !one.stale &&
    one.uri.toString() === other.uri.toString() &&
    one.windowStart === other.windowStart &&
    one.text === other.text
  );
}
