/**
 * What all views look at together: a place, a word in it, and what is changed in the model meanwhile. Commands set it, and the caret:
 * inside of the place it moves the target, outside it takes the place along only while somebody follows it.
 */
import * as vscode from 'vscode';
import * as settings from '../commands/settings';
import { selectedPair, sentencePair } from '../editor/sentencePair';
import { selectedRanges } from '../editor/document';
import type { ModelLibrary } from '../models/library';
import type { TextRange } from '../protocol/engine';
import { LensError } from '../protocol/errors';
import { plainScale, withIntervention, type Scale } from '../protocol/interventions';
import type { Target } from './attentionPlan';
import { Place } from './place';
import { Subject } from './subject';

const FOLLOW_DELAY_MS = 200;

/** `text`: the document was edited, opened or closed; the place may be stale now. */
export type SharedChange = 'place' | 'target' | 'interventions' | 'text';

export class SharedSubject implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<SharedChange>();
  readonly onDidChange = this.changed.event;
  private currentPlace: Place | null = null;
  private currentTarget: Target | null = null;
  private changes: readonly Scale[] = [];
  /** Places that are looked at by a view that was pinned. */
  private readonly held = new Set<Place>();
  private readonly followers = new Set<string>();
  private timer: NodeJS.Timeout | null = null;
  /** A selection that we made ourselves. */
  private revealed: vscode.Selection | null = null;
  private readonly subscriptions: vscode.Disposable[];

  constructor(library: ModelLibrary) {
    let model = library.selected?.ref.id;
    this.subscriptions = [
      library.onDidChange(() => {
        if (library.selected?.ref.id === model) return;
        model = library.selected?.ref.id;
        // Heads and neurons of another model are others.
        this.setInterventions([]);
      }),
      vscode.workspace.onDidChangeTextDocument((event) => {
        this.tell((place) => place.onEdit(event));
      }),
      vscode.workspace.onDidOpenTextDocument((document) => this.tell((place) => place.onDocument(document))),
      vscode.workspace.onDidCloseTextDocument((document) => this.tell((place) => place.onDocument(document))),
      vscode.window.onDidChangeTextEditorSelection((event) => this.onSelection(event)),
    ];
  }

  get place(): Place | null {
    return this.currentPlace;
  }

  get target(): Target | null {
    return this.currentTarget;
  }

  /** In force in every view. */
  get interventions(): readonly Scale[] {
    return this.changes;
  }

  show(place: Place, target: Target | null, interventions = this.changes): void {
    const present = this.currentPlace;
    if (present?.equals(place) === true && (target === null || present.reads(target))) {
      this.setTarget(target);
      this.setInterventions(interventions);
      return;
    }
    this.currentPlace = place;
    this.currentTarget = target;
    this.changed.fire('place');
    this.setInterventions(interventions);
  }

  /**
   * What is selected in its context; two selections are a pair; a caret means the word that it touches. Throws `bad-input` when nothing
   * is selected and no word is near.
   */
  showSelection(editor: vscode.TextEditor): void {
    const pair = selectedPair(editor);
    if (pair !== null) this.showTexts(editor.document, pair);
    else this.showRanges(editor.document, selectedRanges(editor).slice(0, 1));
  }

  /** Two selections, or two sentences, as a pair. Throws `bad-input` without a second one. */
  showPair(editor: vscode.TextEditor): void {
    this.showTexts(editor.document, sentencePair(editor));
  }

  showRanges(document: vscode.TextDocument, ranges: readonly TextRange[]): void {
    this.showSubject(Subject.capture(document, ranges, settings.contextKind(document)));
  }

  /** What a view looks at by itself; its first anchor is the target. */
  showSubject(subject: Subject): void {
    const own = subject.withAnchors(subject.anchors);
    const anchor = own.anchors[0];
    const range = anchor === undefined ? null : own.toLocal(anchor);
    this.show(new Place(own, null, range), range === null ? null : { text: 0, range });
  }

  /** The target, where the place has it; otherwise another place. Throws as `showRanges`. */
  moveTo(document: vscode.TextDocument, range: TextRange): void {
    const target = this.currentPlace?.find(document.uri, range) ?? null;
    if (target === null) this.showRanges(document, [range]);
    else this.setTarget(target);
  }

  setTarget(target: Target | null): void {
    const before = this.currentTarget;
    if (
      before?.text === target?.text &&
      before?.range.start === target?.range.start &&
      before?.range.end === target?.range.end
    )
      return;
    this.currentTarget = target;
    this.changed.fire('target');
  }

  /** Selects it in its editor. */
  async reveal(place: Place, { text, range }: Target): Promise<void> {
    this.revealed = await place.subjectOf(text).reveal(range);
  }

  /** The place as it reads now. */
  async recapture(): Promise<void> {
    const { currentPlace } = this;
    if (currentPlace === null) return;
    const place = await currentPlace.again();
    const anchor = place.around;
    this.show(place, anchor === null ? this.currentTarget : { text: 0, range: anchor });
  }

  intervene(change: Scale): void {
    this.setInterventions(withIntervention(this.changes, change));
  }

  setInterventions(changes: readonly Scale[]): void {
    const plain = changes.map(plainScale);
    if (JSON.stringify(plain) === JSON.stringify(this.changes)) return;
    this.changes = plain;
    this.changed.fire('interventions');
  }

  /** While somebody follows, the caret takes the place along. */
  follow(who: string, on: boolean): void {
    if (on) this.followers.add(who);
    else this.followers.delete(who);
  }

  /** Edits are told to it too, though it may be another one than the present place. */
  hold(place: Place): void {
    this.held.add(place);
  }

  release(place: Place): void {
    this.held.delete(place);
  }

  dispose(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    for (const subscription of this.subscriptions) subscription.dispose();
    this.changed.dispose();
  }

  private showTexts(document: vscode.TextDocument, [first, second]: [TextRange, TextRange]): void {
    this.show(new Place(Subject.exact(document, first), Subject.exact(document, second), null), null);
  }

  private tell(change: (place: Place) => boolean): void {
    const places = new Set(this.held);
    if (this.currentPlace !== null) places.add(this.currentPlace);
    let seen = false;
    for (const place of places) seen = change(place) || seen;
    if (seen) this.changed.fire('text');
  }

  private onSelection({ textEditor, selections }: vscode.TextEditorSelectionChangeEvent): void {
    const [only] = selections;
    if (textEditor !== vscode.window.activeTextEditor || only === undefined || selections.length > 1) return;
    if (this.revealed?.isEqual(only) === true) return;
    this.revealed = null;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    const { document } = textEditor;
    const { currentPlace } = this;
    if (currentPlace === null && this.followers.size === 0) return;
    const [range] = selectedRanges(textEditor);
    if (range === undefined) return; // a caret in white space: the last word stays
    const target = currentPlace?.find(document.uri, range) ?? null;
    if (target !== null) this.setTarget(target);
    else if (this.followers.size > 0) this.timer = setTimeout(() => this.takeAlong(textEditor), FOLLOW_DELAY_MS);
  }

  private takeAlong(editor: vscode.TextEditor): void {
    this.timer = null;
    const { document } = editor;
    if (document.isClosed || document.uri.scheme === 'output') return;
    const [range] = selectedRanges(editor);
    if (range === undefined) return;
    try {
      this.showRanges(document, [range]);
    } catch {
      // more is selected than can be looked at
    }
  }
}

/** Throws `bad-input`: there is nothing to look at yet. */
export function requirePlace(place: Place | null): Place {
  if (place !== null) return place;
  throw new LensError(
    'bad-input',
    'There is no text to look at yet.',
    'Put the caret on a word and run “Show Attention”.',
  );
}
