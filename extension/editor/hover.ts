/** What the model expected at the word under the pointer. Quick or nothing: loads no model unless the person says so. */
import * as vscode from 'vscode';
import { COMMANDS } from '../commands/ids';
import { log } from '../commands/notify';
import * as settings from '../commands/settings';
import type { EngineService } from '../models/engineService';
import type { ModelLibrary } from '../models/library';
import type { SharedSubject } from '../panels/sharedSubject';
import type { FillMaskResult, TextRange } from '../protocol/engine';
import { isSilent, LensError } from '../protocol/errors';
import { bits, count, modelName, probability, shortened, signed, textBar, visible } from '../protocol/format';
import type { Scale } from '../protocol/interventions';
import { contextOf, rangeOf, wordRange } from './document';

const TOP = 5;
const BAR_CELLS = 10;
/** Longer words are cut. */
const MAX_WORD = 20;
/** Pieces of one word that get a list each. */
const MAX_LISTS = 3;
const CACHE_LENGTH = 32;
const TRUSTED = {
  enabledCommands: [
    COMMANDS.maskRange,
    COMMANDS.openCloze,
    COMMANDS.showAttentionAt,
    COMMANDS.loadModel,
    COMMANDS.surprisal,
  ],
};

export class ExpectationHover implements vscode.HoverProvider {
  /** Keys hold the document's version, so nothing in here can be out of date. */
  private readonly cache = new Map<string, FillMaskResult>();

  constructor(
    private readonly engine: EngineService,
    private readonly library: ModelLibrary,
    private readonly shared: SharedSubject,
  ) {}

  async provideHover(
    document: vscode.TextDocument,
    position: vscode.Position,
    token: vscode.CancellationToken,
  ): Promise<vscode.Hover | undefined> {
    const model = this.library.selected;
    if (!settings.hoverEnabled() || model === undefined) return undefined;
    const range = wordRange(document, document.offsetAt(position), false);
    if (range === null) return undefined;
    const place = rangeOf(document, range);
    if (model.state !== 'ready') {
      const policy = settings.hoverWhenNotLoaded();
      if (policy === 'nothing' || model.state === 'failed') return undefined;
      if (policy === 'ask') return new vscode.Hover(this.notLoaded(model.ref.id, model.state), place);
    }
    try {
      const { interventions } = this.shared;
      const result = await this.expect(document, range, interventions);
      if (token.isCancellationRequested || document.isClosed) return undefined;
      return new vscode.Hover(this.describe(document, range, result, interventions), place);
    } catch (thrown) {
      const error = LensError.from(thrown);
      if (!isSilent(error)) log().warn(`[hover] [${error.code}] ${error.message}`);
      return undefined;
    }
  }

  private async expect(
    document: vscode.TextDocument,
    range: TextRange,
    interventions: readonly Scale[],
  ): Promise<FillMaskResult> {
    const { ref } = this.library.require();
    const kind = settings.contextKind(document);
    const changes = interventions.length === 0 ? {} : { interventions: [...interventions] };
    const key = JSON.stringify([document.uri, document.version, range, ref.folder, kind, changes]);
    const known = this.cache.get(key);
    if (known !== undefined) return known;
    const { text, windowStart } = contextOf(document, [range], kind);
    const target = { range: { start: range.start - windowStart, end: range.end - windowStart } };
    // Not stopped when the pointer moves on: in the middle of a run, or of loading, that would end the engine with all it holds.
    const result = await this.engine.request(
      'fillMask',
      { model: ref, text, targets: [target], topK: TOP, ...changes },
      { supersedes: 'hover' },
    );
    this.cache.set(key, result);
    const oldest = this.cache.keys().next().value;
    if (this.cache.size > CACHE_LENGTH && oldest !== undefined) this.cache.delete(oldest);
    return result;
  }

  private notLoaded(id: string, state: string): vscode.MarkdownString {
    const content = markdown();
    content.appendMarkdown('**ONNX Lens** · ');
    content.appendText(visible(id));
    if (state === 'loading') content.appendText(` ${vscode.l10n.t('is loading…')}`);
    else {
      content.appendText(` ${vscode.l10n.t('is not loaded.')} `);
      content.appendMarkdown(link(vscode.l10n.t('Load it'), COMMANDS.loadModel, []));
    }
    return content;
  }

  private describe(
    document: vscode.TextDocument,
    range: TextRange,
    result: FillMaskResult,
    interventions: readonly Scale[],
  ): vscode.MarkdownString {
    const content = markdown();
    const lists = result.masks.slice(0, MAX_LISTS);
    for (const mask of lists) {
      const rows = mask.predictions.slice(0, TOP);
      const best = rows[0]?.prob ?? 1;
      const width = Math.max(...rows.map(({ text }) => Array.from(shortened(text.trim(), MAX_WORD)).length), 4);
      const lines = rows.map(({ text, prob, logprob }) => {
        const name = shortened(text.trim(), MAX_WORD);
        const padding = ' '.repeat(width - Array.from(name).length);
        return `${name}${padding}  ${textBar(prob / best, BAR_CELLS)}  ${probability(prob).padStart(5)}  ${signed(logprob).padStart(6)}`;
      });
      if (mask.actual !== null) content.appendText(actualLine(mask.actual, result));
      content.appendCodeblock(lines.join('\n'), 'text');
    }
    const more = result.masks.length - lists.length;
    const side = result.kind === 'causal' ? vscode.l10n.t('left side only') : vscode.l10n.t('both sides');
    const pieces =
      result.masks.length > 1 ? ` · ${vscode.l10n.t('{0} tokens masked together', result.masks.length)}` : '';
    content.appendText(
      `${modelName(result.model, interventions)} · ${side}${pieces}${more > 0 ? ` · ${vscode.l10n.t('{0} more in the view', more)}` : ''}`,
    );
    content.appendMarkdown('\n\n');
    const place = { uri: document.uri.toString(), version: document.version, ...range };
    content.appendMarkdown(
      [
        link(vscode.l10n.t('Mask'), COMMANDS.maskRange, [place]),
        link(vscode.l10n.t('Open Cloze'), COMMANDS.openCloze, []),
        link(vscode.l10n.t('Attention'), COMMANDS.showAttentionAt, [place]),
        link(vscode.l10n.t('Color by Surprisal'), COMMANDS.surprisal, []),
      ].join(' · '),
    );
    return content;
  }
}

function actualLine(actual: NonNullable<FillMaskResult['masks'][number]['actual']>, result: FillMaskResult): string {
  return [
    shortened(actual.text.trim(), MAX_WORD),
    vscode.l10n.t('rank {0} of {1}', count(actual.rank), count(result.vocabSize)),
    `p ${probability(actual.prob)}`,
    vscode.l10n.t('{0} bits', bits(actual.logprob)),
  ].join(' · ');
}

function markdown(): vscode.MarkdownString {
  const content = new vscode.MarkdownString('', false);
  content.isTrusted = TRUSTED;
  content.supportHtml = false;
  return content;
}

/** `title` is ours, never a document's. */
function link(title: string, command: string, parameters: unknown[]): string {
  // A parenthesis in a file's name would end the link.
  const encoded = encodeURIComponent(JSON.stringify(parameters)).replace(/[()]/g, (sign) =>
    sign === '(' ? '%28' : '%29',
  );
  const query = parameters.length === 0 ? '' : `?${encoded}`;
  return `[${title}](command:${command}${query})`;
}

/** Registers the hover for the languages of the setting, again whenever that changes. */
export function registerHover(hover: ExpectationHover): vscode.Disposable {
  let registration: vscode.Disposable | undefined;
  const register = (): void => {
    registration?.dispose();
    const selector = settings.hoverLanguages().map((language) => ({ language }));
    registration =
      settings.hoverEnabled() && selector.length > 0
        ? vscode.languages.registerHoverProvider(selector, hover)
        : undefined;
  };
  register();
  const subscription = vscode.workspace.onDidChangeConfiguration((event) => {
    if (event.affectsConfiguration('onnxLens.hover')) register();
  });
  return vscode.Disposable.from(subscription, {
    dispose: () => {
      registration?.dispose();
    },
  });
}
