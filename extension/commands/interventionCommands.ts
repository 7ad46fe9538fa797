/** Commands on heads and neurons that are scaled: by name, as recipes, and as a new model. */
import { basename } from 'node:path';
import * as vscode from 'vscode';
import { newRecipe, parseChanges, parseRecipe, readChanges, requireBakeable, requireOwn } from '../files/recipe';
import type { EngineService } from '../models/engineService';
import type { ModelLibrary } from '../models/library';
import { save, saveAs } from '../panels/save';
import type { SharedSubject } from '../panels/sharedSubject';
import { LensError } from '../protocol/errors';
import { changesText, count, fileSize, partName } from '../protocol/format';
import { isNeuronScale, withIntervention, type Scale } from '../protocol/interventions';
import type { ModelFingerprint } from '../protocol/probes';
import type { ModelInfo, ModelRef } from '../protocol/engine';
import { COMMANDS, type CommandHandler, type CommandId } from './ids';
import { signalOf } from './notify';

/** A list of 4,096 changes has about 400 kB. */
const LARGEST_RECIPE = 4 * 2 ** 20;

export interface InterventionParts {
  engine: EngineService;
  models: ModelLibrary;
  shared: SharedSubject;
}

export function interventionCommands({ engine, models, shared }: InterventionParts) {
  /** Those in force, or those of a view that is pinned. Throws `bad-input` when nothing is changed. */
  const present = (argument: unknown): readonly Scale[] => {
    const changes = Array.isArray(argument) ? readChanges(argument) : shared.interventions;
    if (changes.length > 0) return changes;
    throw new LensError(
      'bad-input',
      'Nothing is changed in the model.',
      'Switch a head off in the Attention view, or run “Scale Heads or Neurons…”.',
    );
  };
  const fingerprintOf = (model: ModelRef): Thenable<ModelFingerprint> =>
    withWindowProgress(vscode.l10n.t('Reading model…'), () => engine.request('fingerprint', { model }));

  return {
    [COMMANDS.scaleParts]: async (argument) => {
      const { ref } = models.require();
      const text = typeof argument === 'string' ? argument : await askForChanges(await engine.info(ref));
      if (text === undefined) return;
      const changes = parseChanges(text);
      requireParts(changes, await engine.info(ref));
      shared.setInterventions(changes.reduce<readonly Scale[]>(withIntervention, shared.interventions));
    },
    [COMMANDS.clearInterventions]: () => shared.setInterventions([]),
    [COMMANDS.saveRecipe]: async (argument, place) => {
      const changes = present(argument);
      const { ref } = models.require();
      const recipe = newRecipe(ref.id, await fingerprintOf(ref), changes);
      const content = Buffer.from(`${JSON.stringify(recipe, null, 2)}\n`);
      if (place instanceof vscode.Uri) await save(place, content);
      else
        await saveAs({ name: 'recipe', format: 'json', filter: vscode.l10n.t('Recipe of Heads and Neurons'), content });
    },
    [COMMANDS.applyRecipe]: async (argument) => {
      const file = argument instanceof vscode.Uri ? argument : await askForRecipe();
      if (file === undefined) return;
      const { ref } = models.require();
      const recipe = parseRecipe(await readText(file));
      requireOwn(recipe, ref.id, await fingerprintOf(ref));
      requireParts(recipe.changes, await engine.info(ref));
      shared.setInterventions(recipe.changes);
    },
    [COMMANDS.exportChangedModel]: async (argument, place) => {
      const changes = present(argument);
      requireBakeable(changes);
      const { ref } = models.require();
      const uri = place instanceof vscode.Uri ? place : await askForNewFolder(ref);
      if (uri === undefined) return;
      if (uri.scheme !== 'file')
        throw new LensError('storage', 'Models are written to folders on this machine.', 'Choose another place.');
      const folder = uri.fsPath;
      const recipe = newRecipe(ref.id, await fingerprintOf(ref), changes);
      await vscode.window.withProgress(
        {
          location: vscode.ProgressLocation.Notification,
          title: vscode.l10n.t('Exporting {0} with {1}', ref.id, changesText(changes)),
          cancellable: true,
        },
        (progress, token) =>
          engine.request(
            'exportModel',
            { model: ref, recipe, folder },
            { signal: signalOf(token), progress: ({ message }) => progress.report({ message }) },
          ),
      );
      // The person may look at the message when they like.
      void offer(uri);
    },
  } satisfies Partial<Record<CommandId, CommandHandler>>;
}

const withWindowProgress = <T>(title: string, work: () => Promise<T>): Thenable<T> =>
  vscode.window.withProgress({ location: vscode.ProgressLocation.Window, title }, work);

/** Throws `bad-input` for what the model is known not to have; the rest the engine says with the next run. */
function requireParts(changes: readonly Scale[], { id, layers, heads, anatomy }: ModelInfo): void {
  for (const change of changes) {
    const [index, many, kind] = isNeuronScale(change)
      ? [change.neuron, anatomy.ffnWidth, 'neurons']
      : [change.head, heads, 'heads'];
    if (layers !== null && change.layer >= layers)
      throw new LensError('bad-input', `${id} has no ${partName(change)}: it has layers 0 to ${layers - 1}.`);
    if (many !== null && index >= many)
      throw new LensError(
        'bad-input',
        `${id} has no ${partName(change)}: its layers have ${kind} 0 to ${count(many - 1)}.`,
      );
  }
}

async function askForChanges(info: ModelInfo): Promise<string | undefined> {
  return vscode.window.showInputBox({
    title: vscode.l10n.t('Scale Heads or Neurons'),
    prompt: vscode.l10n.t(
      'L7H9: head 9 of layer 7 off. L9N1234=2: neuron doubled. @6 at the end: at token 6 only. =1: as the model has it.',
    ),
    placeHolder: 'L7H9, L9N1234=2@6',
    ignoreFocusOut: true,
    validateInput: (text) => {
      try {
        requireParts(parseChanges(text), info);
        return undefined;
      } catch (thrown) {
        const { message, hint = '' } = LensError.from(thrown);
        return `${message} ${hint}`;
      }
    },
  });
}

async function askForRecipe(): Promise<vscode.Uri | undefined> {
  const chosen = await vscode.window.showOpenDialog({
    canSelectMany: false,
    filters: { [vscode.l10n.t('Recipe of Heads and Neurons')]: ['json'] },
    title: vscode.l10n.t('Apply Recipe'),
  });
  return chosen?.[0];
}

/** Throws `bad-input`. */
async function readText(file: vscode.Uri): Promise<string> {
  let bytes: Uint8Array;
  try {
    const { size } = await vscode.workspace.fs.stat(file);
    if (size > LARGEST_RECIPE)
      throw new LensError(
        'bad-input',
        `${basename(file.path)} has ${fileSize(size)}; no recipe is that large.`,
        'Choose a file written by “Save Interventions as Recipe…”.',
      );
    bytes = await vscode.workspace.fs.readFile(file);
  } catch (cause) {
    if (cause instanceof LensError) throw cause;
    throw new LensError('bad-input', `${file.fsPath} could not be read.`, 'Choose another file.', { cause });
  }
  return new TextDecoder().decode(bytes);
}

async function askForNewFolder({ id }: ModelRef): Promise<vscode.Uri | undefined> {
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri;
  const name = `${basename(id)}-changed`;
  return vscode.window.showSaveDialog({
    title: vscode.l10n.t('New Folder for the Changed Model'),
    saveLabel: vscode.l10n.t('Export Model'),
    ...(folder === undefined ? {} : { defaultUri: vscode.Uri.joinPath(folder, name) }),
  });
}

async function offer(folder: vscode.Uri): Promise<void> {
  const add = vscode.l10n.t('Add to Models and Select');
  const open = vscode.l10n.t('Show in Folder');
  const message = vscode.l10n.t('The changed model was written to {0}.', folder.fsPath);
  const choice = await vscode.window.showInformationMessage(message, add, open);
  if (choice === add) await vscode.commands.executeCommand(COMMANDS.addModelFolder, folder);
  else if (choice === open) await vscode.commands.executeCommand('revealFileInOS', folder);
}
