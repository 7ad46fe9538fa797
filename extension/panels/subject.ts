/**
 * What a view looks at: a piece of a document as it was when it was read, and the ranges in it that matter. Follows edits,
 * and knows at any time whether the piece still stands in the document as it was.
 */
import * as vscode from 'vscode';
import { rangeToRead, shifted, type ContextText } from '../editor/context';
import { contextOf, documentName, rangeOf } from '../editor/document';
import type { TextRange } from '../protocol/engine';
import { LensError } from '../protocol/errors';
import type { ContextKind, SubjectSummary } from '../protocol/view';

/** Schemes that no file system stands behind, and that can be edited all the same. */
const WRITABLE = ['untitled', 'vscode-notebook-cell'];

export class Subject {
  readonly text: string;
  readonly kind: ContextKind;
  private window: TextRange;
  private currentAnchors: TextRange[];
  private isStale = false;

  private constructor(
    readonly uri: vscode.Uri,
    context: ContextText,
    anchors: readonly TextRange[],
    private line: number,
  ) {
    this.text = context.text;
    this.kind = context.kind;
    this.window = { start: context.windowStart, end: context.windowStart + context.text.length };
    this.currentAnchors = [...anchors];
  }

  /** `anchors` are document offsets. Throws `bad-input` when there are none or they lie too far apart. */
  static capture(document: vscode.TextDocument, anchors: readonly TextRange[], kind: ContextKind): Subject {
    const context = contextOf(document, anchors, kind);
    return new Subject(document.uri, context, anchors, document.positionAt(anchors[0]?.start ?? 0).line + 1);
  }

  /** Exactly this range (document offsets), without text around it. Throws `bad-input` when it is too long. */
  static exact(document: vscode.TextDocument, range: TextRange): Subject {
    rangeToRead([range]);
    const context: ContextText = {
      text: document.getText(rangeOf(document, range)),
      windowStart: range.start,
      kind: 'window',
    };
    return new Subject(document.uri, context, [range], document.positionAt(range.start).line + 1);
  }

  /** As it was saved; whether it still stands in its document, `compare` says. `anchor` in the document. */
  static restored(uri: vscode.Uri, context: ContextText, anchor: TextRange): Subject {
    return new Subject(uri, context, [anchor], 1);
  }

  /** Where the text stands in the document now, if it still does. */
  get windowStart(): number {
    return this.window.start;
  }

  /** The document does not contain the text at its place any more. */
  get stale(): boolean {
    return this.isStale;
  }

  /** The ranges of interest in the document, moved along with edits. */
  get anchors(): readonly TextRange[] {
    return this.currentAnchors;
  }

  /** Null when it was closed. */
  get document(): vscode.TextDocument | null {
    const key = this.uri.toString();
    return (
      vscode.workspace.textDocuments.find((document) => !document.isClosed && document.uri.toString() === key) ?? null
    );
  }

  /** Open, writable, and unchanged here. */
  get canEdit(): boolean {
    if (this.isStale || this.document === null) return false;
    const { scheme } = this.uri;
    return WRITABLE.includes(scheme) || vscode.workspace.fs.isWritableFileSystem(scheme) === true;
  }

  summary(): SubjectSummary {
    return {
      document: documentName(this.uri),
      line: this.line,
      context: this.kind,
      windowStart: this.window.start,
      stale: this.isStale,
    };
  }

  /** Document offsets as offsets of `text`, cut to it. */
  toLocal({ start, end }: TextRange): TextRange {
    const at = (offset: number): number => Math.min(Math.max(offset - this.window.start, 0), this.text.length);
    return { start: at(start), end: at(end) };
  }

  toDocument({ start, end }: TextRange): TextRange {
    return { start: start + this.window.start, end: end + this.window.start };
  }

  /** True when something that people see has changed. */
  onEdit(event: vscode.TextDocumentChangeEvent): boolean {
    if (event.contentChanges.length === 0 || event.document.uri.toString() !== this.uri.toString()) return false;
    for (const change of event.contentChanges) {
      const edit = { offset: change.rangeOffset, length: change.rangeLength, inserted: change.text.length };
      this.window = shifted(this.window, edit);
      this.currentAnchors = this.currentAnchors.map((anchor) => shifted(anchor, edit));
    }
    const before = this.summary();
    this.compare(event.document);
    return before.stale !== this.isStale || before.line !== this.line || before.windowStart !== this.window.start;
  }

  /** Looks again whether the text stands there, for example after the document was opened anew. */
  compare(document: vscode.TextDocument): void {
    const { start } = this.window;
    const range = rangeOf(document, { start, end: start + this.text.length });
    this.isStale = document.offsetAt(range.start) !== start || document.getText(range) !== this.text;
    const anchor = this.currentAnchors[0];
    if (anchor !== undefined) this.line = document.positionAt(anchor.start).line + 1;
  }

  /**
   * Selects a range of `text` in an editor, without taking the focus. Where the text has changed, selects the place.
   * Returns the selection, so that it can be told from one that the person made.
   */
  async reveal(local: TextRange): Promise<vscode.Selection> {
    const document = await this.open();
    const range = rangeOf(document, this.isStale ? (this.currentAnchors[0] ?? this.window) : this.toDocument(local));
    const visible = vscode.window.visibleTextEditors.find((editor) => editor.document === document);
    const editor = await vscode.window.showTextDocument(document, {
      ...(visible?.viewColumn === undefined ? {} : { viewColumn: visible.viewColumn }),
      preserveFocus: true,
      preview: true,
    });
    editor.revealRange(range, vscode.TextEditorRevealType.InCenterIfOutsideViewport);
    const selection = new vscode.Selection(range.start, range.end);
    editor.selection = selection;
    return selection;
  }

  /** Replaces ranges of `text` in the document as one undo step. Throws `bad-input` when the document changed meanwhile. */
  async replace(edits: readonly { range: TextRange; text: string }[]): Promise<void> {
    const { document } = this;
    if (document !== null) this.compare(document);
    if (document !== null && this.isStale) {
      throw new LensError(
        'bad-input',
        `“${documentName(this.uri)}” was changed here since the prediction.`,
        'Predict again, then insert.',
      );
    }
    if (document === null || !this.canEdit) {
      throw new LensError(
        'bad-input',
        `“${documentName(this.uri)}” cannot be changed: it is closed or read-only.`,
        'Open the document and predict again.',
      );
    }
    const edit = new vscode.WorkspaceEdit();
    for (const { range, text } of edits) edit.replace(this.uri, rangeOf(document, this.toDocument(range)), text);
    if (!(await vscode.workspace.applyEdit(edit)))
      throw new LensError(
        'bad-input',
        `VS Code did not apply the change to “${documentName(this.uri)}”.`,
        'Try again.',
      );
  }

  /** The same text with other ranges of interest (document offsets). */
  withAnchors(anchors: readonly TextRange[]): Subject {
    const context = { text: this.text, windowStart: this.window.start, kind: this.kind };
    const subject = new Subject(this.uri, context, anchors, this.line);
    if (this.document !== null) subject.compare(this.document);
    return subject;
  }

  /** The same place as it reads now. */
  async recapture(kind: ContextKind): Promise<Subject> {
    return Subject.capture(await this.open(), this.currentAnchors, kind);
  }

  /** What stands now exactly where the text stood. */
  async recaptureExactly(): Promise<Subject> {
    return Subject.exact(await this.open(), this.window);
  }

  private async open(): Promise<vscode.TextDocument> {
    const { document } = this;
    if (document !== null) return document;
    if (this.uri.scheme === 'untitled')
      throw new LensError(
        'bad-input',
        `“${documentName(this.uri)}” was closed without being saved.`,
        'Predict in another document.',
      );
    try {
      const opened = await vscode.workspace.openTextDocument(this.uri);
      this.compare(opened);
      return opened;
    } catch (cause) {
      throw new LensError(
        'bad-input',
        `“${documentName(this.uri)}” can no longer be opened.`,
        'Predict in another document.',
        {
          cause,
        },
      );
    }
  }
}
