/** One run of tests: what was asked for, and how its tests hear of the results, in batches. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import * as vscode from 'vscode';
import { factKey } from '../cloze/facts';
import { placed, type SourceProblem } from '../cloze/sources';
import { uriOf } from '../editor/clozeDocuments';
import type { ErrorData } from '../protocol/errors';
import { count, counted, modelName } from '../protocol/format';
import type { ProbeFact } from '../protocol/probes';
import type { FactPlace, PlacedRelation, PlacedResult, ProbeRun, ProbeRunner } from './probeRunner';
import { testVerdict, type TestVerdict } from './testReport';

/** Told of at a time, and so often. */
const UPDATES_A_TURN = 200;
const FLUSH_MS = 100;
/** Failures that a template's own message names. */
const NAMED = 10;

/** A template of a relation that is run; its facts may have tests of their own, or be told of together. */
export interface AskedTemplate {
  /** Null: facts that are sentences of their own. */
  text: string | null;
  item: vscode.TestItem;
  /** Keys of facts; null: all. */
  keys: ReadonlySet<string> | null;
  /** By key; empty when nobody has opened them. */
  items: ReadonlyMap<string, vscode.TestItem>;
}

export interface AskedRelation {
  item: vscode.TestItem;
  relation: PlacedRelation;
  templates: readonly AskedTemplate[];
}

export const isSentence = ({ sentence }: ProbeFact): boolean => sentence !== undefined;

const isAsked = ({ text, keys }: AskedTemplate, fact: ProbeFact): boolean =>
  isSentence(fact) === (text === null) && (keys === null || keys.has(factKey(fact)));

/** The part of the relation that was asked for: some of its templates and facts. */
export function jobOf({ relation, templates }: AskedRelation): PlacedRelation {
  const indices = relation.facts.flatMap((fact, index) =>
    templates.some((template) => isAsked(template, fact)) ? [index] : [],
  );
  const texts = new Set(templates.map(({ text }) => text));
  return {
    ...relation,
    templates: relation.templates.filter(({ text }) => texts.has(text)),
    facts: indices.map((index) => relation.facts[index] as ProbeFact),
    places: indices.map((index) => relation.places[index] as FactPlace),
  };
}

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
  misses: string[];
}

export class TestReporter {
  private readonly queue: PlacedResult[] = [];
  private readonly counts = new Map<AskedTemplate, Counts>();
  private flushing: Promise<void> = Promise.resolve();
  private timer: NodeJS.Timeout | null = null;

  constructor(
    private readonly run: vscode.TestRun,
    private readonly passRank: number,
  ) {}

  line(text: string): void {
    this.run.appendOutput(`${text}\r\n`);
  }

  problems(found: readonly SourceProblem[]): void {
    for (const problem of found) this.line(placed(problem));
  }

  /** Runs the relations as one, and returns when all tests know. */
  async ask(
    runner: ProbeRunner,
    title: string,
    asked: readonly AskedRelation[],
    token: vscode.CancellationToken,
  ): Promise<void> {
    const byJob = new Map(asked.map((relation) => [jobOf(relation), relation]));
    const jobs = [...byJob.keys()].filter(({ facts }) => facts.length > 0);
    if (jobs.length === 0 || token.isCancellationRequested) return;
    await this.enqueue(asked);
    const probe = runner.start({ title, origin: 'tests', relations: jobs });
    if (probe.changes.length > 0) this.line(`Asked of ${modelName(probe.model.id, probe.changes)}.`);
    const stop = token.onCancellationRequested(() => probe.cancel());
    const heard = runner.onDidAnswer(({ run, results }) => {
      if (run !== probe) return;
      this.queue.push(...results);
      this.timer ??= setTimeout(() => {
        this.timer = null;
        this.flushing = this.flushing.then(() => this.flush(byJob));
      }, FLUSH_MS);
    });
    await probe.ended;
    stop.dispose();
    heard.dispose();
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    await this.flushing;
    await this.flush(byJob);
    this.finish(probe, asked);
  }

  private async enqueue(asked: readonly AskedRelation[]): Promise<void> {
    let told = 0;
    for (const { item, templates } of asked) {
      this.run.started(item);
      for (const { items, item: template } of templates) {
        this.run.started(template);
        for (const test of items.values()) {
          this.run.enqueued(test);
          if (++told % UPDATES_A_TURN === 0) await nextTurn();
        }
      }
    }
  }

  private async flush(byJob: ReadonlyMap<PlacedRelation, AskedRelation>): Promise<void> {
    while (this.queue.length > 0) {
      const lines: string[] = [];
      for (const result of this.queue.splice(0, UPDATES_A_TURN)) {
        const asked = byJob.get(result.relation);
        if (asked !== undefined) this.report(result, asked, lines);
      }
      if (lines.length > 0) this.run.appendOutput(`${lines.join('\r\n')}\r\n`);
      await nextTurn();
    }
  }

  private report({ fact, asked, relation, place }: PlacedResult, { templates }: AskedRelation, lines: string[]): void {
    const key = factKey(asked);
    for (const template of templates) {
      if (!isAsked(template, asked)) continue;
      const index = template.text === null ? 0 : relation.templates.findIndex(({ text }) => text === template.text);
      const verdict = testVerdict(fact, index, relation.ranking, this.passRank);
      const item = template.items.get(key);
      if (item === undefined) {
        lines.push(verdict.line);
        this.count(template, verdict);
      } else showVerdict(this.run, item, verdict, place);
    }
  }

  private count(template: AskedTemplate, verdict: TestVerdict): void {
    const counts = this.counts.get(template) ?? { passed: 0, failed: 0, skipped: 0, misses: [] };
    this.counts.set(template, counts);
    counts[verdict.state]++;
    if (verdict.state === 'failed' && counts.misses.length < NAMED) counts.misses.push(verdict.message);
  }

  /** Templates whose facts have no tests of their own say it for all of them; a run that failed is everybody's. */
  private finish({ state, error, notes }: ProbeRun, asked: readonly AskedRelation[]): void {
    for (const note of notes) this.line(note);
    for (const { item, templates } of asked) {
      if (state === 'failed') this.fail(item, templates, error);
      for (const template of templates) {
        const counts = this.counts.get(template);
        if (counts !== undefined) this.summarise(template, counts, state === 'cancelled');
      }
    }
  }

  private fail(item: vscode.TestItem, templates: readonly AskedTemplate[], error: ErrorData | null): void {
    const message = new vscode.TestMessage([error?.message, error?.hint].filter(Boolean).join(' '));
    const tests = templates.flatMap(({ items }) => [...items.values()]);
    for (const test of tests.length === 0 ? [item] : tests) this.run.errored(test, message);
  }

  private summarise({ item }: AskedTemplate, { passed, failed, skipped, misses }: Counts, cancelled: boolean): void {
    const asked = passed + failed;
    const share = asked === 0 ? 0 : (100 * passed) / asked;
    const summary = `P@${this.passRank} ${share.toFixed(1)} %: ${count(passed)} of ${counted(asked, 'fact')}${skipped === 0 ? '' : `, ${count(skipped)} left out`}${cancelled ? ', cancelled' : ''}`;
    this.run.appendOutput(`${item.label}  ${summary}\r\n`, undefined, item);
    if (cancelled || asked === 0) this.run.skipped(item);
    else if (failed === 0) this.run.passed(item);
    else this.run.failed(item, new vscode.TestMessage([summary, ...misses].join('\n')));
  }
}

export function showVerdict(
  run: vscode.TestRun,
  item: vscode.TestItem,
  verdict: TestVerdict,
  { file, line }: FactPlace,
): void {
  const range = item.range ?? new vscode.Range(line - 1, 0, line - 1, 0);
  const location = new vscode.Location(item.uri ?? uriOf(file), range);
  run.appendOutput(`${verdict.line}\r\n`, location, item);
  switch (verdict.state) {
    case 'passed':
      run.passed(item);
      return;
    case 'skipped':
      run.skipped(item);
      return;
    case 'failed': {
      const message = vscode.TestMessage.diff(verdict.message, verdict.expected, verdict.actual);
      message.location = location;
      run.failed(item, message);
    }
  }
}
