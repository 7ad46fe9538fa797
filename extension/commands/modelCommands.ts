/** Commands on the model library and the engine. */
import * as vscode from 'vscode';
import type { EngineService } from '../models/engineService';
import type { LibraryModel, ModelLibrary } from '../models/library';
import { detailsUri } from '../models/modelDetails';
import { modelIdOf, stateName } from '../models/modelTree';
import type { AnatomyPanels } from '../panels/anatomyPanels';
import { LensError } from '../protocol/errors';
import { COMMANDS, type CommandHandler, type CommandId } from './ids';
import { log, signalOf } from './notify';

export function modelCommands(engine: EngineService, models: ModelLibrary, anatomy: AnatomyPanels) {
  const chosen = async (argument: unknown, candidates: readonly LibraryModel[]): Promise<LibraryModel | undefined> => {
    const id = modelIdOf(argument);
    if (id !== undefined) return models.require(id);
    return pick(candidates, models, false);
  };

  return {
    [COMMANDS.addModelFolder]: async (argument) => {
      const uri = argument instanceof vscode.Uri ? argument : await askForFolder();
      if (uri !== undefined) await addFolder(engine, models, uri);
    },
    [COMMANDS.selectModel]: async (argument) => {
      const id = modelIdOf(argument) ?? (await pick(models.models, models, true))?.ref.id;
      if (id !== undefined) await models.select(id);
    },
    [COMMANDS.removeModel]: async (argument) => {
      const model = await chosen(
        argument,
        models.models.filter(({ bundled }) => !bundled),
      );
      if (model === undefined) return;
      if (model.state === 'ready') await engine.request('unload', { model: model.ref });
      await models.remove(model.ref.id);
    },
    [COMMANDS.loadModel]: async (argument) => {
      const model = modelIdOf(argument) === undefined ? models.require() : await chosen(argument, models.models);
      if (model !== undefined) await load(engine, model);
    },
    [COMMANDS.unloadModel]: async (argument) => {
      const model = await chosen(
        argument,
        models.models.filter(({ state }) => state === 'ready'),
      );
      if (model === undefined) return;
      await engine.request('unload', { model: model.ref });
      models.setState(model.ref.id, 'not-loaded');
    },
    [COMMANDS.showModelDetails]: async (argument) => {
      const model = await chosen(argument, models.models);
      if (model === undefined) return;
      if (model.info === undefined) await engine.info(model.ref);
      await vscode.window.showTextDocument(detailsUri(model.ref.id), { preview: true });
    },
    [COMMANDS.showAnatomy]: async (argument) => {
      const model = await chosen(argument, models.models);
      if (model !== undefined) anatomy.show(model);
    },
    [COMMANDS.restartEngine]: () => engine.restart(),
    [COMMANDS.showLog]: () => log().show(),
  } satisfies Partial<Record<CommandId, CommandHandler>>;
}

async function askForFolder(): Promise<vscode.Uri | undefined> {
  const chosen = await vscode.window.showOpenDialog({
    canSelectFolders: true,
    canSelectFiles: false,
    canSelectMany: false,
    title: vscode.l10n.t('Folder with an ONNX model and its tokenizer.json'),
    openLabel: vscode.l10n.t('Add Model Folder'),
  });
  return chosen?.[0];
}

/** The folder joins the library only if the engine can read it. Fails with what the engine says. */
async function addFolder(engine: EngineService, models: ModelLibrary, uri: vscode.Uri): Promise<void> {
  if (uri.scheme !== 'file') {
    throw new LensError(
      'model-not-found',
      'Models are read from folders on this machine.',
      'Copy the folder here first.',
    );
  }
  const folder = uri.fsPath;
  const info = await vscode.window.withProgress(
    { location: vscode.ProgressLocation.Window, title: vscode.l10n.t('Reading model…') },
    () => engine.request('inspect', { model: { id: folder, folder } }),
  );
  const id = await models.add(folder);
  models.setInfo(id, { ...info, id });
  await models.select(id);
}

async function load(engine: EngineService, { ref }: LibraryModel): Promise<void> {
  await vscode.window.withProgress(
    {
      location: vscode.ProgressLocation.Notification,
      title: vscode.l10n.t('Loading {0}', ref.id),
      cancellable: true,
    },
    async (progress, token) => {
      await engine.request(
        'load',
        { model: ref },
        { signal: signalOf(token), progress: ({ message }) => progress.report({ message }) },
      );
    },
  );
}

async function pick(
  candidates: readonly LibraryModel[],
  models: ModelLibrary,
  offerAdd: boolean,
): Promise<LibraryModel | undefined> {
  const items = candidates.map((model) => ({
    label: model.ref.id.replaceAll('$(', '$\u200b('),
    description: [model.info?.kind, stateName(model.state), model === models.selected ? vscode.l10n.t('selected') : '']
      .filter((part) => part !== undefined && part !== '')
      .join(' · '),
    detail: model.error?.message ?? model.ref.folder,
    model,
  }));
  const add = { label: `$(add) ${vscode.l10n.t('Add Model Folder…')}`, description: '', detail: '', model: undefined };
  const choice = await vscode.window.showQuickPick(offerAdd ? [...items, add] : items, {
    title: vscode.l10n.t('ONNX Lens Models'),
    matchOnDetail: true,
  });
  if (choice === add) await vscode.commands.executeCommand(COMMANDS.addModelFolder);
  return choice?.model;
}
