/**
 * What the extension host and the webviews say to each other. A view sends requests (an intent of the person) and gets a
 * response with the same id; the host sends the whole state when it changes. Views keep no results of their own.
 */
import type { ErrorData } from './errors';
import type { Scale } from './interventions';
import type {
  CorruptResult,
  FillMaskResult,
  ModelAnatomy,
  ModelInfo,
  NextSentenceResult,
  Progress,
  TextRange,
} from './engine';

export interface ModelSummary {
  id: string;
  kind: ModelInfo['kind'];
  state: 'not-loaded' | 'loading' | 'ready' | 'failed';
}

/** The document place that a view looks at. Ranges in results are relative to `windowStart`. */
export interface SubjectSummary {
  /** For people: the file's name. */
  document: string;
  /** 1-based line of the first target. */
  line: number;
  context: ContextKind;
  /** Offset in the document of the text that was given to the engine. */
  windowStart: number;
  /** The document was changed since: the result belongs to an older version. */
  stale: boolean;
}

/** What every view may ask about the heads and neurons that are changed. */
export interface InterventionMethods {
  /** Switch a head or neuron off (0) or scale it; 1 takes the change back. */
  intervene: [Scale, null];
  clearInterventions: [null, null];
  recipe: [{ action: 'save' | 'apply' | 'export' }, null];
}

export type ContextKind = 'sentence' | 'paragraph' | 'window';

export interface LoadState {
  status: 'empty' | 'loading' | 'ready' | 'error';
  /** While loading. */
  progress?: Progress;
  /** When failed. */
  error?: ErrorData;
}

export interface ClozeState extends LoadState {
  model: ModelSummary | null;
  /** In force now. */
  interventions: Scale[];
  subject: SubjectSummary | null;
  /** Stays, dimmed, while a newer one is loading. */
  result: FillMaskResult | null;
  /** A result kept to compare with. */
  pinned: { label: string; result: FillMaskResult } | null;
  /** The same place seen by a model of the other kind (both sides | left side only). */
  compared: { model: ModelSummary; result: FillMaskResult | null; error?: ErrorData } | null;
  /** Causal or masked models that could be compared with. */
  comparable: string[];
  follow: boolean;
  masks: number | 'auto';
  candidates: string[];
  topK: number;
  history: { index: number; length: number };
  /** The document can be edited (not read-only, not closed, not stale). */
  canInsert: boolean;
}

export interface ObjectivesState extends LoadState {
  model: ModelSummary | null;
  interventions: Scale[];
  subject: SubjectSummary | null;
  seed: number;
  wholeWord: boolean;
  corrupt: CorruptResult | null;
  nextSentence: { first: string; second: string; result: NextSentenceResult } | null;
}

/** method → [parameters, result] */
export interface ClozeMethods extends InterventionMethods {
  ready: [null, null];
  /** Mask this token instead of (or, additive, beside) the present ones; again to take it away. */
  maskToken: [{ index: number; additive: boolean }, null];
  setMasks: [{ masks: number | 'auto' }, null];
  setCandidates: [{ candidates: string[] }, null];
  setTopK: [{ topK: number }, null];
  /** Put texts into the document, one a target, as one undo step. */
  insert: [{ texts: string[] }, null];
  insertAt: [{ target: number; text: string }, null];
  /** Takes the last insertion back, in its editor. */
  undo: [null, null];
  history: [{ step: -1 | 1 }, null];
  pin: [{ on: boolean }, null];
  follow: [{ on: boolean }, null];
  refresh: [null, null];
  cancel: [null, null];
  reveal: [{ range: TextRange }, null];
  selectModel: [null, null];
  compareWith: [{ model: string | null }, null];
  export: [{ format: 'json' | 'csv' | 'clipboard' }, null];
  openInEditor: [null, null];
  showLog: [null, null];
  help: [null, null];
  /** A command of ours, for links in empty states. */
  run: [{ command: 'onnxLens.maskSelection' | 'onnxLens.corruptSelection' | 'onnxLens.nextSentence' }, null];
}
export interface ObjectivesMethods extends InterventionMethods {
  ready: [null, null];
  setSeed: [{ seed: number }, null];
  setWholeWord: [{ on: boolean }, null];
  refresh: [null, null];
  cancel: [null, null];
  reveal: [{ range: TextRange }, null];
  selectModel: [null, null];
  export: [{ format: 'json' | 'csv' | 'clipboard' }, null];
  showLog: [null, null];
  help: [null, null];
  run: ClozeMethods['run'];
}

/** What of the model is looked at; kept by the host, since a hidden webview keeps nothing. */
export interface AnatomyPlace {
  /** Id of a part. */
  selected: string;
  expanded: string[];
}
export interface AnatomyState extends LoadState {
  model: ModelSummary | null;
  anatomy: ModelAnatomy | null;
  place: AnatomyPlace | null;
}
export interface AnatomyMethods {
  ready: [null, null];
  remember: [AnatomyPlace, null];
  copy: [{ text: string }, null];
  refresh: [null, null];
  cancel: [null, null];
  selectModel: [null, null];
  export: [{ format: 'json' | 'csv' | 'clipboard' }, null];
  showLog: [null, null];
  help: [null, null];
}

export interface ViewRequest {
  type: 'request';
  id: number;
  method: string;
  params: unknown;
}
export type HostMessage<State> =
  { type: 'state'; state: State } | { type: 'response'; id: number; result?: unknown; error?: ErrorData };
