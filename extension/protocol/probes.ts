/**
 * Relation probes: what may be asked (relations with templates and facts), and what is answered, fact by fact. `[X]` stands for the
 * subject, `[Y]` for the answer. Ranks count from 1; equal logits are ordered by lower id. What each number means is in docs/probes.md.
 */
import type { ModelRef } from './engine';
import type { Scale } from './interventions';

export interface ProbeFact {
  /** Null for a fact that is a sentence of its own. */
  subject: string | null;
  /** Used instead of the templates: a sentence with `[Y]` once. Further `[MASK]`s in it stay masked. */
  sentence?: string;
  /** The best ranked one counts. Empty: no answer is known, and the model's own are asked for. */
  answers: string[];
  /** Given to the model before the query, for the variant `context`. */
  context?: string;
}

export interface ProbeTemplate {
  /** With `[Y]` once and `[X]` at least once. */
  text: string;
  /** The same, denied. Without it a rule puts “not” behind is, are, was, were, can and the like. */
  negated?: string;
}

export interface ProbeRelation {
  /** `P19`, `capital-of` … */
  id: string;
  /** The first one is the relation's own; the others are paraphrases of it. */
  templates: ProbeTemplate[];
  facts: ProbeFact[];
  /** Ranked against each other, beside the ranking in the vocabulary. */
  candidates?: string[];
  /** What a misprime is chosen from; without it the answers of the given facts. */
  answers?: string[];
}

/**
 * negated: the denied template. misprimed: “Wrong? …” before the query, with an answer of another fact (Kassner & Schütze 2020).
 * context: the fact's context sentence before the query.
 */
export type ProbeVariant = 'negated' | 'misprimed' | 'context';

export interface ProbeOptions {
  /** Words among which answers are ranked, as LAMA's common vocabulary; without it the model's whole vocabulary. */
  vocabulary?: string[];
  /** Predictions kept for each query. */
  topK: number;
  variants: ProbeVariant[];
  /** Leave out facts that a name alone gives away (Poerner et al. 2020). */
  uhn: boolean;
  /**
   * Answers of several tokens. pll: each token masked alone, the others in place (pseudo-log-likelihood). masks: all of them masked
   * in one run. Causal models: left to right in both cases.
   */
  joint: 'pll' | 'masks';
  /** Of the choice of misprimes. */
  seed: number;
  /** Also the answer's rank after each layer, by the first template. */
  byLayer?: boolean;
  /** Heads and neurons that are scaled in all runs; those at one token are refused. */
  interventions?: Scale[];
}

export interface ProbeParams {
  model: ModelRef;
  relations: ProbeRelation[];
  options: ProbeOptions;
}

/** Why a fact has no rank. */
export type ProbeSkip =
  | 'answer not in the vocabulary file'
  | 'answer has no token'
  | 'answer is the mask'
  | 'answer is unknown to the tokenizer'
  | 'answer is not cut at its ends'
  | 'special token in the text'
  | 'too long for the model'
  | 'no usable template'
  | 'answer is part of the subject'
  | 'answer is guessed from the name';

export interface ProbePrediction {
  id: number;
  token: string;
  /** What a person would read. */
  text: string;
  logprob: number;
}

/** The answer where the model's head reads a layer instead of the last one. */
export interface LayerAnswer {
  logprob: number;
  rank: number;
  candidateRank: number | null;
}

/** What the model says to one query. Null: there is no such ranking. */
export interface ProbeAnswer {
  /** Index into the relation's templates; 0 for a sentence. */
  template: number;
  /** The accepted answer that ranks best. */
  answer: string;
  /** Of that answer, over the whole vocabulary, not renormalised. */
  logprob: number;
  /** Among the words of `options.vocabulary`; without one, in the whole vocabulary. */
  rank: number;
  fullRank: number;
  candidateRank: number | null;
  /** The first of the candidates. */
  choice: string | null;
  /** The best of the ranking of `rank`, best first. */
  top: ProbePrediction[];
  /** Before the first layer, then after each. */
  layers?: LayerAnswer[];
}

/** An answer of several tokens. Ranked among the candidates only, by log-probability divided by the number of tokens. */
export interface JointAnswer {
  template: number;
  answer: string;
  tokens: string[];
  logprob: number;
  meanLogprob: number;
  candidateRank: number | null;
  choice: string | null;
}

/** What the model says where no answer is known. */
export interface OpenAnswer {
  /** Index into the relation's templates; 0 for a sentence. */
  template: number;
  /** Among the words of `options.vocabulary`; without one, of the whole vocabulary; best first. */
  top: ProbePrediction[];
}

/** Mean over templates of the log-probabilities (LPAQA); only with several templates. */
export interface EnsembleAnswer {
  answer: string;
  logprob: number;
  rank: number;
  candidateRank: number | null;
}

interface FactPlace {
  relation: string;
  /** Index into the relation's facts. */
  fact: number;
}

export type ProbeFactResult = FactPlace &
  (
    | { kind: 'skipped'; why: ProbeSkip; detail: string }
    | { kind: 'joint'; answers: JointAnswer[] }
    /** Without known answers. */
    | { kind: 'open'; answers: OpenAnswer[] }
    | {
        kind: 'ranked';
        /** One a template that can be used for it, in their order. */
        answers: ProbeAnswer[];
        ensemble: EnsembleAnswer | null;
        /** By the first template. */
        negated: ProbeAnswer | null;
        misprimed: (ProbeAnswer & { prime: string }) | null;
        context: ProbeAnswer | null;
      }
  );

export interface ProbeResult {
  model: string;
  kind: 'masked' | 'causal';
  /** In the order in which they were finished. */
  facts: ProbeFactResult[];
  /** What a person should know: templates that could not be used, words that the vocabulary lacks … */
  notes: string[];
  /** Texts that went through the model. */
  queries: number;
  elapsed: number;
}

export interface ModelFingerprint {
  /** SHA-256 over the .onnx file, its external data and tokenizer.json, in this order. */
  sha256: string;
  files: { name: string; bytes: number }[];
  /** Of this program's parts. */
  versions: Record<string, string>;
}

/** Answers in their place, behind a template's text, without running the model. */
export interface ProbeAnswersParams {
  model: ModelRef;
  groups: { before: string; answers: string[] }[];
}

export interface AnswerCheck {
  /** 0 when `why` is not null. */
  tokens: number;
  /** Why it cannot be asked for. */
  why: ProbeSkip | null;
}

/** method → [parameters, result]. `probe` tells in its progress of each fact as soon as it is finished. */
export interface ProbeEngineMethods {
  probe: [ProbeParams, ProbeResult];
  probeAnswers: [ProbeAnswersParams, { groups: AnswerCheck[][] }];
  fingerprint: [{ model: ModelRef }, ModelFingerprint];
}
