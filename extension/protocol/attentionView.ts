/**
 * What the Attention view and the extension host say to each other. The state is small; the pictures are fetched by requests with
 * results, when they are looked at, and are known by `revision`.
 */
import type {
  AblationResult,
  AttentionMaps,
  AttentionOverview,
  AttentionSelection,
  AttentionSteps,
  HeadCorpusResult,
  HeadRef,
  HeadRelationsResult,
  HeadWeights,
  RelationDirection,
  RelationExample,
} from './attention';
import type { Progress, TextRange } from './engine';
import type { ErrorData } from './errors';
import type { Scale } from './interventions';
import type { InterventionMethods, LoadState, ModelSummary, SubjectSummary } from './view';

/** `heads`: all layers × heads. `corpus`, `relations`: over files. `effects`: ablation. */
export type AttentionPage = 'heads' | 'head' | 'steps' | 'compare' | 'effects' | 'relations' | 'corpus';

export type PairFilter = 'all' | 'A→A' | 'A→B' | 'B→A' | 'B→B';

/** What of the attention is looked at; kept by the host, saved with the subject. */
export interface AttentionLook extends AttentionSelection {
  page: AttentionPage;
  drawing: 'lines' | 'matrix';
  /** Hide cells below a weight, or all but the strongest of a row that together have this mass. */
  threshold: { kind: 'weight' | 'mass'; value: number };
  /** From the target to what it attends to, or to the target from what attends to it. */
  direction: 'from' | 'to';
  filter: PairFilter;
  /** Index of a token; the unit that holds it is the target, whatever the picture merges or hides. Null: none. */
  target: number | null;
  sort: 'layer' | 'type' | 'entropy' | 'importance';
  /** Only heads of this type; null: all. */
  type: string | null;
}

export type CompareKind = 'heads' | 'texts' | 'masked' | 'interventions' | 'models';

export interface AttentionComparison {
  kind: CompareKind;
  labels: [string, string];
  maps: [AttentionMaps, AttentionMaps];
  /** Units of both are the same, so that a difference (second − first) can be drawn. */
  aligned: boolean;
}

export interface AttentionState extends LoadState {
  model: ModelSummary | null;
  subject: SubjectSummary | null;
  pinned: boolean;
  look: AttentionLook;
  interventions: Scale[];
  /** Changes when the overview, the maps, … are others; 0: there is none. */
  revision: {
    overview: number;
    maps: number;
    steps: number;
    comparison: number;
    effects: number;
    corpus: number;
    relations: number;
  };
  /** Without the pictures. */
  overview: Omit<AttentionOverview, 'thumbnails'> | null;
  /** What could be compared with what: other models, the other text (kept by “Keep for Comparison”). */
  comparable: { kind: CompareKind; label: string; detail: string; enabled: boolean }[];
  /** Long work over files, which goes on beside the rest. */
  work: { what: 'corpus' | 'relations'; progress: Progress } | null;
  workError: ErrorData | null;
  /** The words of the document are coloured by this picture. */
  inDocument: boolean;
}

/** method → [parameters, result] */
export interface AttentionMethods extends InterventionMethods {
  ready: [null, null];
  look: [Partial<AttentionLook>, null];
  /** The pictures of the present revision; null when there is none. */
  thumbnails: [null, AttentionOverview['thumbnails'] | null];
  maps: [null, AttentionMaps | null];
  steps: [null, AttentionSteps | null];
  comparison: [null, AttentionComparison | null];
  /** `effects`: each head off. `together`: the interventions in force as one change, at the target. */
  effects: [null, { effects: AblationResult | null; together: AblationResult | null; weights: HeadWeights | null }];
  corpus: [null, HeadCorpusResult | null];
  relations: [null, HeadRelationsResult | null];
  examples: [HeadRef & { relation: string; direction: RelationDirection }, RelationExample[]];
  openExample: [{ source: string; line: number }, null];
  /** Which heads matter at the target. */
  ablate: [{ mean: boolean; importance: boolean }, null];
  compare: [{ kind: CompareKind; other?: HeadRef | string } | null, null];
  keepForComparison: [null, null];
  corpusFiles: [{ what: 'corpus' | 'relations' }, null];
  stopWork: [null, null];
  /** Go on with what was stopped, on the same files. */
  resumeWork: [{ what: 'corpus' | 'relations' }, null];
  pin: [{ on: boolean }, null];
  inDocument: [{ on: boolean }, null];
  reveal: [{ range: TextRange; text: 0 | 1 }, null];
  refresh: [null, null];
  cancel: [null, null];
  selectModel: [null, null];
  export: [{ format: 'json' | 'csv' | 'clipboard' }, null];
  /** A finished picture, drawn by the view. */
  saveImage: [{ format: 'png' | 'svg' | 'html'; data: Uint8Array }, null];
  saveState: [null, null];
  openInEditor: [null, null];
  showLog: [null, null];
  help: [null, null];
  run: [{ command: 'onnxLens.showAttention' | 'onnxLens.showAttentionPair' }, null];
}
