/** What the Embeddings view and the extension host say to each other. */
import type {
  ContextualityResult,
  OccurrencesResult,
  PROJECTIONS,
  SentencesParams,
  SentencesResult,
  WordResult,
} from './embeddings';
import type { TextRange } from './engine';
import type { Scale } from './interventions';
import type { InterventionMethods, LoadState, ModelSummary, SubjectSummary } from './view';

export type EmbeddingsPage = 'word' | 'occurrences' | 'sentences' | 'contextuality';
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

export interface EmbeddingsState extends LoadState {
  model: ModelSummary | null;
  interventions: Scale[];
  subject: SubjectSummary | null;
  /** The word that is looked at. */
  word: string | null;
  look: EmbeddingsLook;
  /** Another number for every other result; 0: there is none. */
  revision: Record<EmbeddingsPage, number>;
}

/** method → [parameters, result] */
export interface EmbeddingsMethods extends InterventionMethods {
  ready: [null, null];
  look: [Partial<EmbeddingsLook>, null];
  /** The results of the present revision; null when there is none. */
  word: [null, WordResult | null];
  occurrences: [null, OccurrencesResult | null];
  sentences: [null, SentenceComparison | null];
  contextuality: [null, ContextualityResult | null];
  /** Occurrences of the word. */
  find: [{ scope: OccurrenceScope }, null];
  /** Sentences of the selection, or of the whole document. */
  compareSentences: [null, null];
  /** Contextuality over files. */
  measure: [null, null];
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
