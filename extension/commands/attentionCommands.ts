/** Commands on attention: the view, the colours in the document, heads, work over files, saved states. */
import * as vscode from 'vscode';
import type { AttentionColors } from '../editor/attentionColors';
import { openAttentionState, saveAttentionState, type AttentionFileParts } from '../panels/attentionFiles';
import type { WorkKind } from '../panels/fileWork';
import type { ViewPlaces } from '../panels/lensView';
import type { AttentionPage } from '../protocol/attentionView';
import { SAVED_EXTENSION } from '../protocol/savedAttention';
import { activeEditor, hoverPlace, linkedDocument } from './editors';
import { COMMANDS, type CommandHandler, type CommandId } from './ids';

export interface AttentionParts extends AttentionFileParts {
  colors: AttentionColors;
  view: ViewPlaces;
}

export function attentionCommands(parts: AttentionParts) {
  const { shared, attention, colors } = parts;

  // The view shows progress and errors, so it opens while the model still computes.
  const show = async (page?: AttentionPage): Promise<void> => {
    parts.view.reveal();
    await attention.show(page);
  };
  /** What is looked at; first the editor's text, when it is another one. */
  const look = (): void => {
    const editor = vscode.window.activeTextEditor;
    if (editor !== undefined) shared.showSelection(editor);
    else if (shared.place === null) activeEditor();
  };
  const overFiles = async (kind: WorkKind, argument: unknown): Promise<void> => {
    const uris = [argument].flat().filter((uri) => uri instanceof vscode.Uri);
    const work = uris.length > 0 ? attention.work.start(kind, uris) : attention.work.choose(kind);
    await Promise.all([work, show(kind)]);
  };

  return {
    [COMMANDS.showAttention]: async () => {
      shared.showSelection(activeEditor());
      await show();
    },
    [COMMANDS.showAttentionAt]: async (argument) => {
      const place = hoverPlace(argument);
      shared.showRanges(linkedDocument(place), [place]);
      await show();
    },
    [COMMANDS.showAttentionPair]: async () => {
      shared.showPair(activeEditor());
      await show();
    },
    [COMMANDS.showAttentionInDocument]: async () => {
      shared.showSelection(activeEditor());
      await colors.show();
    },
    [COMMANDS.hideAttentionInDocument]: () => colors.hide(),
    [COMMANDS.openAttentionInEditor]: () => parts.view.openInEditor(),
    [COMMANDS.whichHeads]: async () => {
      look();
      parts.view.reveal();
      // The view offers the rest, which takes several times as long.
      await attention.ablate({ mean: false, importance: false });
    },
    [COMMANDS.nextHead]: () => attention.step(1),
    [COMMANDS.previousHead]: () => attention.step(-1),
    [COMMANDS.headStatistics]: (argument) => overFiles('corpus', argument),
    [COMMANDS.headRelations]: (argument) => overFiles('relations', argument),
    [COMMANDS.keepForComparison]: () => attention.keepForComparison(),
    [COMMANDS.saveAttentionState]: () => saveAttentionState(parts),
    [COMMANDS.openAttentionState]: async (argument) => {
      const file = argument instanceof vscode.Uri ? argument : await askForState();
      if (file === undefined) return;
      parts.view.reveal();
      await openAttentionState(parts, file);
    },
  } satisfies Partial<Record<CommandId, CommandHandler>>;
}

async function askForState(): Promise<vscode.Uri | undefined> {
  const chosen = await vscode.window.showOpenDialog({
    canSelectMany: false,
    filters: { [vscode.l10n.t('Attention State')]: [SAVED_EXTENSION, 'json'] },
    title: vscode.l10n.t('Open Attention State'),
  });
  return chosen?.[0];
}
