/** What the Embeddings view and the extension host say to each other. */
import type {
  AnalogiesResult,
  CompareModelsResult,
  ContextualityResult,
  CorpusNeighboursResult,
  LearnMixResult,
  OccurrencesResult,
  PROJECTIONS,
  RatedResult,
  SentencesParams,
  SentencesResult,
  StoredIndex,
  TableAnswer,
  TableInfo,
  WordMixResult,
  WordResult,
} from './embeddings';
import type { TextRange } from './engine';
import type { Scale } from './interventions';
import type { MixSetting } from './mix';
import type { InterventionMethods, LoadState, ModelSummary, SubjectSummary } from './view';

export const EMBEDDINGS_PAGES = [
  'word',
  'occurrences',
  'neighbours',
  'mix',
  'sentences',
  'contextuality',
  'static',
] as const;
export type EmbeddingsPage = (typeof EMBEDDINGS_PAGES)[number];
/** Results that the host keeps: of each page, and what a page has beside it. */
export type EmbeddingsPart = EmbeddingsPage | 'learned' | 'scores' | 'passages' | 'compared';
export const COLOURS = ['cluster', 'file', 'label'] as const;

/** Kept by the host, since a hidden webview keeps nothing. */
export interface EmbeddingsLook {
  page: EmbeddingsPage;
  /** Null: the last hidden state. */
  layer: 'static' | number | null;
  /** Cosines of vectors less their mean. */
  centre: boolean;
  projection: (typeof PROJECTIONS)[number];
  axes: 2 | 3;
  colour: (typeof COLOURS)[number];
  pool: SentencesParams['pool'];
  /** Null: all layers alike. */
  mix: MixSetting | null;
  /** Of static vectors; null: nothing was asked. One word: its neighbours. Three, a b c: b − a + c. */
  question: { words: string[]; exclude: boolean } | null;
}

/** Where occurrences are looked for. */
export type OccurrenceScope = 'document' | 'workspace' | 'files';

/** With the sentences themselves. */
export interface SentenceComparison extends SentencesResult {
  document: string;
  sentences: { text: string; line: number }[];
  /** There are more than were taken. */
  truncated: boolean;
}

/** The same question to each table: the file of vectors, where one is open, and the model's own input embeddings. */
export interface StaticAnswers {
  words: string[];
  exclude: boolean;
  /** `why`: a table has no answer. */
  tables: { name: string; answer: TableAnswer | null; why: string | null }[];
}

/** A file of questions, put to each table. */
export interface StaticScores {
  file: string;
  tables: { name: string; rated: RatedResult | null; analogies: AnalogiesResult | null; why: string | null }[];
}

/** The index that neighbours are looked for in. */
export interface IndexSummary {
  /** Null: the workspace. */
  folder: string | null;
  /** Texts there; null: not counted yet. */
  files: number | null;
  /** Of the layer that is looked at; null: not looked for yet. */
  state: 'none' | 'begun' | 'finished' | null;
  /** All of the same files, of whatever model and layer. */
  stored: readonly StoredIndex[];
}

export interface EmbeddingsState extends LoadState {
  model: ModelSummary | null;
  interventions: Scale[];
  subject: SubjectSummary | null;
  /** The word that is looked at. */
  word: string | null;
  look: EmbeddingsLook;
  /** L; null: not known. */
  layers: number | null;
  index: IndexSummary;
  /** The file of static vectors that is open. */
  table: (TableInfo & { name: string }) | null;
  /** Another number for every other result; 0: there is none. */
  revision: Record<EmbeddingsPart, number>;
}

/** method → [parameters, result] */
export interface EmbeddingsMethods extends InterventionMethods {
  ready: [null, null];
  look: [Partial<EmbeddingsLook>, null];
  /** The results of the present revision; null when there is none. */
  word: [null, WordResult | null];
  occurrences: [null, OccurrencesResult | null];
  neighbours: [null, CorpusNeighboursResult | null];
  mix: [null, WordMixResult | null];
  learned: [null, LearnMixResult | null];
  static: [null, StaticAnswers | null];
  scores: [null, StaticScores | null];
  sentences: [null, SentenceComparison | null];
  passages: [null, CorpusNeighboursResult | null];
  contextuality: [null, ContextualityResult | null];
  /** Occurrences of the word. */
  find: [{ scope: OccurrenceScope }, null];
  /** Sentences of the selection, or of the whole document. */
  compareSentences: [null, null];
  compared: [null, CompareModelsResult | null];
  /** Contextuality over files. */
  measure: [null, null];
  /** Asks for another model, and compares all layers with its layers over the same files. */
  compareModels: [null, null];
  /** Of the layer that is looked at; goes on where it was stopped. */
  buildIndex: [null, null];
  /** Index among the stored ones; null: all of them. */
  deleteIndex: [{ index: number | null }, null];
  /** What is indexed: the workspace, or a folder that the person chooses. */
  indexWhat: [{ what: 'workspace' | 'folder' }, null];
  openNeighbour: [{ index: number }, null];
  /** Sentences of files that are near to what is selected. */
  findPassages: [null, null];
  openPassage: [{ index: number }, null];
  /** Asks for labelled lines, and learns which layers they want. */
  learnMix: [null, null];
  /** Asks for a file of static vectors. */
  openVectors: [null, null];
  closeVectors: [null, null];
  /** Asks for a file of rated pairs or of analogies. */
  score: [{ what: 'rated' | 'analogies' }, null];
  openOccurrence: [{ index: number }, null];
  openSentence: [{ index: number }, null];
  reveal: [{ range: TextRange }, null];
  refresh: [null, null];
  cancel: [null, null];
  selectModel: [null, null];
  export: [{ format: 'json' | 'csv' | 'clipboard' }, null];
  openInEditor: [null, null];
  showLog: [null, null];
  help: [null, null];
  run: [{ command: 'onnxLens.showEmbeddings' }, null];
}
