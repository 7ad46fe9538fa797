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
  PROBES_PANEL,
  COMMANDS,
  CONTEXT_KEYS,
  VIEWS,
  type CommandHandler,
  type CommandId,
} from './commands/ids';
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
import { EditorTab } from './panels/editorTab';
import { EmbeddingsController } from './panels/embeddingsController';
import { ObjectivesController } from './panels/objectivesController';
import { ProbeHistory } from './panels/probeHistory';
import { ProbesController } from './panels/probesController';
import { SharedSubject } from './panels/sharedSubject';
import { ViewHost } from './panels/viewHost';
import type { AttentionMethods, AttentionState } from './protocol/attentionView';
import type { EmbeddingsMethods, EmbeddingsState } from './protocol/embeddingsView';
import { isSilent, type LensError } from './protocol/errors';
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
  const probes = new ProbeRunner(service, models, version);
  const clozeDocuments = new ClozeDocuments();
  const lineResults = new LineResults(probes, clozeDocuments);
  const tests = new ProbeTests({ runner: probes, results: lineResults, documents: clozeDocuments, library: models });

  const clozeTab = new EditorTab(CLOZE_PANEL, vscode.l10n.t('Cloze'), extensionUri, () => clozeHost);
  const attentionTab = new EditorTab(ATTENTION_PANEL, vscode.l10n.t('Attention'), extensionUri, () => attentionHost);
  const probesTab = new EditorTab(PROBES_PANEL, vscode.l10n.t('Probes'), extensionUri, () => probesHost);
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

  const runs = context.storageUri;
  const history = new ProbeHistory(runs?.scheme === 'file' ? join(runs.fsPath, 'probes') : null);
  const probesView = new ProbesController(probes, models, history, () => probesTab.open());
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

  const probesHost = new ViewHost<ProbesState, ProbesMethods>(probesView, {
    name: 'probes',
    title: 'Probes',
    extensionUri,
    onError,
  });
  const embeddingsHost = new ViewHost<EmbeddingsState, EmbeddingsMethods>(embeddings, {
    name: 'embeddings',
    title: 'Embeddings',
    extensionUri,
    onError,
  });

  // Large views want room: where the person does not have one in the side panel, it opens beside the text.
  const reveal = ({ audience }: { audience: number }, tab: EditorTab): void => {
    if (audience === 0) tab.show();
  };
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
      revealAttention: () => reveal(attentionHost, attentionTab),
    }),
    ...probeCommands({ runner: probes, results: lineResults, documents: clozeDocuments }),
    [COMMANDS.showProbes]: () => reveal(probesHost, probesTab),
    [COMMANDS.openProbesInEditor]: () => probesTab.open(),
    ...embeddingCommands({
      shared,
      embeddings,
      openEmbeddingsInEditor: () => embeddingsTab.open(),
      revealEmbeddings: () => reveal(embeddingsHost, embeddingsTab),
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
    probes,
    lineResults,
    tests,
    new ProbeHints(lineResults),
    new ClozeDiagnostics(clozeDocuments, service, models),
    registerClozeLanguage(clozeDocuments),
    registerClozeLenses(clozeDocuments),
    clozeHost,
    objectivesHost,
    attentionHost,
    probesView,
    probesHost,
    embeddingsHost,
    createModelStatus(models),
    registerHover(new ExpectationHover(service, models)),
    vscode.workspace.registerTextDocumentContentProvider(DETAILS_SCHEME, new ModelDetails(models)),
    vscode.window.registerTreeDataProvider(VIEWS.models, new ModelTree(models)),
    vscode.window.registerWebviewViewProvider(VIEWS.cloze, clozeHost),
    vscode.window.registerWebviewViewProvider(VIEWS.objectives, objectivesHost),
    vscode.window.registerWebviewViewProvider(VIEWS.attention, attentionHost),
    vscode.window.registerWebviewViewProvider(VIEWS.probes, probesHost),
    vscode.window.registerWebviewViewProvider(VIEWS.embeddings, embeddingsHost),
    vscode.window.registerCustomEditorProvider(ONNX_EDITOR, anatomy, { supportsMultipleEditorsPerDocument: true }),
    clozeTab,
    attentionTab,
    probesTab,
    embeddingsTab,
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
    probesView,
    tests,
    embeddings,
  };
}

export async function deactivate(): Promise<void> {
  await engine?.dispose();
}
