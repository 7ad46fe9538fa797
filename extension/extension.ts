/** Activation: wiring only. The engine starts with the first request, a webview's page with its first look. */
import { join } from 'node:path';
import * as vscode from 'vscode';
import { attentionCommands } from './commands/attentionCommands';
import { embeddingCommands } from './commands/embeddingCommands';
import { memoryCommands } from './commands/memoryCommands';
import {
  ATTENTION_PANEL,
  CLOZE_PANEL,
  EMBEDDINGS_PANEL,
  MEMORIES_PANEL,
  ONNX_EDITOR,
  PROBES_PANEL,
  COMMANDS,
  CONTEXT_KEYS,
  VIEWS,
  type CommandHandler,
  type CommandId,
} from './commands/ids';
import { interventionCommands } from './commands/interventionCommands';
import { modelCommands } from './commands/modelCommands';
import { log, notify } from './commands/notify';
import { predictionCommands } from './commands/predictionCommands';
import { probeCommands } from './commands/probeCommands';
import { AttentionColors } from './editor/attentionColors';
import { ClozeDiagnostics } from './editor/clozeDiagnostics';
import { ClozeDocuments } from './editor/clozeDocuments';
import { registerClozeLanguage } from './editor/clozeLanguage';
import { registerClozeLenses } from './editor/clozeLenses';
import { ExpectationHover, registerHover } from './editor/hover';
import { MemoryColors } from './editor/memoryColors';
import { ProbeHints } from './editor/probeHints';
import { SurprisalController } from './editor/surprisal';
import { EngineService } from './models/engineService';
import { ModelLibrary } from './models/library';
import { DETAILS_SCHEME, ModelDetails } from './models/modelDetails';
import { ModelTree } from './models/modelTree';
import { createModelStatus } from './models/statusBar';
import { AnatomyPanels } from './panels/anatomyPanels';
import { AttentionController } from './panels/attentionController';
import { ClozeController } from './panels/clozeController';
import { EmbeddingsController } from './panels/embeddingsController';
import { LensView } from './panels/lensView';
import { MemoriesController } from './panels/memoriesController';
import { MemoryNames } from './panels/memoryNames';
import { ObjectivesController } from './panels/objectivesController';
import { ProbeHistory } from './panels/probeHistory';
import { ProbesController } from './panels/probesController';
import { SharedSubject } from './panels/sharedSubject';
import type { AttentionMethods, AttentionState } from './protocol/attentionView';
import type { EmbeddingsMethods, EmbeddingsState } from './protocol/embeddingsView';
import { isSilent, type LensError } from './protocol/errors';
import type { MemoriesMethods, MemoriesState } from './protocol/memoriesView';
import type { ProbesMethods, ProbesState } from './protocol/probesView';
import type { ClozeMethods, ClozeState, ObjectivesMethods, ObjectivesState } from './protocol/view';
import { LineResults } from './testing/lineResults';
import { ProbeRunner } from './testing/probeRunner';
import { ProbeTests } from './testing/testExplorer';

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
  memories: MemoriesController;
  memoryColors: MemoryColors;
  colors: AttentionColors;
  surprisal: SurprisalController;
  anatomy: AnatomyPanels;
  probes: ProbeRunner;
  probesView: ProbesController;
  tests: ProbeTests;
}

let engine: EngineService | undefined;

export function activate(context: vscode.ExtensionContext): LensApi {
  const { extensionUri, extensionPath, subscriptions } = context;
  const { version } = context.extension.packageJSON as { version: string };
  const models = new ModelLibrary(join(extensionPath, 'models'));
  const service = new EngineService({
    enginePath: join(extensionPath, 'dist', 'engine.js'),
    library: models,
    log: (level, message) => log()[level](message),
    onCrash: notify,
  });
  engine = service;
  const shared = new SharedSubject(models);
  const probes = new ProbeRunner(service, models, shared, version);
  const clozeDocuments = new ClozeDocuments();
  const lineResults = new LineResults(probes, clozeDocuments);
  const tests = new ProbeTests({ runner: probes, results: lineResults, documents: clozeDocuments, library: models });

  const onError = (error: LensError): void => {
    if (!isSilent(error)) log().warn(`[view] [${error.code}] ${error.message}`);
  };
  const clozeView = new LensView<ClozeState, ClozeMethods>({
    ...{ name: 'cloze', title: 'Cloze', view: VIEWS.cloze, extensionUri, onError },
    tab: { type: CLOZE_PANEL, title: vscode.l10n.t('Cloze') },
  });
  const objectivesView = new LensView<ObjectivesState, ObjectivesMethods>({
    ...{ name: 'objectives', title: 'Objectives', view: VIEWS.objectives, extensionUri, onError },
    tab: null,
  });
  const attentionView = new LensView<AttentionState, AttentionMethods>({
    ...{ name: 'attention', title: 'Attention', view: VIEWS.attention, extensionUri, onError },
    tab: { type: ATTENTION_PANEL, title: vscode.l10n.t('Attention') },
  });
  const embeddingsView = new LensView<EmbeddingsState, EmbeddingsMethods>({
    ...{ name: 'embeddings', title: 'Embeddings', view: VIEWS.embeddings, extensionUri, onError },
    tab: { type: EMBEDDINGS_PANEL, title: vscode.l10n.t('Embeddings') },
  });
  const memoriesView = new LensView<MemoriesState, MemoriesMethods>({
    ...{ name: 'memories', title: 'Memories', view: VIEWS.memories, extensionUri, onError },
    tab: { type: MEMORIES_PANEL, title: vscode.l10n.t('Memories') },
  });
  const probesView = new LensView<ProbesState, ProbesMethods>({
    ...{ name: 'probes', title: 'Probes', view: VIEWS.probes, extensionUri, onError },
    tab: { type: PROBES_PANEL, title: vscode.l10n.t('Probes') },
  });

  const cloze = new ClozeController(service, models, shared, clozeView);
  const objectives = new ObjectivesController(service, models, shared, objectivesView);
  const surprisal = new SurprisalController(service, models, shared);
  const colors = new AttentionColors(service, models, shared);
  const attention = new AttentionController(service, models, shared, colors, attentionView);
  const memoryNames = new MemoryNames(service);
  const memoryColors = new MemoryColors(service, models);
  const folders = {
    cache: context.globalStorageUri.fsPath,
    texts: vscode.Uri.joinPath(extensionUri, 'samples', 'workspace', 'treebank', 'gum-wikinews.conllu'),
  };
  const memories = new MemoriesController(service, models, shared, memoryNames, memoryColors, folders, memoriesView);
  const runs = context.storageUri;
  const everywhere = join(context.globalStorageUri.fsPath, 'vectors');
  const embeddings = new EmbeddingsController(service, models, shared, embeddingsView, {
    workspace: runs?.scheme === 'file' ? join(runs.fsPath, 'vectors') : join(everywhere, 'none'),
    folders: everywhere,
  });
  const history = new ProbeHistory(runs?.scheme === 'file' ? join(runs.fsPath, 'probes') : null);
  const probeRuns = new ProbesController(probes, models, shared, history, probesView);
  const anatomy = new AnatomyPanels(service, models, { extensionUri, onError });
  clozeView.connect(cloze);
  objectivesView.connect(objectives);
  attentionView.connect(attention);
  embeddingsView.connect(embeddings);
  memoriesView.connect(memories);
  probesView.connect(probeRuns);

  const handlers: Record<CommandId, CommandHandler> = {
    ...predictionCommands({ engine: service, models, cloze, objectives, surprisal, clozeView }),
    ...attentionCommands({ engine: service, models, shared, attention, colors, view: attentionView }),
    ...embeddingCommands({ shared, embeddings, view: embeddingsView }),
    ...memoryCommands({ shared, memories, colors: memoryColors, view: memoriesView }),
    ...interventionCommands({ engine: service, models, shared }),
    ...probeCommands({ runner: probes, results: lineResults, documents: clozeDocuments }),
    [COMMANDS.showProbes]: () => probesView.reveal(),
    [COMMANDS.openProbesInEditor]: () => probesView.openInEditor(),
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
  const showChanged = (): void => {
    void vscode.commands.executeCommand('setContext', CONTEXT_KEYS.modelChanged, shared.interventions.length > 0);
  };
  showChanged();

  subscriptions.push(
    models,
    models.onDidChange(showWelcome),
    shared.onDidChange((change) => {
      if (change === 'interventions') showChanged();
    }),
    cloze,
    objectives,
    shared,
    attention,
    embeddings,
    memoryNames,
    memoryColors,
    memories,
    colors,
    surprisal,
    anatomy,
    probes,
    lineResults,
    tests,
    new ProbeHints(lineResults),
    new ClozeDiagnostics(clozeDocuments, service, models),
    registerClozeLanguage(clozeDocuments),
    registerClozeLenses(clozeDocuments),
    probeRuns,
    clozeView,
    objectivesView,
    attentionView,
    embeddingsView,
    memoriesView,
    probesView,
    createModelStatus(models, shared),
    registerHover(new ExpectationHover(service, models, shared)),
    vscode.workspace.registerTextDocumentContentProvider(DETAILS_SCHEME, new ModelDetails(models)),
    vscode.window.registerTreeDataProvider(VIEWS.models, new ModelTree(models)),
    vscode.window.registerCustomEditorProvider(ONNX_EDITOR, anatomy, { supportsMultipleEditorsPerDocument: true }),
  );
  return {
    engine: service,
    models,
    cloze,
    objectives,
    shared,
    attention,
    colors,
    surprisal,
    anatomy,
    probes,
    probesView: probeRuns,
    tests,
    embeddings,
    memories,
    memoryColors,
  };
}

export async function deactivate(): Promise<void> {
  await engine?.dispose();
}
