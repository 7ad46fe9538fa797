/**
 * Facts as tests: file → relation → template → fact. What is below a relation is read when it is opened; of a large run the facts that
 * nobody has opened are told of by their template, since VS Code stalls on thousands of tests that are made and told of one by one.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import * as vscode from 'vscode';
import { factKey } from '../cloze/facts';
import { relationOf, type SourceProblem } from '../cloze/sources';
import { log, notify } from '../commands/notify';
import * as settings from '../commands/settings';
import { isCloze, nameOf, pathOf, uriOf, type ClozeDocuments } from '../editor/clozeDocuments';
import type { ModelLibrary } from '../models/library';
import { LensError } from '../protocol/errors';
import { count, counted, shortened, visible } from '../protocol/format';
import type { ProbeFact } from '../protocol/probes';
import type { LineResults } from './lineResults';
import type { PlacedRelation, ProbeRunner } from './probeRunner';
import { testVerdict } from './testReport';
import { isSentence, showVerdict, TestReporter, type AskedRelation, type AskedTemplate } from './testRun';
import { findSources, loadCloze, loadJsonl, type LoadedRelation, type TestSource } from './testSources';

/** Facts below one template that are shown; more would not be looked at one by one. */
const MOST_ITEMS = 10_000;
/** Added at a time. */
const ITEMS_A_TURN = 500;
/** A run of fewer facts and templates has an item for each. */
const MOST_RESOLVED = 2_000;
const REFRESH_MS = 400;
const RERUN_MS = 600;
/** Of a relation's broken lines. */
const NAMED = 10;
const MAX_LABEL = 100;

type Node =
  | { kind: 'source'; source: TestSource }
  | { kind: 'relation'; source: TestSource; id: string }
  | { kind: 'template'; source: TestSource; id: string; text: string | null }
  | { kind: 'fact'; source: TestSource; id: string; text: string | null; key: string };

/** Templates of a relation that were asked for, with keys of their facts (null: all); null: all templates. */
type Wanted = Map<string | null, Set<string> | null> | null;

export interface TestParts {
  runner: ProbeRunner;
  results: LineResults;
  documents: ClozeDocuments;
  library: ModelLibrary;
}

export class ProbeTests implements vscode.Disposable {
  readonly controller = vscode.tests.createTestController('onnxLens.probes', vscode.l10n.t('Facts'));
  private readonly nodes = new WeakMap<vscode.TestItem, Node>();
  private readonly loaded = new Map<string, Promise<LoadedRelation>>();
  private readonly problems = vscode.languages.createDiagnosticCollection('onnxLens.facts');
  private readonly subscriptions: vscode.Disposable[];
  private readonly timers = new Map<string, NodeJS.Timeout>();
  private discovering: Promise<void> | null = null;
  /** Runs under way. */
  private running = 0;

  constructor(private readonly parts: TestParts) {
    const { controller } = this;
    controller.resolveHandler = (item) => this.resolve(item);
    controller.refreshHandler = (token) => this.discover(token);
    const profile = controller.createRunProfile(
      vscode.l10n.t('Run'),
      vscode.TestRunProfileKind.Run,
      (request, token) => this.run(request, token),
      true,
      undefined,
      true,
    );
    const watcher = vscode.workspace.createFileSystemWatcher('**/*.{cloze,jsonl,jsonl.gz}');
    this.subscriptions = [
      controller,
      profile,
      watcher,
      this.problems,
      watcher.onDidCreate(() => this.rediscover()),
      watcher.onDidDelete(() => this.rediscover()),
      watcher.onDidChange((uri) => this.onFile(uri)),
      vscode.workspace.onDidChangeTextDocument(({ document }) => {
        if (isCloze(document)) this.onFile(document.uri);
      }),
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration('onnxLens.probes')) this.loaded.clear();
      }),
    ];
  }

  dispose(): void {
    for (const timer of this.timers.values()) clearTimeout(timer);
    for (const subscription of this.subscriptions) subscription.dispose();
  }

  // ---- the tree

  private async resolve(item: vscode.TestItem | undefined): Promise<void> {
    if (item === undefined) {
      await this.discover(new vscode.CancellationTokenSource().token);
      return;
    }
    const node = this.nodes.get(item);
    if (node === undefined) return;
    item.busy = true;
    try {
      item.error = undefined;
      if (node.kind === 'source') await this.resolveSource(item, node.source);
      else if (node.kind === 'relation') await this.resolveRelation(item, node);
      else if (node.kind === 'template') await this.resolveTemplate(item, node);
    } catch (thrown) {
      const error = LensError.from(thrown);
      item.error = [error.message, error.hint].filter(Boolean).join(' ');
    } finally {
      item.busy = false;
    }
  }

  private discover(token: vscode.CancellationToken): Promise<void> {
    this.discovering ??= this.findAll(token).finally(() => {
      this.discovering = null;
    });
    return this.discovering;
  }

  private async findAll(token: vscode.CancellationToken): Promise<void> {
    const { controller } = this;
    this.loaded.clear();
    const items: vscode.TestItem[] = [];
    for (const source of await findSources(token)) {
      const isFile = source.kind === 'cloze';
      const id = isFile ? source.uri.toString() : `${source.kind} ${source.folder}`;
      const known = controller.items.get(id);
      const uri = isFile ? source.uri : vscode.Uri.file(source.folder);
      const label = isFile ? vscode.workspace.asRelativePath(source.uri, false) : source.name;
      const item = known ?? controller.createTestItem(id, label, uri);
      item.canResolveChildren = true;
      item.description = isFile ? '' : { lama: 'LAMA', pararel: 'ParaRel', facts: 'JSONL' }[source.kind];
      this.nodes.set(item, { kind: 'source', source });
      items.push(item);
      // Such as had been opened before stay open.
      if (known !== undefined && known.children.size > 0) await this.resolve(known);
    }
    if (!token.isCancellationRequested) controller.items.replace(items);
  }

  private async resolveSource(item: vscode.TestItem, source: TestSource): Promise<void> {
    const { controller } = this;
    const items: vscode.TestItem[] = [];
    const add = (id: string, label: string, uri: vscode.Uri, description: string): vscode.TestItem => {
      const relation = item.children.get(id) ?? controller.createTestItem(id, label, uri);
      relation.canResolveChildren = true;
      relation.description = description;
      relation.sortText = String(items.length).padStart(6, '0');
      this.nodes.set(relation, { kind: 'relation', source, id });
      items.push(relation);
      return relation;
    };
    if (source.kind === 'cloze') {
      const { document, relations } = await loadCloze(this.parts.documents, source.uri);
      const parsed = this.parts.documents.get(document).relations;
      for (const { id, facts } of relations) {
        const written = parsed.find((each) => each.id.value === id);
        const relation = add(id, id, source.uri, written?.label?.value ?? counted(facts.length, 'fact'));
        if (written !== undefined) {
          const at = document.positionAt(written.id.range.start);
          relation.range = new vscode.Range(at, document.positionAt(written.id.range.end));
        }
      }
    } else
      for (const { id, facts, files } of source.relations) {
        const relation = add(id, id, vscode.Uri.file(files[0] ?? source.folder), '');
        if (facts === null) relation.error = vscode.l10n.t('No facts of {0} were found in this workspace.', id);
      }
    item.children.replace(items);
    // What was opened below reads as the file does now.
    for (const relation of items) if (relation.children.size > 0) await this.resolve(relation);
  }

  private async resolveRelation(
    item: vscode.TestItem,
    { source, id }: Extract<Node, { kind: 'relation' }>,
  ): Promise<void> {
    const { controller } = this;
    const { relation, problems } = await this.load(source, id);
    this.tell(item, problems);
    const texts: (string | null)[] = relation.templates.map(({ text }) => text);
    if (relation.facts.some(isSentence)) texts.push(null);
    const items = texts.map((text, index) => {
      const own = text ?? 'sentences';
      const template =
        item.children.get(own) ??
        controller.createTestItem(
          own,
          text === null ? vscode.l10n.t('Sentences') : shortened(text, MAX_LABEL),
          item.uri,
        );
      template.canResolveChildren = true;
      template.sortText = String(index).padStart(6, '0');
      const n = relation.facts.filter((fact) => isSentence(fact) === (text === null)).length;
      template.description = counted(n, 'fact');
      if (item.range !== undefined) template.range = item.range;
      this.nodes.set(template, { kind: 'template', source, id, text });
      return template;
    });
    item.children.replace(items);
    for (const template of items) if (template.children.size > 0) await this.resolve(template);
  }

  private async resolveTemplate(item: vscode.TestItem, node: Extract<Node, { kind: 'template' }>): Promise<void> {
    const { source, id, text } = node;
    const { relation } = await this.load(source, id);
    const kept = new Set<string>();
    let shown = 0;
    for (const [index, fact] of relation.facts.entries()) {
      if (isSentence(fact) !== (text === null)) continue;
      if (++shown > MOST_ITEMS) break;
      const key = factKey(fact);
      kept.add(key);
      const { file, line } = relation.places[index] as PlacedRelation['places'][number];
      const known = item.children.get(key);
      const test = known ?? this.controller.createTestItem(key, labelOf(fact), uriOf(file));
      test.sortText = String(line).padStart(9, '0');
      test.range = new vscode.Range(line - 1, 0, line - 1, 0);
      this.nodes.set(test, { kind: 'fact', source, id, text, key });
      if (known === undefined) item.children.add(test);
      if (shown % ITEMS_A_TURN === 0) await nextTurn();
    }
    for (const [key] of [...item.children]) if (!kept.has(key)) item.children.delete(key);
    if (shown > MOST_ITEMS)
      item.error = vscode.l10n.t('The first {0} facts are shown. All of them are run.', count(MOST_ITEMS));
    this.showKnown(item, relation, text);
  }

  /** Results from before the facts were opened. */
  private showKnown(item: vscode.TestItem, relation: PlacedRelation, text: string | null): void {
    const known = [...relation.facts].flatMap((fact, index) => {
      const test = item.children.get(factKey(fact));
      const place = relation.places[index];
      const result = test && place && this.parts.results.of(place.file, relation.id, fact);
      return test === undefined || place === undefined || result === undefined ? [] : [{ test, result, place }];
    });
    if (known.length === 0 || this.running > 0) return;
    const run = this.controller.createTestRun(
      new vscode.TestRunRequest(known.map(({ test }) => test)),
      vscode.l10n.t('Earlier results'),
      false,
    );
    const { passRank } = settings.probes();
    for (const { test, result, place } of known) {
      const template = text === null ? 0 : result.relation.templates.findIndex((each) => each.text === text);
      if (template >= 0) showVerdict(run, test, testVerdict(result.fact, template, relation.ranking, passRank), place);
    }
    run.end();
  }

  private load(source: TestSource, id: string): Promise<LoadedRelation> {
    if (source.kind === 'cloze') return this.loadOfCloze(source.uri, id);
    const found = source.relations.find((relation) => relation.id === id);
    if (found === undefined) throw new LensError('bad-input', `The relation ${id} is not there any more.`);
    const key = found.files.join('\n');
    const known = this.loaded.get(key) ?? loadJsonl(found);
    this.loaded.set(key, known);
    known.catch(() => this.loaded.delete(key));
    return known;
  }

  private async loadOfCloze(uri: vscode.Uri, id: string): Promise<LoadedRelation> {
    const { relations } = await loadCloze(this.parts.documents, uri);
    const relation = relations.find((each) => each.id === id);
    if (relation === undefined)
      throw new LensError('bad-input', `The relation ${id} is not in ${nameOf(pathOf(uri))} any more.`);
    return { relation, problems: [] };
  }

  /** Lines that could not be read, at the relation and in the list of problems. */
  private tell(item: vscode.TestItem, problems: readonly SourceProblem[]): void {
    const byFile = new Map<string, vscode.Diagnostic[]>();
    for (const { file, line, message, severity } of problems) {
      const at = Math.max(0, (line ?? 1) - 1);
      const diagnostic = new vscode.Diagnostic(
        new vscode.Range(at, 0, at, Number.MAX_SAFE_INTEGER),
        message,
        severity === 'error' ? vscode.DiagnosticSeverity.Error : vscode.DiagnosticSeverity.Warning,
      );
      diagnostic.source = 'Facts';
      byFile.set(file, [...(byFile.get(file) ?? []), diagnostic]);
    }
    if (item.uri !== undefined) this.problems.delete(item.uri);
    for (const [file, diagnostics] of byFile) this.problems.set(vscode.Uri.file(file), diagnostics);
    if (problems.length > 0)
      item.error = problems
        .slice(0, NAMED)
        .map(({ file, line, message }) => `${nameOf(file)}${line === null ? '' : `:${line}`}: ${message}`)
        .join('\n');
  }

  // ---- runs

  /** As VS Code asks for it. */
  async run(request: vscode.TestRunRequest, token: vscode.CancellationToken): Promise<void> {
    if (request.continuous !== true) {
      await this.runOnce(request, token);
      return;
    }
    // Runs again what was chosen of a file whenever that is saved.
    const saved = vscode.workspace.onDidSaveTextDocument(({ uri }) => {
      const items = this.chosen(request).filter((item) => item.uri?.toString() === uri.toString());
      if (items.length === 0) return;
      const again = new vscode.TestRunRequest(items, request.exclude, request.profile, true);
      this.later(`run ${uri.toString()}`, RERUN_MS, () => this.runOnce(again, token));
    });
    token.onCancellationRequested(() => {
      saved.dispose();
    });
  }

  /** What was chosen, or everything. */
  private chosen({ include }: vscode.TestRunRequest): readonly vscode.TestItem[] {
    return include ?? [...this.controller.items].map(([, item]) => item);
  }

  private async runOnce(request: vscode.TestRunRequest, token: vscode.CancellationToken): Promise<void> {
    if (request.include === undefined && this.controller.items.size === 0) await this.discover(token);
    const run = this.controller.createTestRun(request);
    // Of the run itself too: VS Code stops one by its own button.
    const stopped = new vscode.CancellationTokenSource();
    const links = [token, run.token].map((each) => each.onCancellationRequested(() => stopped.cancel()));
    const { passRank } = settings.probes();
    const reporter = new TestReporter(run, passRank);
    this.running++;
    try {
      const bySource = await this.bySource(request, run);
      for (const [source, relations] of bySource) {
        if (stopped.token.isCancellationRequested) break;
        const asked: AskedRelation[] = [];
        for (const [item, wanted] of relations) {
          const found = await this.asked(source, item, wanted, request, reporter, run);
          if (found !== null) asked.push(found);
        }
        const title = source.kind === 'cloze' ? nameOf(pathOf(source.uri)) : source.name;
        await reporter.ask(this.parts.runner, title, await this.withItems(asked), stopped.token);
      }
    } catch (thrown) {
      notify(thrown);
    } finally {
      this.running--;
      run.end();
      for (const link of links) link.dispose();
      stopped.dispose();
    }
  }

  /** Relations that were asked for, whole or in part, by their source. */
  private async bySource(
    request: vscode.TestRunRequest,
    run: vscode.TestRun,
  ): Promise<Map<TestSource, Map<vscode.TestItem, Wanted>>> {
    const excluded = new Set(request.exclude);
    const found = new Map<TestSource, Map<vscode.TestItem, Wanted>>();
    const want = (source: TestSource, item: vscode.TestItem): Map<vscode.TestItem, Wanted> => {
      const relations = found.get(source) ?? new Map<vscode.TestItem, Wanted>();
      found.set(source, relations);
      if (!relations.has(item)) relations.set(item, new Map());
      return relations;
    };
    for (const item of this.chosen(request)) {
      const node = this.nodes.get(item);
      if (node === undefined || excluded.has(item)) continue;
      switch (node.kind) {
        case 'source':
          if (item.children.size === 0) await this.resolve(item);
          if (item.error !== undefined && item.children.size === 0)
            run.errored(item, new vscode.TestMessage(item.error));
          for (const [, relation] of item.children)
            if (!excluded.has(relation)) want(node.source, relation).set(relation, null);
          break;
        case 'relation':
          want(node.source, item).set(item, null);
          break;
        case 'template': {
          const relation = item.parent as vscode.TestItem;
          want(node.source, relation).get(relation)?.set(node.text, null);
          break;
        }
        case 'fact': {
          const relation = item.parent?.parent as vscode.TestItem;
          const wanted = want(node.source, relation).get(relation);
          const keys = wanted?.get(node.text);
          if (keys === undefined) wanted?.set(node.text, new Set([node.key]));
          else keys?.add(node.key);
        }
      }
    }
    return found;
  }

  private async asked(
    source: TestSource,
    item: vscode.TestItem,
    wanted: Wanted,
    { exclude }: vscode.TestRunRequest,
    reporter: TestReporter,
    run: vscode.TestRun,
  ): Promise<AskedRelation | null> {
    const node = this.nodes.get(item);
    if (node?.kind !== 'relation') return null;
    try {
      await this.resolveRelation(item, node);
      const { relation, problems } = await this.load(source, node.id);
      reporter.problems(problems);
      const excluded = new Set(exclude);
      const templates = [...item.children].flatMap(([, template]): AskedTemplate[] => {
        const own = this.nodes.get(template);
        if (own?.kind !== 'template' || excluded.has(template)) return [];
        const keys = wanted === null ? null : wanted.get(own.text);
        if (keys === undefined) return [];
        const left = [...template.children].filter(([, fact]) => excluded.has(fact)).map(([key]) => key);
        return [{ text: own.text, item: template, keys: without(relation, keys, left), items: new Map() }];
      });
      return { item, relation, templates };
    } catch (thrown) {
      const error = LensError.from(thrown);
      run.errored(item, new vscode.TestMessage([error.message, error.hint].filter(Boolean).join(' ')));
      return null;
    }
  }

  /** With tests of single facts: those that were opened, and all of them when they are not too many. */
  private async withItems(asked: readonly AskedRelation[]): Promise<AskedRelation[]> {
    const total = asked.reduce((sum, { relation, templates }) => sum + relation.facts.length * templates.length, 0);
    const found: AskedRelation[] = [];
    for (const each of asked) {
      const templates: AskedTemplate[] = [];
      for (const template of each.templates) {
        const node = this.nodes.get(template.item);
        if (template.item.children.size === 0 && total <= MOST_RESOLVED && node?.kind === 'template')
          await this.resolveTemplate(template.item, node);
        const { keys } = template;
        const items = new Map([...template.item.children].filter(([key]) => keys === null || keys.has(key)));
        templates.push({ ...template, items });
      }
      found.push({ ...each, templates });
    }
    return found;
  }

  private rediscover(): void {
    this.later('all', REFRESH_MS, () => this.discover(new vscode.CancellationTokenSource().token));
  }

  /** A file that was changed: what is open of it is read again. */
  private onFile(uri: vscode.Uri): void {
    this.loaded.clear();
    this.later(uri.toString(), REFRESH_MS, async () => {
      for (const [, item] of this.controller.items) {
        const node = this.nodes.get(item);
        if (node?.kind !== 'source' || item.children.size === 0) continue;
        const { source } = node;
        const touched =
          source.kind === 'cloze'
            ? source.uri.toString() === uri.toString()
            : source.relations.some(({ files }) => files.includes(uri.fsPath));
        if (!touched) continue;
        if (source.kind === 'cloze') await this.resolve(item);
        else {
          const relation = item.children.get(relationOf(uri.fsPath));
          if (relation !== undefined && relation.children.size > 0) await this.resolve(relation);
        }
      }
    });
  }

  private later(key: string, delay: number, work: () => Promise<void>): void {
    clearTimeout(this.timers.get(key));
    this.timers.set(
      key,
      setTimeout(() => {
        this.timers.delete(key);
        work().catch((thrown: unknown) => log().warn(`[tests] ${LensError.from(thrown).message}`));
      }, delay),
    );
  }
}

/** Keys without some. Null: all facts of the relation. */
function without(
  { facts }: PlacedRelation,
  keys: ReadonlySet<string> | null,
  left: readonly string[],
): ReadonlySet<string> | null {
  if (left.length === 0) return keys;
  const kept = keys ?? new Set(facts.map(factKey));
  return new Set([...kept].filter((key) => !left.includes(key)));
}

const labelOf = ({ subject, sentence, answers }: ProbeFact): string =>
  shortened(`${sentence ?? subject ?? ''} → ${answers.map(visible).join(' | ')}`, MAX_LABEL);
