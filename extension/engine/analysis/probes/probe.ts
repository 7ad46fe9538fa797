/**
 * Relation probes (LAMA, Petroni et al. 2019): each fact's sentence with the answer masked goes through the model, and the answer is
 * ranked. Texts of many facts run together, sorted by length, so that next to nothing is padding; equal texts run once.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { answersOf, factKey } from '../../../cloze/facts';
import { cutTemplate, fillTemplate, negate, templateProblems, type Template } from '../../../cloze/template';
import { counted } from '../../../protocol/format';
import type {
  JointAnswer,
  ProbeAnswer,
  ProbeFact,
  ProbeFactResult,
  ProbeOptions,
  ProbeParams,
  ProbeRelation,
  ProbeResult,
} from '../../../protocol/probes';
import type { LanguageModel, RunContext } from '../../session/languageModel';
import { requireLanguageModel } from '../fillMask';
import { askAll, batches, runBatch, throwIfCancelled, type Question } from '../forward';
import type { Distribution } from '../distribution';
import { randomBelow, seededRandom } from '../random';
import { scoreJointly } from './joint';
import { layerAnswer, type LayerReader } from './layers';
import {
  answerTokens,
  causalQueries,
  isSkip,
  maskedQueries,
  skip,
  tailOf,
  type AnswerTokens,
  type Blank,
  type QueryMaker,
  type Skip,
} from './queries';
import { bestOf, candidateSet, MeanLogprobs, rankAnswer, type RankingSets, type SingleAnswer } from './rankings';
import { guesses, isPartOf, nameQueries } from './uhn';

/** Texts that are sorted by length together. More would be padded no less, and be told of later. */
const TEXTS_TOGETHER = 1024;
/** Questions of a person who waits for the answer. */
const FEW_TEXTS = 32;
/** Sums of log-probabilities that are held at a time, for means over templates. */
const MOST_SUMS = 2 ** 24;

type Ranked = Extract<ProbeFactResult, { kind: 'ranked' }>;
type Open = Extract<ProbeFactResult, { kind: 'open' }>;
/** Where an answer goes. */
type Slot =
  | { kind: 'template'; template: number; first: boolean }
  | { kind: 'negated' | 'context' }
  | { kind: 'misprimed'; prime: string };

interface Ask {
  fact: Pending;
  slot: Slot;
  answers: SingleAnswer[];
  sets: RankingSets;
}

/** A fact that waits for its texts. */
interface Pending {
  result: Ranked | Open;
  waiting: number;
  mean: MeanLogprobs | null;
  answers: SingleAnswer[];
  sets: RankingSets;
}

interface FactWork {
  work: RelationWork;
  fact: number;
}

/** A fact whose answers have several tokens. */
interface JointWork extends FactWork {
  accepted: readonly string[];
  blanks: readonly { template: number; blank: Blank }[];
}

interface Text extends Question {
  asks: Ask[];
}

export async function probe(
  model: LanguageModel,
  params: Omit<ProbeParams, 'model'>,
  context: RunContext,
  /** With `byLayer`. */
  readLayers: LayerReader | null = null,
): Promise<ProbeResult> {
  return new Probe(model, params.options, context, readLayers).run(params.relations);
}

/** So short that it may go before work over files. */
export function isShort({ relations, options }: Omit<ProbeParams, 'model'>): boolean {
  const texts = relations.reduce(
    (sum, { facts, templates }) => sum + facts.length * (Math.max(1, templates.length) + options.variants.length),
    0,
  );
  return texts <= FEW_TEXTS && !options.uhn;
}

class Probe {
  private readonly started = performance.now();
  private readonly kind: 'masked' | 'causal';
  private readonly queries: QueryMaker;
  private readonly notes = new Set<string>();
  private readonly words: ReadonlySet<string> | null;
  private readonly tokensByTail = new Map<string, { tokens: AnswerTokens; vocabulary: Int32Array | null }>();
  private readonly facts: ProbeFactResult[] = [];
  private told = 0;
  private total = 0;
  private count = 0;

  constructor(
    private readonly model: LanguageModel,
    private readonly options: ProbeOptions,
    private readonly context: RunContext,
    private readonly readLayers: LayerReader | null,
  ) {
    const { info, tokenizer } = model;
    this.kind = requireLanguageModel(info);
    this.queries = (this.kind === 'masked' ? maskedQueries : causalQueries)(tokenizer, info.maxTokens);
    this.words = options.vocabulary === undefined ? null : new Set(options.vocabulary);
  }

  async run(relations: readonly ProbeRelation[]): Promise<ProbeResult> {
    this.total = relations.reduce((sum, { facts }) => sum + facts.length, 0);
    for (const chunk of this.chunks(await this.works(relations))) await this.runChunk(chunk);
    return {
      model: this.model.info.id,
      kind: this.kind,
      facts: this.facts,
      notes: [...this.notes],
      queries: this.count,
      elapsed: performance.now() - this.started,
    };
  }

  private async works(relations: readonly ProbeRelation[]): Promise<RelationWork[]> {
    const works: RelationWork[] = [];
    for (const relation of relations) {
      const guessed = this.options.uhn ? await this.guessedFacts(relation) : new Map<number, Skip>();
      const work = new RelationWork(relation, this.queries, guessed);
      for (const note of work.notes) this.notes.add(note);
      works.push(work);
    }
    return works;
  }

  /** Facts, of several relations too, whose texts are sorted and run together. */
  private *chunks(works: readonly RelationWork[]): Generator<FactWork[]> {
    const vocabSize = this.model.info.vocabSize ?? this.model.tokenizer.vocabSize;
    let [chunk, texts, sums]: [FactWork[], number, number] = [[], 0, 0];
    for (const work of works) {
      const templates = Math.max(1, work.templates.length);
      const [ownTexts, ownSums] = [templates + this.options.variants.length, templates > 1 ? vocabSize : 0];
      for (let fact = 0; fact < work.relation.facts.length; fact++) {
        if (chunk.length > 0 && (texts + ownTexts > TEXTS_TOGETHER || sums + ownSums > MOST_SUMS)) {
          yield chunk;
          [chunk, texts, sums] = [[], 0, 0];
        }
        chunk.push({ work, fact });
        texts += ownTexts;
        sums += ownSums;
      }
    }
    if (chunk.length > 0) yield chunk;
  }

  private async runChunk(chunk: readonly FactWork[]): Promise<void> {
    const texts = new Map<string, Text>();
    const joint: JointWork[] = [];
    for (const { work, fact } of chunk)
      this.settle(work, fact, work.guessed.get(fact) ?? this.plan(work, fact, texts, joint));
    const sorted = [...texts.values()].sort((a, b) => a.ids.length - b.ids.length);
    for (const batch of batches(sorted) as Text[][]) {
      throwIfCancelled(this.context.signal);
      const answers = await runBatch(this.model, batch);
      this.count += batch.length;
      for (const [row, text] of batch.entries()) {
        const taken = text.asks.map((ask) => ({ ask, answer: this.take(ask, answers[row]?.[0] as Distribution) }));
        await this.askLayers(text, taken);
        for (const { ask } of taken) this.finishWhenComplete(ask.fact);
      }
      this.tell();
      // Lets a cancel be read.
      await nextTurn();
    }
    // They take several texts for each candidate: a person sees the others first.
    for (const each of joint) {
      this.settle(each.work, each.fact, await this.joint(each));
      this.tell();
    }
    this.tell();
  }

  private settle({ relation }: RelationWork, fact: number, why: Skip | null): void {
    if (why !== null) this.finish({ relation: relation.id, fact, kind: 'skipped', why: why.why, detail: why.detail });
  }

  /** Puts the fact's texts among those to be run, or the fact among those whose answers have several tokens; or says why not. */
  private plan(work: RelationWork, index: number, texts: Map<string, Text>, joint: JointWork[]): Skip | null {
    const { relation } = work;
    const fact = relation.facts[index] as ProbeFact;
    const blanks = work.blanksOf(fact);
    const [first] = blanks;
    if (first === undefined) return skip('no usable template', work.notes.join(' ') || 'the relation has none');
    if (fact.answers.length === 0) return this.planOpen(work, index, blanks, texts);
    const accepted = fact.answers.filter((answer) => this.words?.has(answer) !== false);
    if (accepted.length === 0)
      return skip('answer not in the vocabulary file', fact.answers.map((answer) => `“${answer}”`).join(', '));
    const sets = this.setsOf(first.blank.before, relation);
    const answers = singleAnswers(accepted, sets.tokens);
    if (answers.length === 0) {
      joint.push({ work, fact: index, accepted, blanks });
      return null;
    }

    const asks: { blank: Blank; slot: Slot }[] = [
      ...blanks.map(({ template, blank }, at) => ({
        blank,
        slot: { kind: 'template', template, first: at === 0 } as const,
      })),
      ...this.variantsOf(work, fact),
    ];
    const pending: Pending = {
      result: {
        ...{ relation: relation.id, fact: index, kind: 'ranked', answers: [] },
        ...{ ensemble: null, negated: null, misprimed: null, context: null },
      },
      waiting: 0,
      mean: blanks.length > 1 ? new MeanLogprobs(this.model.info.vocabSize ?? this.model.tokenizer.vocabSize) : null,
      answers,
      sets,
    };
    const planned: { key: string; text: Question; ask: Ask }[] = [];
    let problem: Skip | null = null;
    for (const { blank, slot } of asks) {
      const own = this.setsOf(blank.before, relation);
      const inPlace = own === sets ? answers : singleAnswers(accepted, own.tokens);
      const row = this.queries.row(blank, 1);
      if (isSkip(row)) {
        problem ??= row;
        continue;
      }
      // Cut otherwise behind this template, and then of several tokens.
      if (inPlace.length === 0) continue;
      planned.push({ key: keyOf(blank), text: row, ask: { fact: pending, slot, answers: inPlace, sets: own } });
    }
    if (!planned.some(({ ask }) => ask.slot.kind === 'template'))
      return problem ?? skip('answer is not cut at its ends', 'behind every template');
    for (const { key, text, ask } of planned) put(texts, key, text, ask);
    return null;
  }

  /** The same for a fact without known answers: what the model says is all. */
  private planOpen(
    { relation }: RelationWork,
    fact: number,
    blanks: readonly { template: number; blank: Blank }[],
    texts: Map<string, Text>,
  ): Skip | null {
    const result: Open = { relation: relation.id, fact, kind: 'open', answers: [] };
    const pending: Pending = {
      ...{ result, waiting: 0, mean: null, answers: [] },
      sets: this.setsOf(blanks[0]?.blank.before ?? '', relation),
    };
    let problem: Skip | null = null;
    for (const { template, blank } of blanks) {
      const row = this.queries.row(blank, 1);
      if (isSkip(row)) problem ??= row;
      else {
        const ask: Ask = {
          ...{ fact: pending, slot: { kind: 'template', template, first: false }, answers: [] },
          sets: this.setsOf(blank.before, relation),
        };
        put(texts, keyOf(blank), row, ask);
      }
    }
    return pending.waiting === 0 ? problem : null;
  }

  private variantsOf(work: RelationWork, fact: ProbeFact): { blank: Blank; slot: Slot }[] {
    const { variants, seed } = this.options;
    const [plain] = work.blanksOf(fact);
    if (plain === undefined) return [];
    const asks: { blank: Blank; slot: Slot }[] = [];
    const denied = variants.includes('negated') ? work.negatedBlank(fact) : null;
    if (denied !== null) asks.push({ blank: denied, slot: { kind: 'negated' } });
    const prime = variants.includes('misprimed') ? misprime(work, fact, seed) : null;
    if (prime !== null) asks.push({ blank: before(`${prime}? `, plain.blank), slot: { kind: 'misprimed', prime } });
    if (variants.includes('context') && fact.context !== undefined)
      asks.push({ blank: before(`${fact.context.trim()} `, plain.blank), slot: { kind: 'context' } });
    return asks;
  }

  /** The same answers after each layer, for first templates. */
  private async askLayers(text: Text, taken: readonly { ask: Ask; answer: ProbeAnswer | null }[]): Promise<void> {
    const wanted = taken.flatMap(({ ask, answer }) => {
      const id = ask.answers.find(({ text: word }) => word === answer?.answer)?.id;
      return ask.slot.kind !== 'template' || !ask.slot.first || answer === null || id === undefined
        ? []
        : [{ sets: ask.sets, answer, id }];
    });
    if (this.readLayers === null || wanted.length === 0) return;
    throwIfCancelled(this.context.signal);
    for (const { answer } of wanted) answer.layers = [];
    await this.readLayers(text, (distribution) => {
      for (const { answer, id, sets } of wanted) answer.layers?.push(layerAnswer(distribution, id, sets));
    });
  }

  private take({ fact, slot, answers, sets }: Ask, distribution: Distribution): ProbeAnswer | null {
    const { result, mean } = fact;
    const { topK } = this.options;
    const { tokenizer } = this.model;
    if (result.kind === 'open') {
      if (slot.kind === 'template')
        result.answers.push({
          template: slot.template,
          top: bestOf(tokenizer, distribution, sets.vocabulary, topK),
        });
      return null;
    }
    const answer: ProbeAnswer = {
      template: slot.kind === 'template' ? slot.template : 0,
      ...rankAnswer(tokenizer, distribution, answers, sets, topK),
    };
    if (slot.kind === 'template') {
      result.answers.push(answer);
      mean?.add(distribution);
    } else if (slot.kind === 'misprimed') result.misprimed = { ...answer, prime: slot.prime };
    else result[slot.kind] = answer;
    return answer;
  }

  private finishWhenComplete(fact: Pending): void {
    if (--fact.waiting > 0) return;
    const { result, mean } = fact;
    // Texts come by length.
    result.answers.sort((a, b) => a.template - b.template);
    if (result.kind === 'ranked' && result.answers.length > 1 && mean !== null)
      result.ensemble = mean.rank(fact.answers, fact.sets);
    fact.mean = null;
    this.finish(result);
  }

  private async joint({ work: { relation }, fact, accepted, blanks }: JointWork): Promise<Skip | null> {
    const answers: JointAnswer[] = [];
    let problem: Skip | null = null;
    for (const { template, blank } of blanks) {
      const { tokens } = this.setsOf(blank.before, relation);
      const scored = await scoreJointly(
        this.model,
        this.kind,
        this.queries,
        { blank, tokens, answers: accepted, candidates: relation.candidates ?? null },
        this.options.joint,
        this.context.signal,
      );
      if (isSkip(scored)) problem ??= scored;
      else {
        answers.push({ template, ...scored.answer });
        this.count += scored.texts;
      }
    }
    if (answers.length === 0) return problem ?? skip('no usable template', '');
    this.finish({ relation: relation.id, fact, kind: 'joint', answers });
    return null;
  }

  /** Facts that the filters of UHN leave out. */
  private async guessedFacts(relation: ProbeRelation): Promise<Map<number, Skip>> {
    const skipped = new Map<number, Skip>();
    const questions = new Map<string, Question & { blank: Blank }>();
    relation.facts.forEach(({ subject, answers }, index) => {
      if (subject === null) return;
      const part = answers.find((answer) => isPartOf(answer, subject));
      if (part !== undefined) skipped.set(index, skip('answer is part of the subject', `“${part}”`));
      else
        for (const blank of nameQueries(relation.id, subject)) {
          const row = this.queries.canAsk(blank.after) ? this.queries.row(blank, 1) : null;
          if (row !== null && !isSkip(row)) questions.set(blank.before, { ...row, blank });
        }
    });
    const sorted = [...questions.values()].sort((a, b) => a.ids.length - b.ids.length);
    const guessed = new Map<string, Set<number>>();
    const answers = await askAll(this.model, sorted, this.context.signal);
    this.count += sorted.length;
    sorted.forEach(({ blank }, index) => {
      const { vocabulary } = this.setsOf(blank.before, relation);
      guessed.set(blank.before, new Set(guesses(answers[index]?.[0] as Distribution, vocabulary)));
    });
    relation.facts.forEach(({ subject, answers: own }, index) => {
      if (subject === null || skipped.has(index)) return;
      const accepted = singleAnswers(own, this.setsOf(' ', relation).tokens);
      for (const { before: name } of nameQueries(relation.id, subject)) {
        const found = accepted.find(({ id }) => guessed.get(name)?.has(id) === true);
        if (found === undefined) continue;
        skipped.set(index, skip('answer is guessed from the name', `“${name.split(' ', 1)[0] ?? ''}” → ${found.text}`));
        return;
      }
    });
    return skipped;
  }

  private readonly setsByRelation = new Map<string, RankingSets>();

  private setsOf(textBefore: string, relation: ProbeRelation): RankingSets {
    const tail = tailOf(textBefore);
    const key = `${relation.id}\0${tail}`;
    const known = this.setsByRelation.get(key);
    if (known !== undefined) return known;
    const { tokens, vocabulary } = this.tokensBehind(tail);
    const sets: RankingSets = { tokens, vocabulary, candidates: candidateSet(relation.candidates, tokens) };
    this.setsByRelation.set(key, sets);
    return sets;
  }

  private tokensBehind(tail: string): { tokens: AnswerTokens; vocabulary: Int32Array | null } {
    const known = this.tokensByTail.get(tail);
    if (known !== undefined) return known;
    const tokens = answerTokens(this.model.tokenizer, tail);
    const { vocabulary: words } = this.options;
    const vocabulary = words === undefined ? null : tokens.single(words);
    if (words !== undefined && vocabulary !== null && vocabulary.length < words.length)
      this.notes.add(
        `Of the ${counted(words.length, 'word')} of the vocabulary file ${vocabulary.length} are one token of this model; answers are ranked among these.`,
      );
    const made = { tokens, vocabulary };
    this.tokensByTail.set(tail, made);
    return made;
  }

  private finish(result: ProbeFactResult): void {
    this.facts.push(result);
  }

  private tell(): void {
    const fresh = this.facts.slice(this.told);
    if (fresh.length === 0) return;
    this.told = this.facts.length;
    this.context.progress({
      message: `${this.facts.length} of ${counted(this.total, 'fact')}`,
      fraction: this.facts.length / this.total,
      facts: fresh,
    });
  }
}

const keyOf = ({ before, after }: Blank): string => `${before}\0${after}`;

/** Equal texts run once. */
function put(texts: Map<string, Text>, key: string, text: Question, ask: Ask): void {
  const known = texts.get(key) ?? { ...text, asks: [] };
  texts.set(key, known);
  known.asks.push(ask);
  ask.fact.waiting++;
}

/** A relation with its templates cut up. */
class RelationWork {
  readonly templates: { template: number; cut: Template }[] = [];
  readonly notes: string[] = [];
  private readonly denied: Template | null;
  private readonly answers: readonly string[];

  constructor(
    readonly relation: ProbeRelation,
    private readonly queries: QueryMaker,
    /** Facts that are left out, and why. */
    readonly guessed: ReadonlyMap<number, Skip>,
  ) {
    relation.templates.forEach(({ text }, template) => {
      const cut = templateProblems(text).length === 0 ? cutTemplate(text) : null;
      if (cut !== null && queries.canAsk(cut.after.join(''))) this.templates.push({ template, cut });
      else
        this.notes.push(
          cut === null
            ? `${relation.id}: the template “${text}” does not hold [X], and [Y] once; it is left out.`
            : `${relation.id}: the template “${text}” goes on after [Y], where a left-to-right model does not look; it is left out.`,
        );
    });
    this.denied = this.deny();
    this.answers = relation.answers ?? answersOf(relation);
  }

  private deny(): Template | null {
    const [first] = this.templates;
    if (first === undefined) return null;
    const { text, negated } = this.relation.templates[first.template] as ProbeRelation['templates'][number];
    const denied = negated ?? negate(text);
    if (denied === null || templateProblems(denied).length > 0) return null;
    return this.usable(cutTemplate(denied));
  }

  private usable(cut: Template): Template | null {
    return this.queries.canAsk(cut.after.join('')) ? cut : null;
  }

  blanksOf({ subject, sentence }: ProbeFact): { template: number; blank: Blank }[] {
    if (sentence !== undefined) {
      const cut = this.usable(cutTemplate(sentence));
      return cut === null ? [] : [{ template: 0, blank: fillTemplate(cut, subject ?? '') }];
    }
    if (subject === null) return [];
    return this.templates.map(({ template, cut }) => ({ template, blank: fillTemplate(cut, subject) }));
  }

  negatedBlank({ subject, sentence }: ProbeFact): Blank | null {
    if (sentence === undefined)
      return this.denied === null || subject === null ? null : fillTemplate(this.denied, subject);
    const text = negate(sentence);
    const cut = text === null ? null : this.usable(cutTemplate(text));
    return cut === null ? null : fillTemplate(cut, subject ?? '');
  }

  /** Answers of other facts. */
  others({ answers }: ProbeFact): string[] {
    return this.answers.filter((answer) => !answers.includes(answer));
  }
}

/** A wrong answer of the relation, the same for a fact whatever else is asked in the run. */
function misprime(work: RelationWork, fact: ProbeFact, seed: number): string | null {
  const others = work.others(fact);
  if (others.length === 0) return null;
  const random = seededRandom(hash(`${seed} ${work.relation.id} ${factKey(fact)}`));
  return others[randomBelow(random, others.length)] as string;
}

/** FNV-1a over UTF-16 units. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) value = Math.imul(value ^ text.charCodeAt(index), 0x01000193);
  return value >>> 0;
}

const before = (text: string, blank: Blank): Blank => ({ ...blank, before: text + blank.before });

const singleAnswers = (answers: readonly string[], tokens: AnswerTokens): SingleAnswer[] =>
  answers.flatMap((text) => {
    const cut = tokens.of(text);
    return !isSkip(cut) && cut.length === 1 ? [{ text, id: cut[0] as number }] : [];
  });
