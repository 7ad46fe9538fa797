/** Activation: wiring only. The engine starts with the first request, a webview's page with its first look. */
import { join } from 'node:path';
import * as vscode from 'vscode';
import { attentionCommands } from './commands/attentionCommands';
import { embeddingCommands } from './commands/embeddingCommands';
import {
  ATTENTION_PANEL,
  CLOZE_PANEL,
  EMBEDDINGS_PANEL,
  ONNX_EDITOR,
  COMMANDS,
  CONTEXT_KEYS,
  VIEWS,
  type CommandHandler,
  type CommandId,
} from './commands/ids';
import { modelCommands } from './commands/modelCommands';
import { log, notify } from './commands/notify';
import { predictionCommands } from './commands/predictionCommands';
import { AttentionColors } from './editor/attentionColors';
import { ExpectationHover, registerHover } from './editor/hover';
import { SurprisalController } from './editor/surprisal';
import { EngineService } from './models/engineService';
import { ModelLibrary } from './models/library';
import { DETAILS_SCHEME, ModelDetails } from './models/modelDetails';
import { ModelTree } from './models/modelTree';
import { createModelStatus } from './models/statusBar';
import { AnatomyPanels } from './panels/anatomyPanels';
import { AttentionController } from './panels/attentionController';
import { ClozeController } from './panels/clozeController';
import { EditorTab } from './panels/editorTab';
import { EmbeddingsController } from './panels/embeddingsController';
import { ObjectivesController } from './panels/objectivesController';
import { SharedSubject } from './panels/sharedSubject';
import { ViewHost } from './panels/viewHost';
import type { AttentionMethods, AttentionState } from './protocol/attentionView';
import type { EmbeddingsMethods, EmbeddingsState } from './protocol/embeddingsView';
import { isSilent, type LensError } from './protocol/errors';
import type { ClozeMethods, ClozeState, ObjectivesMethods, ObjectivesState } from './protocol/view';

/** For tests, and for other extensions that want to look along. */
export interface LensApi {
  engine: EngineService;
  models: ModelLibrary;
  cloze: ClozeController;
  objectives: ObjectivesController;
  /** What all views look at together. */
  shared: SharedSubject;
  attention: AttentionController;
  embeddings: EmbeddingsController;
  colors: AttentionColors;
  surprisal: SurprisalController;
  anatomy: AnatomyPanels;
}

let engine: EngineService | undefined;

export function activate(context: vscode.ExtensionContext): LensApi {
  const { extensionUri, extensionPath, subscriptions } = context;
  const models = new ModelLibrary(join(extensionPath, 'models'));
  const service = new EngineService({
    enginePath: join(extensionPath, 'dist', 'engine.js'),
    library: models,
    log: (level, message) => log()[level](message),
    onCrash: notify,
  });
  engine = service;

  const clozeTab = new EditorTab(CLOZE_PANEL, vscode.l10n.t('Cloze'), extensionUri, () => clozeHost);
  const attentionTab = new EditorTab(ATTENTION_PANEL, vscode.l10n.t('Attention'), extensionUri, () => attentionHost);
  const embeddingsTab = new EditorTab(
    EMBEDDINGS_PANEL,
    vscode.l10n.t('Embeddings'),
    extensionUri,
    () => embeddingsHost,
  );
  const openClozeInEditor = (): void => clozeTab.open();
  const openAttentionInEditor = (): void => attentionTab.open();

  const shared = new SharedSubject();
  const cloze = new ClozeController(service, models, shared, openClozeInEditor);
  const objectives = new ObjectivesController(service, models);
  const surprisal = new SurprisalController(service, models);
  const colors = new AttentionColors(service, models, shared);
  const attention: AttentionController = new AttentionController(service, models, shared, colors, {
    audience: () => attentionHost.audience,
    openInEditor: openAttentionInEditor,
  });

  const embeddings: EmbeddingsController = new EmbeddingsController(service, models, shared, {
    audience: () => embeddingsHost.audience,
    openInEditor: () => embeddingsTab.open(),
  });

  const onError = (error: LensError): void => {
    if (!isSilent(error)) log().warn(`[view] [${error.code}] ${error.message}`);
  };
  const anatomy = new AnatomyPanels(service, models, { extensionUri, onError });
  const clozeHost = new ViewHost<ClozeState, ClozeMethods>(cloze, {
    name: 'cloze',
    title: 'Cloze',
    extensionUri,
    onError,
  });
  const objectivesHost = new ViewHost<ObjectivesState, ObjectivesMethods>(objectives, {
    name: 'objectives',
    title: 'Objectives',
    extensionUri,
    onError,
  });

  const attentionHost = new ViewHost<AttentionState, AttentionMethods>(attention, {
    name: 'attention',
    title: 'Attention',
    extensionUri,
    onError,
  });

  const embeddingsHost = new ViewHost<EmbeddingsState, EmbeddingsMethods>(embeddings, {
    name: 'embeddings',
    title: 'Embeddings',
    extensionUri,
    onError,
  });

  const clozeVisible = (): boolean => clozeHost.audience > 0;
  const handlers: Record<CommandId, CommandHandler> = {
    ...predictionCommands({ engine: service, models, cloze, objectives, surprisal, openClozeInEditor, clozeVisible }),
    ...attentionCommands({
      engine: service,
      models,
      shared,
      attention,
      colors,
      openAttentionInEditor,
      attentionVisible: () => attentionHost.audience > 0,
    }),
    ...embeddingCommands({
      shared,
      embeddings,
      openEmbeddingsInEditor: () => embeddingsTab.open(),
      embeddingsVisible: () => embeddingsHost.audience > 0,
    }),
    ...modelCommands(service, models, anatomy),
  };
  for (const id of Object.values(COMMANDS)) {
    subscriptions.push(
      vscode.commands.registerCommand(id, async (...parameters: unknown[]) => {
        try {
          await handlers[id](...parameters);
        } catch (thrown) {
          notify(thrown);
        }
      }),
    );
  }

  const showWelcome = (): void => {
    void vscode.commands.executeCommand('setContext', CONTEXT_KEYS.noModels, models.models.length === 0);
  };
  showWelcome();

  subscriptions.push(
    models,
    models.onDidChange(showWelcome),
    cloze,
    objectives,
    shared,
    attention,
    embeddings,
    colors,
    surprisal,
    anatomy,
    clozeHost,
    objectivesHost,
    attentionHost,
    embeddingsHost,
    createModelStatus(models),
    registerHover(new ExpectationHover(service, models)),
    vscode.workspace.registerTextDocumentContentProvider(DETAILS_SCHEME, new ModelDetails(models)),
    vscode.window.registerTreeDataProvider(VIEWS.models, new ModelTree(models)),
    vscode.window.registerWebviewViewProvider(VIEWS.cloze, clozeHost),
    vscode.window.registerWebviewViewProvider(VIEWS.objectives, objectivesHost),
    vscode.window.registerWebviewViewProvider(VIEWS.attention, attentionHost),
    vscode.window.registerWebviewViewProvider(VIEWS.embeddings, embeddingsHost),
    vscode.window.registerCustomEditorProvider(ONNX_EDITOR, anatomy, { supportsMultipleEditorsPerDocument: true }),
    clozeTab,
    attentionTab,
    embeddingsTab,
  );
  return { engine: service, models, cloze, objectives, shared, attention, embeddings, colors, surprisal, anatomy };
}

export async function deactivate(): Promise<void> {
  await engine?.dispose();
}
