/** Commands on the text of an editor: mask, compare, colour, corrupt, next sentence. */
import * as vscode from 'vscode';
import { colorBySurprisal, type SurprisalController } from '../editor/surprisal';
import type { EngineService } from '../models/engineService';
import type { ModelLibrary } from '../models/library';
import { LensError } from '../protocol/errors';
import type { ClozeController } from '../panels/clozeController';
import type { ViewPlaces } from '../panels/lensView';
import type { ObjectivesController } from '../panels/objectivesController';
import { activeEditor, focusView, hoverPlace, linkedDocument } from './editors';
import { COMMANDS, VIEWS, type CommandHandler, type CommandId } from './ids';

export interface PredictionParts {
  engine: EngineService;
  models: ModelLibrary;
  cloze: ClozeController;
  objectives: ObjectivesController;
  surprisal: SurprisalController;
  clozeView: ViewPlaces;
}

export function predictionCommands(parts: PredictionParts) {
  const { cloze, objectives, surprisal } = parts;

  const showCloze = async (): Promise<void> => {
    if (parts.clozeView.audience() === 0) await focusView(VIEWS.cloze);
  };
  const mask = async (masks: number | 'auto'): Promise<void> => {
    const prediction = cloze.predictSelection(activeEditor(), masks);
    // The view shows progress and errors, so it opens while the model still computes.
    await Promise.all([prediction, showCloze()]);
  };

  return {
    [COMMANDS.maskSelection]: () => mask('auto'),
    [COMMANDS.predictMasks]: async () => {
      activeEditor();
      const answer = await vscode.window.showInputBox({
        title: vscode.l10n.t('Mask Selection and Predict'),
        prompt: vscode.l10n.t('How many masks stand for each selection?'),
        value: '2',
        validateInput: (value) =>
          /^(?:[1-9]|1[0-6])$/.test(value.trim()) ? undefined : vscode.l10n.t('A whole number from 1 to 16.'),
      });
      if (answer !== undefined) await mask(Number(answer));
    },
    [COMMANDS.maskRange]: async (place) => {
      const linked = hoverPlace(place);
      const { start, end } = linked;
      await Promise.all([cloze.predict(linkedDocument(linked), [{ start, end }]), showCloze()]);
    },
    [COMMANDS.compareCausal]: () => compare(parts, mask),
    [COMMANDS.surprisal]: () => colorBySurprisal(surprisal, activeEditor()),
    [COMMANDS.clearSurprisal]: () => surprisal.clear(),
    [COMMANDS.corruptSelection]: async () => {
      await Promise.all([objectives.corruptSelection(activeEditor()), focusView(VIEWS.objectives)]);
    },
    [COMMANDS.nextSentence]: async () => {
      await Promise.all([objectives.askNextSentence(activeEditor()), focusView(VIEWS.objectives)]);
    },
    [COMMANDS.toggleFollow]: () => cloze.setFollow(!cloze.state.follow),
    [COMMANDS.openCloze]: async () => {
      await vscode.commands.executeCommand(`${VIEWS.cloze}.focus`);
    },
    [COMMANDS.openClozeInEditor]: () => parts.clozeView.openInEditor(),
    [COMMANDS.openObjectives]: async () => {
      await vscode.commands.executeCommand(`${VIEWS.objectives}.focus`);
    },
  } satisfies Partial<Record<CommandId, CommandHandler>>;
}

/** Puts a model of the other kind beside the prediction for the selection. */
async function compare(parts: PredictionParts, mask: (masks: 'auto') => Promise<void>): Promise<void> {
  const { engine, models, cloze } = parts;
  activeEditor();
  // Only the engine knows which of the added folders is of the other kind.
  for (const model of models.models) {
    if (model.info === undefined && model.state !== 'failed') await engine.info(model.ref).catch(() => undefined);
  }
  const other = models.comparison();
  if (other === undefined) {
    throw new LensError(
      'model-not-found',
      'There is no model of the other kind to compare with.',
      'Add the folder of a causal (or masked) language model with “ONNX Lens: Add Model Folder…”.',
    );
  }
  await mask('auto');
  await cloze.compare(other.ref.id);
}
