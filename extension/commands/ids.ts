/** Every id that package.json and the code must agree on; a test compares this file with the manifest. */

export const COMMANDS = {
  maskSelection: 'onnxLens.maskSelection',
  predictMasks: 'onnxLens.predictMasks',
  /** From links in hovers; not in the palette. */
  maskRange: 'onnxLens.maskRange',
  compareCausal: 'onnxLens.compareCausal',
  surprisal: 'onnxLens.surprisal',
  clearSurprisal: 'onnxLens.clearSurprisal',
  corruptSelection: 'onnxLens.corruptSelection',
  nextSentence: 'onnxLens.nextSentence',
  openCloze: 'onnxLens.openCloze',
  openClozeInEditor: 'onnxLens.openClozeInEditor',
  openObjectives: 'onnxLens.openObjectives',
  showAttention: 'onnxLens.showAttention',
  /** From links in hovers; not in the palette. */
  showAttentionAt: 'onnxLens.showAttentionAt',
  showAttentionPair: 'onnxLens.showAttentionPair',
  showAttentionInDocument: 'onnxLens.showAttentionInDocument',
  hideAttentionInDocument: 'onnxLens.hideAttentionInDocument',
  openAttentionInEditor: 'onnxLens.openAttentionInEditor',
  whichHeads: 'onnxLens.whichHeads',
  nextHead: 'onnxLens.nextHead',
  previousHead: 'onnxLens.previousHead',
  headStatistics: 'onnxLens.headStatistics',
  headRelations: 'onnxLens.headRelations',
  keepForComparison: 'onnxLens.keepForComparison',
  saveAttentionState: 'onnxLens.saveAttentionState',
  openAttentionState: 'onnxLens.openAttentionState',
  probeLine: 'onnxLens.probeLine',
  probeSelection: 'onnxLens.probeSelection',
  probeFact: 'onnxLens.probeFact',
  probeFile: 'onnxLens.probeFile',
  /** From the lenses of `.cloze` files; not in the palette. */
  probeRelation: 'onnxLens.probeRelation',
  clearProbeResults: 'onnxLens.clearProbeResults',
  showProbes: 'onnxLens.showProbes',
  openProbesInEditor: 'onnxLens.openProbesInEditor',
  showEmbeddings: 'onnxLens.showEmbeddings',
  findOccurrences: 'onnxLens.findOccurrences',
  findNeighbours: 'onnxLens.findNeighbours',
  showLayerMix: 'onnxLens.showLayerMix',
  openWordVectors: 'onnxLens.openWordVectors',
  compareSentences: 'onnxLens.compareSentences',
  findPassages: 'onnxLens.findPassages',
  openEmbeddingsInEditor: 'onnxLens.openEmbeddingsInEditor',
  showMemories: 'onnxLens.showMemories',
  showLogitLens: 'onnxLens.showLogitLens',
  trainTunedLens: 'onnxLens.trainTunedLens',
  findMemories: 'onnxLens.findMemories',
  nameMemory: 'onnxLens.nameMemory',
  showMemory: 'onnxLens.showMemory',
  showMemoryInDocument: 'onnxLens.showMemoryInDocument',
  hideMemoryInDocument: 'onnxLens.hideMemoryInDocument',
  openMemoriesInEditor: 'onnxLens.openMemoriesInEditor',
  scaleParts: 'onnxLens.scaleParts',
  clearInterventions: 'onnxLens.clearInterventions',
  saveRecipe: 'onnxLens.saveRecipe',
  applyRecipe: 'onnxLens.applyRecipe',
  exportChangedModel: 'onnxLens.exportChangedModel',
  toggleFollow: 'onnxLens.toggleFollow',
  addModelFolder: 'onnxLens.addModelFolder',
  selectModel: 'onnxLens.selectModel',
  removeModel: 'onnxLens.removeModel',
  loadModel: 'onnxLens.loadModel',
  unloadModel: 'onnxLens.unloadModel',
  showModelDetails: 'onnxLens.showModelDetails',
  showAnatomy: 'onnxLens.showAnatomy',
  restartEngine: 'onnxLens.restartEngine',
  showLog: 'onnxLens.showLog',
} as const;
export type CommandId = (typeof COMMANDS)[keyof typeof COMMANDS];

/** Parameters come from links and menus: to be checked. */
export type CommandHandler = (...parameters: unknown[]) => void | Promise<void>;

export const VIEWS = {
  cloze: 'onnxLens.cloze',
  objectives: 'onnxLens.objectives',
  attention: 'onnxLens.attention',
  probes: 'onnxLens.probes',
  embeddings: 'onnxLens.embeddings',
  memories: 'onnxLens.memories',
  models: 'onnxLens.models',
} as const;

/** Type of the Cloze view when it stands in the editor area. */
export const CLOZE_PANEL = 'onnxLens.clozePanel';
/** The same of the Attention view. */
export const ATTENTION_PANEL = 'onnxLens.attentionPanel';
/** And of the Probes view. */
export const PROBES_PANEL = 'onnxLens.probesPanel';
/** The same of the Embeddings view. */
export const EMBEDDINGS_PANEL = 'onnxLens.embeddingsPanel';
/** The same of the Memories view. */
export const MEMORIES_PANEL = 'onnxLens.memoriesPanel';

/** Type of the Anatomy view of a model in the library, and of the one that opens .onnx files. */
export const ANATOMY_PANEL = 'onnxLens.anatomyPanel';
export const ONNX_EDITOR = 'onnxLens.onnx';

export const CONTEXT_KEYS = {
  surprisalShown: 'onnxLens.surprisalShown',
  attentionShown: 'onnxLens.attentionShown',
  memoryShown: 'onnxLens.memoryShown',
  probesShown: 'onnxLens.probesShown',
  modelChanged: 'onnxLens.modelChanged',
  noModels: 'onnxLens.noModels',
} as const;
export type ContextKey = (typeof CONTEXT_KEYS)[keyof typeof CONTEXT_KEYS];
