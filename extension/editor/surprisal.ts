/**
 * Colours the tokens of a text by their surprisal: how many bits the model needed for each in its context. Each token masked
 * alone (masked models) or given what stands left of it (causal models).
 */
import * as vscode from 'vscode';
import { COMMANDS, CONTEXT_KEYS } from '../commands/ids';
import { signalOf } from '../commands/notify';
import * as settings from '../commands/settings';
import type { EngineService } from '../models/engineService';
import type { ModelLibrary } from '../models/library';
import type { SharedSubject } from '../panels/sharedSubject';
import type { ScoreResult, TextRange } from '../protocol/engine';
import { LensError } from '../protocol/errors';
import {
  bits,
  count,
  modelName,
  perplexity,
  precise,
  probability,
  readable,
  share,
  shortened,
  signed,
} from '../protocol/format';
import type { ContextKind } from '../protocol/view';
import { chooseContext, cutPoint } from './context';
import { contextOf, documentName, rangeOf, readRange } from './document';
import { ScoredText, type ScoredToken } from './scoredText';
import { SURPRISAL_BITS, surprisalStep } from './surprisalScale';
import { shadeDecorations, type Shade } from './shades';

/** Longer texts are scored in pieces, one request each. */
const PIECE = 16_000;
/** Read on both sides of a piece, so that its first and last tokens have their context. */
const PIECE_CONTEXT = 2_000;
/** More decorations than this make an editor slow. */
const MAX_CHARACTERS = 100_000;
/** Read at once in search of the next word. */
const LOOK_AHEAD = 1_000;
const DRAW_EVERY_MS = 250;
/** Of a token in a hover; longer ones are cut. */
const MAX_WORD = 40;
/** The more there is to draw, the more seldom: at most this part of the time. */
const DRAW_SHARE = 0.05;
/** One for each step of surprisal (surprisalScale.ts). In high contrast, where backgrounds are transparent, lines under the words say it. */
const SHADES: readonly Shade[] = [
  { line: 'none', width: 0 },
  { line: 'dotted', width: 1 },
  { line: 'dotted', width: 2 },
  { line: 'dashed', width: 2 },
  { line: 'solid', width: 1 },
  { line: 'solid', width: 2 },
  { line: 'double', width: 3 },
];

export interface SurprisalShown {
  uri: vscode.Uri;
  model: string;
  kind: ScoreResult['kind'] | null;
  scored: ScoredText;
  /** What was asked for, and how much of it is done, in characters. */
  characters: number;
  done: number;
  /** Characters behind `characters` that are too many to be coloured. */
  beyond: number;
  /** The first token has no probability: nothing stands left of it. */
  skippedFirst: boolean;
}

export class SurprisalController implements vscode.Disposable {
  private current: SurprisalShown | null = null;
  private abort: AbortController | null = null;
  private nextDraw = 0;
  private drawTimer: NodeJS.Timeout | null = null;
  /** Tokens are made anew when an edit moves them. */
  private readonly places = new WeakMap<ScoredToken, vscode.Range>();
  private readonly decorations: vscode.TextEditorDecorationType[];
  private readonly legend: vscode.StatusBarItem;
  private readonly subscriptions: vscode.Disposable[];

  constructor(
    private readonly engine: EngineService,
    private readonly library: ModelLibrary,
    private readonly shared: SharedSubject,
  ) {
    this.decorations = shadeDecorations('surprisal', SHADES);
    this.legend = vscode.window.createStatusBarItem('onnxLens.surprisal', vscode.StatusBarAlignment.Right, 89);
    this.legend.name = vscode.l10n.t('ONNX Lens Surprisal');
    this.legend.command = COMMANDS.clearSurprisal;
    this.subscriptions = [
      ...this.decorations,
      this.legend,
      vscode.workspace.onDidChangeTextDocument((event) => this.onEdit(event)),
      vscode.window.onDidChangeVisibleTextEditors(() => this.draw()),
      vscode.languages.registerHoverProvider('*', {
        provideHover: (document, position) => this.hover(document, position),
      }),
    ];
  }

  /** What is coloured now. */
  get shown(): SurprisalShown | null {
    return this.current;
  }

  /** Colours the selection, or the document when nothing is selected. Fails with a `LensError`; what was done stays. */
  async show(
    { document, selection }: vscode.TextEditor,
    signal: AbortSignal,
    report: (done: number, message: string) => void,
  ): Promise<void> {
    const { ref } = this.library.require();
    const { interventions } = this.shared;
    const wanted = selection.isEmpty
      ? { start: 0, end: document.offsetAt(document.lineAt(document.lineCount - 1).range.end) }
      : { start: document.offsetAt(selection.start), end: document.offsetAt(selection.end) };
    const range = { start: wanted.start, end: Math.min(wanted.end, wanted.start + MAX_CHARACTERS) };
    this.clear();
    // A left-to-right model reads a long context in one pass; a masked one needs a pass over it for every token.
    const causal = (await this.engine.info(ref, { signal })).kind === 'causal';
    const kind = causal ? 'window' : settings.contextKind(document);
    const shown: SurprisalShown = {
      uri: document.uri,
      model: modelName(ref.id, interventions),
      kind: null,
      scored: new ScoredText(),
      characters: range.end - range.start,
      done: 0,
      beyond: wanted.end - range.end,
      skippedFirst: false,
    };
    const abort = new AbortController();
    this.abort = abort;
    this.current = shown;
    this.setContext(true);
    try {
      for (const piece of pieces(document, range, kind)) {
        const result = await this.engine.request(
          'score',
          {
            ...{ model: ref, text: piece.text, range: piece.range },
            ...(interventions.length === 0 ? {} : { interventions: [...interventions] }),
          },
          {
            signal: AbortSignal.any([signal, abort.signal]),
            supersedes: 'surprisal',
            progress: ({ message, fraction, partial }) => {
              if (this.current !== shown) return;
              if (partial !== undefined) shown.scored.addEarly(partial, piece.windowStart);
              const characters = piece.range.end - piece.range.start;
              report((shown.done + (fraction ?? 0) * characters) / Math.max(shown.characters, 1), message);
              if (performance.now() >= this.nextDraw) this.draw();
            },
          },
        );
        if (this.current !== shown) return;
        shown.kind = result.kind;
        shown.skippedFirst ||= result.skippedFirst && piece.range.start === 0;
        shown.scored.add(result, piece.windowStart);
        shown.done = piece.windowStart + piece.range.end - range.start;
        if (performance.now() >= this.nextDraw) this.draw();
      }
      shown.done = shown.characters;
      this.draw();
      if (shown.scored.count === 0)
        throw new LensError('bad-input', 'There is nothing to score here.', 'Select some text and try again.');
    } catch (thrown) {
      if (this.current === shown) {
        if (shown.scored.tokens.length === 0) this.clear();
        else this.draw();
      }
      throw thrown;
    } finally {
      if (this.abort === abort) this.abort = null;
    }
  }

  clear(): void {
    this.abort?.abort();
    this.abort = null;
    if (this.current === null) return;
    this.current = null;
    this.setContext(false);
    this.draw();
  }

  dispose(): void {
    this.abort?.abort();
    if (this.drawTimer !== null) clearTimeout(this.drawTimer);
    for (const subscription of this.subscriptions) subscription.dispose();
  }

  private setContext(on: boolean): void {
    void vscode.commands.executeCommand('setContext', CONTEXT_KEYS.surprisalShown, on);
  }

  private draw(): void {
    const began = performance.now();
    const { current } = this;
    const key = current?.uri.toString();
    for (const editor of vscode.window.visibleTextEditors) {
      const steps: vscode.Range[][] = this.decorations.map(() => []);
      if (current !== null && editor.document.uri.toString() === key)
        for (const token of current.scored.tokens)
          steps[surprisalStep(token.logprob)]?.push(this.placeOf(editor.document, token));
      this.decorations.forEach((decoration, step) => editor.setDecorations(decoration, steps[step] ?? []));
    }
    this.drawLegend();
    const now = performance.now();
    this.nextDraw = now + Math.max(DRAW_EVERY_MS, (now - began) / DRAW_SHARE);
  }

  private placeOf(document: vscode.TextDocument, token: ScoredToken): vscode.Range {
    const known = this.places.get(token);
    if (known !== undefined) return known;
    const place = rangeOf(document, token.range);
    this.places.set(token, place);
    return place;
  }

  private drawLegend(): void {
    const { current } = this;
    if (current === null) {
      this.legend.hide();
      return;
    }
    const { scored, characters, done, beyond, skippedFirst, kind, model, uri } = current;
    const fraction = characters === 0 ? 1 : done / characters;
    const partly = fraction < 1 ? ` · ${share(fraction)}` : '';
    this.legend.text =
      scored.count === 0
        ? `$(symbol-color) ${vscode.l10n.t('Surprisal…')}`
        : `$(symbol-color) ${vscode.l10n.t('PPL {0}', perplexity(scored.perplexity))} · ${kind === 'log-likelihood' ? 'log p' : 'PLL'} ${signed(scored.total)}${partly}`;
    const tooltip = new vscode.MarkdownString('', true);
    const label: string[] = [];
    const line = (text: string): void => {
      label.push(text);
      tooltip.appendText(text);
      tooltip.appendMarkdown('\n\n');
    };
    line(vscode.l10n.t('Surprisal of {0} · {1}', documentName(uri), model));
    if (scored.count > 0) {
      const name = kind === 'log-likelihood' ? vscode.l10n.t('Log-likelihood') : vscode.l10n.t('Pseudo-log-likelihood');
      line(
        `${name} ${precise(scored.total)} · ${vscode.l10n.t('{0} tokens', count(scored.count))} · ${vscode.l10n.t('perplexity {0}', precise(scored.perplexity))}`,
      );
      line(vscode.l10n.t('{0} bits a token on average', bits(scored.total / scored.count)));
    }
    if (fraction < 1) line(vscode.l10n.t('{0} of the text was scored.', share(fraction)));
    if (beyond > 0) line(vscode.l10n.t('The last {0} characters were left out: too many to color.', count(beyond)));
    if (skippedFirst) line(vscode.l10n.t('The first token has no probability: nothing stands left of it.'));
    if (scored.changed) line(vscode.l10n.t('The text was changed since; the sums belong to the text as it was.'));
    tooltip.appendCodeblock(this.scale(), 'text');
    line(vscode.l10n.t('Click to clear the colors.'));
    this.legend.tooltip = tooltip;
    this.legend.accessibilityInformation = { label: label.join(', '), role: 'button' };
    this.legend.show();
  }

  private scale(): string {
    const shades = ['  ', '░░', '▒░', '▒▒', '▓▒', '▓▓', '██'];
    return shades
      .map((shade, step) => {
        const from = step === 0 ? 0 : SURPRISAL_BITS[step - 1];
        const to = SURPRISAL_BITS[step];
        return `${shade}  ${to === undefined ? `≥ ${from}` : `${from}–${to}`} bits`;
      })
      .join('\n');
  }

  private hover(document: vscode.TextDocument, position: vscode.Position): vscode.Hover | undefined {
    const { current } = this;
    if (current?.uri.toString() !== document.uri.toString()) return undefined;
    const token = current.scored.at(document.offsetAt(position));
    if (token === undefined) return undefined;
    const content = new vscode.MarkdownString();
    content.appendText(describeToken(token));
    return new vscode.Hover(content, rangeOf(document, token.range));
  }

  private onEdit(event: vscode.TextDocumentChangeEvent): void {
    const { current } = this;
    if (current === null || event.contentChanges.length === 0) return;
    if (event.document.uri.toString() !== current.uri.toString()) return;
    // What is still being computed counts in offsets of the old text.
    this.abort?.abort();
    for (const { rangeOffset, rangeLength, text } of event.contentChanges)
      current.scored.onEdit({ offset: rangeOffset, length: rangeLength, inserted: text.length });
    // The editor moves its decorations by itself; what was edited loses its colour when the typing pauses.
    if (this.drawTimer !== null) clearTimeout(this.drawTimer);
    this.drawTimer = setTimeout(() => this.draw(), DRAW_EVERY_MS);
  }
}

/** Runs the colouring under a progress notification with a cancel button. */
export async function colorBySurprisal(surprisal: SurprisalController, editor: vscode.TextEditor): Promise<void> {
  await vscode.window.withProgress(
    { location: vscode.ProgressLocation.Notification, title: vscode.l10n.t('Surprisal'), cancellable: true },
    async (progress, token) => {
      let reported = 0;
      await surprisal.show(editor, signalOf(token), (done, message) => {
        const increment = Math.max(0, done * 100 - reported);
        reported += increment;
        progress.report({ increment, message });
      });
    },
  );
}

export function describeToken({ token, logprob, rank }: ScoredToken): string {
  return [
    shortened(readable(token), MAX_WORD),
    vscode.l10n.t('{0} bits', bits(logprob)),
    `p ${probability(Math.exp(logprob))}`,
    `log p ${signed(logprob)}`,
    vscode.l10n.t('rank {0}', count(rank)),
  ].join(' · ');
}

interface Piece {
  text: string;
  windowStart: number;
  /** In `text`. */
  range: TextRange;
}

/** The range in pieces that one request can take; a selection that is short enough keeps its context. */
function* pieces(document: vscode.TextDocument, range: TextRange, kind: ContextKind): Generator<Piece> {
  if (kind === 'window') yield* windowPieces(document, range);
  else yield* contextPieces(document, range, kind);
}

/** Sentence by sentence (or paragraph by paragraph), each the context that the other views give its words too. */
function* contextPieces(document: vscode.TextDocument, range: TextRange, kind: ContextKind): Generator<Piece> {
  for (let start = range.start; start < range.end;) {
    const ahead = readRange(document, { start, end: Math.min(range.end, start + LOOK_AHEAD) }).text;
    const blank = ahead.search(/\S/u);
    if (blank < 0) {
      start += Math.max(1, ahead.length);
      continue;
    }
    start += blank;
    const first = { start, end: start + (isAstral(ahead, blank) ? 2 : 1) };
    const { text, windowStart } = contextOf(document, [first], kind);
    const end = Math.min(windowStart + text.length, range.end);
    yield { text, windowStart, range: { start: start - windowStart, end: end - windowStart } };
    start = Math.max(end, first.end);
  }
}

const isAstral = (text: string, at: number): boolean => (text.codePointAt(at) ?? 0) > 0xffff;

function* windowPieces(document: vscode.TextDocument, range: TextRange): Generator<Piece> {
  for (let start = range.start; start < range.end;) {
    const around = { start: Math.max(0, start - PIECE_CONTEXT), end: start + PIECE + PIECE_CONTEXT };
    const slice = readRange(document, around);
    const body = slice.text.slice(start - slice.start, Math.min(start + PIECE, range.end) - slice.start);
    const length = start + body.length >= range.end ? body.length : cutPoint(body, body.length - 1);
    if (length === 0) return;
    if (body.slice(0, length).trim() !== '') {
      const { text, windowStart } = chooseContext(slice, [{ start, end: start + length }], 'window');
      yield { text, windowStart, range: { start: start - windowStart, end: start + length - windowStart } };
    }
    start += length;
  }
}
