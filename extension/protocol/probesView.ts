/** What the Probes view shows, and asks of the host. Large parts are fetched when their revision changes. */
import type { Scale } from './interventions';
import type { ProbePrediction } from './probes';
import type { InterventionMethods, LoadState, ModelSummary } from './view';

export type ProbesPage = 'facts' | 'relations' | 'compare' | 'layers' | 'runs';

export interface ShownRun {
  id: string;
  title: string;
  model: string;
  /** Heads and neurons that were scaled in it. */
  changes: Scale[];
  /** Milliseconds since 1970. */
  startedAt: number;
  state: 'running' | 'finished' | 'cancelled' | 'failed';
  /** Facts that were answered, and all. */
  facts: number;
  total: number;
  /** Mean of relations; null while it runs, and of questions without answers. */
  p1: number | null;
  /** It can be run again: its facts are still known. */
  repeatable: boolean;
}

export interface ProbesState extends LoadState {
  model: ModelSummary | null;
  /** In force now; those of a run are the run's own. */
  interventions: Scale[];
  page: ProbesPage;
  /** Newest first. */
  runs: ShownRun[];
  /** Ids of the run that is looked at, and of the one that it is compared with. */
  run: string | null;
  other: string | null;
  /** Changes with what `rows`, `summary` and `comparison` give. */
  revision: { rows: number; summary: number; comparison: number };
  /** Models that the run could be asked of, too. */
  models: string[];
}

/** right, wrong: by the run's main ranking. open: nothing was expected. joint: an answer of several tokens, which is told apart. */
export type RowStatus = 'right' | 'wrong' | 'joint' | 'open' | 'skipped';

/** The lecture's table: relation, query, answer, generations [log-probability]. */
export interface ProbeRow {
  relation: string;
  /** The sentence of the first template, with `____`. */
  query: string;
  answer: string;
  status: RowStatus;
  /** Why there is no answer. */
  why: string | null;
  /** Of the answer, over the whole vocabulary. */
  logprob: number | null;
  /** Among what the run ranks in. */
  rank: number | null;
  /** The first predictions. */
  top: { text: string; logprob: number }[];
  /** Its place in the order of the files; null when that is not known. */
  place: number | null;
}

/** All that was said to one fact. */
export interface ProbeFactDetails {
  place: { file: string; line: number } | null;
  answers: { label: string; query: string; answer: string; logprob: number; rank: number; top: ProbePrediction[] }[];
}

export interface Range {
  low: number;
  high: number;
}

export interface RelationLine {
  relation: string;
  template: string;
  n: number;
  p1: number;
  p10: number;
  mrr: number;
  /** 95 %. */
  intervals: { p1: Range; p10: Range; mrr: Range };
  meanLogprob: number;
  majority: number;
  /** When it was asked by layer: before the first one, then after each. */
  layers: { n: number; p1: number; mrr: number; meanLogprob: number }[] | null;
  /** What else was asked, a sentence each. */
  details: string[];
}

export interface ProbesSummary {
  relations: RelationLine[];
  macro: Pick<RelationLine, 'p1' | 'p10' | 'mrr' | 'intervals'>;
  ranking: string;
  notes: string[];
}

/** One relation, or all facts together, in two runs. */
export interface ComparisonLine {
  relation: string;
  /** Ranked in both runs. */
  n: number;
  /** P@1 of each. */
  first: number;
  second: number;
  /** Right in the second run only, in the first only, in both, in neither. */
  gained: number;
  lost: number;
  right: number;
  wrong: number;
  /** McNemar's exact test, two-sided. */
  p: number;
}

export interface ProbesComparison {
  first: string;
  second: string;
  relations: ComparisonLine[];
  all: Omit<ComparisonLine, 'relation'>;
  unpaired: number;
  changes: { relation: string; subject: string; answers: string[]; change: 'gained' | 'lost'; index: number }[];
}

/** Tables for papers. */
export type ProbesTable = 'md' | 'tex';

/** method → [parameters, result] */
export interface ProbesMethods extends InterventionMethods {
  ready: [null, null];
  look: [{ page: ProbesPage }, null];
  show: [{ run: string }, null];
  compareWith: [{ run: string | null }, null];
  rows: [null, ProbeRow[]];
  summary: [null, ProbesSummary | null];
  comparison: [null, ProbesComparison | null];
  details: [{ index: number }, ProbeFactDetails | null];
  /** Goes to the fact's line. */
  reveal: [{ index: number }, null];
  /** The same facts again, perhaps of another model. */
  again: [{ model: string | null }, null];
  /** The same facts again, with the answers' ranks after each layer. */
  askLayers: [null, null];
  remove: [{ run: string }, null];
  removeAll: [null, null];
  refresh: [null, null];
  cancel: [null, null];
  selectModel: [null, null];
  export: [{ format: 'json' | 'csv' | 'clipboard' }, null];
  exportTable: [{ format: ProbesTable }, null];
  openInEditor: [null, null];
  showLog: [null, null];
  help: [null, null];
  run: [{ command: 'onnxLens.probeFile' | 'onnxLens.probeLine' }, null];
}
