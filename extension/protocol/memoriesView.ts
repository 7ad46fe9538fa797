/** What the Memories view and the extension host say to each other. */
import type { AttentionToken } from './attention';
import type { Progress, TextRange, WindowInfo } from './engine';
import type { ErrorData } from './errors';
import type {
  LayerWrites,
  LogitLens,
  LogitLensTable,
  Memories,
  MemoryGroups,
  MemoryMeasure,
  NeuronTriggers,
  SimilarMemories,
  TriggersState,
  TunedLensStatus,
  ValueClusters,
  ValueSearch,
  ValueWords,
} from './ffn';
import type { NeuronRef, Scale } from './interventions';
import type { InterventionMethods, LoadState, ModelSummary, SubjectSummary } from './view';

/** `lens`: at the target; `text`: along the text. `groups`: of those that fire together on it. `memory`: one of them. */
export type MemoriesPage = 'memories' | 'lens' | 'text' | 'groups' | 'search' | 'memory' | 'names';

/** A token of the vocabulary. */
export interface VocabularyWord {
  id: number;
  token: string;
}

/** Kept by the host, since a hidden webview keeps nothing. */
export interface MemoriesLook {
  page: MemoriesPage;
  by: MemoryMeasure;
  /** Only memories of this layer; null: of all. */
  layer: number | null;
  /** So many memories. */
  count: number;
  /** The word is replaced by masks first, where the model has one: what stands there would only be copied. */
  mask: boolean;
  /** Whose logit and probability are measured; null: of the likeliest. */
  word: VocabularyWord | null;
  watch: VocabularyWord[];
  chart: 'rank' | 'logprob';
  /** Id of the watched word whose steps are shown; null: the answer. */
  steps: number | null;
  colour: 'probability' | 'rank' | 'entropy';
  /** Also the states between attention and FFN. */
  between: boolean;
  /** States are read through the tuned lens, where the model has one. */
  tuned: boolean;
  /** So many. */
  groups: number;
  search: VocabularyWord[];
  direction: ValueSearch['direction'];
  memory: NeuronRef | null;
  /** Texts with the largest activations, or with the smallest. */
  end: TriggerEnd;
}

/** What a person has called a memory. */
export interface MemoryName extends NeuronRef {
  name: string;
  tags: string[];
}

/** Names of the model that is looked at, and why they cannot be changed where that is so. */
export interface NamesState {
  /** Sorted by layer and neuron. */
  names: MemoryName[];
  /** In the file, of other models. */
  others: number;
  /** The file, for people; null: there is no folder to keep it in. */
  file: string | null;
  /** Damaged lines, marks of a merge: the file is not written to until they are gone. */
  error: ErrorData | null;
  /** What a person should look at: a memory with two names. */
  notes: string[];
}

/** The memories of the look's layer, and what every layer writes. */
export interface ShownMemories extends Omit<Memories, 'layers'> {
  layers: LayerWrites[];
}

/** While heads or neurons are scaled, also what the unchanged model would say, with the same words watched. */
export interface ShownLens extends LogitLens {
  before: LogitLens | null;
}

/** Where texts that fire a memory are looked for. */
export type TriggerScope = 'workspace' | 'folder' | 'files' | 'included';
export type TriggerEnd = 'largest' | 'smallest';

export interface ShownTriggers
  extends NeuronTriggers, Pick<TriggersState, 'sentences' | 'tokens' | 'threshold' | 'sources' | 'skipped'> {
  /** Which tokens were looked at, in words. */
  rule: string;
  /** All of the corpus was read. */
  complete: boolean;
}

export interface MemoriesState extends LoadState {
  model: ModelSummary | null;
  subject: SubjectSummary | null;
  /** What the model reads; null until it is known. */
  input: { tokens: AttentionToken[]; window: WindowInfo; mask: string | null } | null;
  /** Index of the token that is looked at, where it is in the text. */
  target: number | null;
  look: MemoriesLook;
  interventions: Scale[];
  names: NamesState;
  /** The work over texts: what is read, for people; how far it is; why it failed. */
  triggers: { corpus: string | null; running: Progress | null; error: ErrorData | null };
  /** The model's tuned lens; a training that was interrupted, one that goes on, or why it failed. */
  tuned: TunedLensStatus & { running: Progress | null; error: ErrorData | null };
  /** The words of the document are coloured by the memory's activation. */
  inDocument: boolean;
  /** Another number for every other result; 0: there is none. */
  revision: Record<Exclude<MemoriesPage, 'names'> | 'clusters' | 'triggers' | 'similar', number>;
}

/** method → [parameters, result] */
export interface MemoriesMethods extends InterventionMethods {
  ready: [null, null];
  look: [Partial<MemoriesLook>, null];
  /** The results of the present revision; null when there is none. */
  memories: [null, ShownMemories | null];
  lens: [null, ShownLens | null];
  text: [null, LogitLensTable | null];
  groups: [null, MemoryGroups | null];
  search: [null, ValueSearch | null];
  clusters: [null, ValueClusters | null];
  /** Puts the values of all layers into clusters; they stand where no word is looked for. */
  findClusters: [null, null];
  memory: [null, ValueWords | null];
  triggers: [null, ShownTriggers | null];
  similar: [null, SimilarMemories | null];
  /** Looks for texts that fire the memory; those files are read for the next memories too. */
  scan: [{ scope: TriggerScope }, null];
  stopScan: [null, null];
  /** Where it was stopped. */
  goOn: [null, null];
  /** Asks for texts, and trains a tuned lens on them. */
  trainLens: [null, null];
  stopTraining: [null, null];
  /** Where it was stopped. */
  goOnTraining: [null, null];
  openTrigger: [{ end: TriggerEnd; index: number }, null];
  inDocument: [{ on: boolean }, null];
  /** A text that is one token of the model is measured, watched or looked for. Refused where it is none. */
  addWord: [{ text: string; to: 'word' | 'watch' | 'search' }, null];
  /** A token of the text, by its index, is the target of all views. */
  target: [{ index: number }, null];
  /** Asks for a name and tags. */
  name: [NeuronRef, null];
  openNames: [null, null];
  reveal: [{ range: TextRange; text: 0 | 1 }, null];
  refresh: [null, null];
  cancel: [null, null];
  selectModel: [null, null];
  export: [{ format: 'json' | 'csv' | 'clipboard' }, null];
  /** A finished picture, drawn by the view. */
  saveImage: [{ format: 'png' | 'svg'; data: Uint8Array }, null];
  openInEditor: [null, null];
  showLog: [null, null];
  help: [null, null];
  run: [{ command: 'onnxLens.showMemories' }, null];
}
