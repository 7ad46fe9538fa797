/** What the model says beside the line that was asked, and the details in the hover. */
import * as vscode from 'vscode';
import { COMMANDS, CONTEXT_KEYS } from '../commands/ids';
import * as settings from '../commands/settings';
import { changesText, modelName, shortened, visible } from '../protocol/format';
import type { LineResult, LineResults } from '../testing/lineResults';
import { againText, detailLines, hintText, verdictOf } from './probeText';

/** Whatever the language: a blank may stand in any text. */
const SELECTOR: vscode.DocumentSelector = [
  { scheme: 'file' },
  { scheme: 'untitled' },
  { scheme: 'vscode-notebook-cell' },
  { scheme: 'vscode-remote' },
];
/** Hints are drawn again so often at most while a run goes on. */
const REFRESH_MS = 150;
const MAX_QUESTION = 100;

class ProbeHint extends vscode.InlayHint {
  constructor(
    position: vscode.Position,
    label: string,
    readonly result: LineResult,
  ) {
    super(position, label);
    this.paddingLeft = true;
  }
}

export class ProbeHints implements vscode.InlayHintsProvider<ProbeHint>, vscode.HoverProvider, vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChangeInlayHints = this.changed.event;
  private readonly subscriptions: vscode.Disposable[];
  private timer: NodeJS.Timeout | null = null;
  private refreshedAt = 0;
  private shown = false;

  constructor(private readonly results: LineResults) {
    this.subscriptions = [
      this.changed,
      results.onDidChange(() => this.refresh()),
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration('onnxLens.probes')) this.changed.fire();
      }),
      vscode.languages.registerInlayHintsProvider(SELECTOR, this),
      vscode.languages.registerHoverProvider(SELECTOR, this),
    ];
  }

  dispose(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    for (const subscription of this.subscriptions) subscription.dispose();
  }

  provideInlayHints(document: vscode.TextDocument, range: vscode.Range): ProbeHint[] {
    const { inlayHints, hintCount, passRank } = settings.probes();
    if (!inlayHints || this.results.empty) return [];
    const hints: ProbeHint[] = [];
    const last = Math.min(range.end.line, document.lineCount - 1);
    for (let line = range.start.line; line <= last; line++)
      for (const [index, result] of this.results.at(document, line).entries()) {
        const { fact, relation, outdated, changes } = result;
        // The same fact by a relation's templates: its predictions are in the details.
        const text =
          index === 0 ? hintText(fact, relation.ranking, passRank, hintCount) : againText(fact, relation, passRank);
        const changed = changes.length === 0 ? text : `${text} · ${vscode.l10n.t('with {0}', changesText(changes, 1))}`;
        const label = outdated ? `${changed} · ${vscode.l10n.t('before the last change')}` : changed;
        hints.push(new ProbeHint(document.lineAt(line).range.end, ` ${label}`, result));
      }
    return hints;
  }

  resolveInlayHint(hint: ProbeHint): ProbeHint {
    hint.tooltip = this.details([hint.result]);
    return hint;
  }

  provideHover(document: vscode.TextDocument, position: vscode.Position): vscode.Hover | undefined {
    if (this.results.empty) return undefined;
    const found = this.results.at(document, position.line);
    if (found.length === 0) return undefined;
    return new vscode.Hover(this.details(found), document.lineAt(position.line).range);
  }

  private details(found: readonly LineResult[]): vscode.MarkdownString {
    const content = new vscode.MarkdownString('', false);
    content.supportHtml = false;
    content.isTrusted = { enabledCommands: [COMMANDS.showProbes, COMMANDS.clearProbeResults] };
    const { passRank } = settings.probes();
    for (const { fact, relation, model, outdated, changes } of found) {
      const { passed } = verdictOf(fact, relation.ranking, passRank);
      const question = shortened(fact.sentence ?? fact.subject ?? '', MAX_QUESTION);
      const answers = fact.answers.map(visible).join(' | ');
      content.appendText(
        `${passed === null ? '' : passed ? '✓ ' : '✗ '}${question}${answers === '' ? '' : ` → ${answers}`}`,
      );
      content.appendCodeblock(
        detailLines(fact, relation.templates, relation.ranking, relation.words === null ? 'model' : 'file').join('\n'),
        'text',
      );
      content.appendText(
        [
          visible(relation.id),
          visible(modelName(model, changes)),
          ...(outdated ? [vscode.l10n.t('asked before candidates or vocabulary were changed')] : []),
        ].join(' · '),
      );
      content.appendMarkdown('\n\n');
    }
    content.appendMarkdown(
      [
        `[${vscode.l10n.t('Open Probes')}](command:${COMMANDS.showProbes})`,
        `[${vscode.l10n.t('Clear Results')}](command:${COMMANDS.clearProbeResults})`,
      ].join(' · '),
    );
    return content;
  }

  private refresh(): void {
    if (this.shown === this.results.empty) {
      this.shown = !this.results.empty;
      void vscode.commands.executeCommand('setContext', CONTEXT_KEYS.probesShown, this.shown);
    }
    // The first one at once: a person waits for it.
    const wait = Math.max(0, this.refreshedAt + REFRESH_MS - Date.now());
    this.timer ??= setTimeout(() => {
      this.timer = null;
      this.refreshedAt = Date.now();
      this.changed.fire();
    }, wait);
  }
}
