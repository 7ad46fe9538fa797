/** `lens probe`: relation probes over files, their runs merged and compared. */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { compareRuns, type Comparison } from '../../extension/cloze/compare';
import { summarise, type Ensemble, type Summary } from '../../extension/cloze/metrics';
import { probeRequests, rankedRelations, runFact } from '../../extension/cloze/plan';
import {
  mergeRuns,
  newHeader,
  readRun,
  runKey,
  RunWriter,
  type Run,
  type RunFact,
  type RunHeader,
} from '../../extension/cloze/runFile';
import { placed, readSources, type SourceProblem } from '../../extension/cloze/sources';
import type { Interval } from '../../extension/cloze/statistics';
import { relationDetails } from '../../extension/cloze/table';
import { seededRandom } from '../../extension/cloze/random';
import { LensError } from '../../extension/protocol/errors';
import { changesText, count, counted, modelName, signed } from '../../extension/protocol/format';
import type { ProbeOptions, ProbeVariant } from '../../extension/protocol/probes';
import { findModel } from './catalog';
import type { Command, CommandContext, Output } from './commands';
import { wholeNumber, type OptionValues } from './options';
import { changesOf, CHANGES } from './recipes';
import { table } from './table';

/** Facts in one question to the engine, which keeps its answers until it is done. */
const FACTS_TOGETHER = 4096;

export const probeCommand: Command = {
  summary: 'facts as cloze questions: P@1, P@10 and MRR by relation; also merge RUN…, compare RUN RUN',
  takes: 'MODEL FILE… | merge RUN… | compare RUN RUN',
  options: {
    vocab: { type: 'string', value: 'FILE', help: 'rank among these words, one a line, and leave out other answers' },
    candidates: {
      type: 'string',
      value: 'relation|FILE',
      help: "rank among the relation's own answers, or among the words of a file, too",
    },
    top: { type: 'string', value: 'K', help: 'predictions kept for each fact (10)' },
    ensemble: {
      type: 'string',
      value: 'first|best|mean',
      help: 'of several templates: the first, the best on these facts, or the mean of log-probabilities (first)',
    },
    negated: { type: 'boolean', help: 'ask the negated templates, too' },
    misprimed: { type: 'boolean', help: 'ask again behind “Wrong answer?”, too' },
    context: { type: 'boolean', help: "ask again behind the facts' context sentences, too" },
    'by-layer': { type: 'boolean', help: "also the answers' ranks after each layer (logit lens)" },
    uhn: { type: 'boolean', help: 'leave out facts that a name gives away (LAMA-UHN)' },
    joint: {
      type: 'string',
      value: 'pll|masks',
      help: 'answers of several tokens: each token masked alone, or all at once (pll)',
    },
    seed: { type: 'string', value: 'N', help: 'of misprimes and intervals (0)' },
    ...CHANGES,
    out: { type: 'string', value: 'RUN', help: 'write the run to this file, one fact a line' },
    resume: { type: 'boolean', help: 'go on with the run in --out, if it is there' },
    shard: { type: 'string', value: 'I/N', help: 'every N-th fact only; I counts from 0, or from 1 up to N' },
    'min-p1': { type: 'string', value: 'X', help: 'exit code 1 when the mean P@1 is below this fraction' },
  },
  run(context) {
    const [first, ...others] = context.positionals;
    if (first === 'merge') return merge(others, context);
    if (first === 'compare') return compare(others);
    if (first === undefined || others.length === 0)
      throw new LensError(
        'bad-input',
        'A model and files of facts are needed.',
        'For example: lens probe bert-base-cased samples/workspace/lecture.cloze',
      );
    return probe(first, others, context);
  },
};

async function probe(modelName: string, files: readonly string[], context: CommandContext): Promise<Output> {
  const { options, ask, tell } = context;
  const model = findModel(modelName);
  const interventions = await changesOf(context, model);
  const runOptions = { ...readOptions(options), ...(interventions.length === 0 ? {} : { interventions }) };
  const least = leastP1(options);
  const shard = readShard(options);
  const out = options['out'];
  if (options['resume'] === true && typeof out !== 'string')
    throw new LensError('bad-input', '--resume needs --out: the run to go on with.');
  const { relations: found, problems, notes: sourceNotes } = await readSources(files);
  for (const problem of problems) tell(placed(problem));
  const { vocab, candidates } = options;
  const relations = await rankedRelations(found, {
    vocabulary: typeof vocab === 'string' ? vocab : null,
    candidates: typeof candidates === 'string' ? candidates : null,
  });
  const notes = new Set(sourceNotes);

  const fingerprint = await ask('fingerprint', { model });
  const header = newHeader(
    model.id,
    { ...fingerprint, versions: { 'onnx-lens': ownVersion(), ...fingerprint.versions } },
    runOptions,
    relations,
    shard,
  );
  const writer = typeof out === 'string' ? await RunWriter.open(out, header, options['resume'] === true) : null;
  const facts: RunFact[] = [...(writer?.done ?? [])];
  const done = new Set(facts.map((fact) => runKey(fact.relation, fact)));
  try {
    const { ensemble: _, ...engineOptions } = runOptions;
    for (const { words, asked } of probeRequests(relations, FACTS_TOGETHER, shard, done)) {
      const factsOf = new Map(asked.map((relation) => [relation.id, relation.facts]));
      const { notes: more } = await ask(
        'probe',
        {
          model,
          relations: asked,
          options: { ...engineOptions, ...(words === null ? {} : { vocabulary: [...words] }) },
        },
        ({ facts: fresh = [] }) => {
          const finished = fresh.map((each) => runFact(each, factsOf.get(each.relation) ?? []));
          writer?.append(finished);
          facts.push(...finished);
        },
      );
      for (const note of more) notes.add(note);
    }
  } finally {
    writer?.close();
  }
  return summaryOutput({ header, facts }, [...notes], least, { problems });
}

async function merge(paths: readonly string[], { options, tell }: CommandContext): Promise<Output> {
  if (paths.length === 0) throw new LensError('bad-input', 'No run was named.', 'Name the files of the shards.');
  const least = leastP1(options);
  const runs: { path: string; run: Run }[] = [];
  for (const path of paths) runs.push({ path, run: await readRun(path) });
  const merged = mergeRuns(runs);
  const out = options['out'];
  if (typeof out === 'string') {
    const writer = await RunWriter.open(out, merged.header, false);
    writer.append(merged.facts);
    writer.close();
  }
  const missing = merged.header.facts.count - merged.facts.length;
  if (missing > 0)
    tell(
      `${counted(missing, 'fact')} of ${count(merged.header.facts.count)} are missing: a shard is not there, or not finished.`,
    );
  const output = summaryOutput(merged, [], least, { complete: missing === 0 });
  return { ...output, failed: missing > 0 || output.failed === true };
}

async function compare(paths: readonly string[]): Promise<Output> {
  const [first, second, ...more] = paths;
  if (first === undefined || second === undefined || more.length > 0)
    throw new LensError('bad-input', 'Two runs are compared.', 'lens probe compare RUN1 RUN2');
  const runs = [await readRun(first), await readRun(second)] as const;
  const result = compareRuns(...runs);
  if (result.all.n === 0)
    throw new LensError('bad-input', `${first} and ${second} have no fact in common that is ranked in both.`);
  const changes = result.changes.map(({ index: _, ...change }) => change);
  const names = runs.map(({ header: { model, options: own } }) => modelName(model.id, own.interventions));
  return {
    json: { ...result, changes },
    text: [`First: ${names[0]}`, `Second: ${names[1]}`, comparisonText(result)].join('\n'),
  };
}

function comparisonText({ relations, all, unpaired }: Comparison): string {
  const rows = [...relations, { relation: 'all facts', ...all }];
  return (
    table(
      ['relation', 'n', 'P@1 first', 'P@1 second', 'gained', 'lost', 'p (McNemar)'],
      rows.map(({ relation, n, first, second, gained, lost, p }) => [
        ...[relation, count(n), percent(first), percent(second), count(gained), count(lost)],
        p < 1e-4 ? p.toExponential(1) : p.toFixed(4),
      ]),
      ['left', 'right', 'right', 'right', 'right', 'right', 'right'],
    ) + (unpaired === 0 ? '' : `\n${counted(unpaired, 'fact')} are ranked in one of the runs only.`)
  );
}

const ENSEMBLES: readonly Ensemble[] = ['first', 'best', 'mean'];
const JOINT: readonly ProbeOptions['joint'][] = ['pll', 'masks'];
const VARIANTS: readonly ProbeVariant[] = ['negated', 'misprimed', 'context'];

function readOptions(options: OptionValues): RunHeader['options'] {
  const topK = wholeNumber(options, 'top', 10);
  if (topK === 0) throw new LensError('bad-input', '--top must be 1 or more.');
  return {
    topK,
    variants: VARIANTS.filter((variant) => options[variant] === true),
    uhn: options['uhn'] === true,
    joint: oneOf(options, 'joint', JOINT, 'pll'),
    ensemble: oneOf(options, 'ensemble', ENSEMBLES, 'first'),
    seed: wholeNumber(options, 'seed', 0),
    ...(options['by-layer'] === true ? { byLayer: true } : {}),
  };
}

function oneOf<T extends string>(options: OptionValues, name: string, values: readonly T[], byDefault: T): T {
  const value = options[name];
  if (value === undefined) return byDefault;
  const known = values.find((each) => each === value);
  if (known === undefined)
    throw new LensError('bad-input', `--${name} must be one of ${values.join(', ')}, not “${String(value)}”.`);
  return known;
}

function readShard(options: OptionValues): RunHeader['shard'] {
  const value = options['shard'];
  if (value === undefined) return { index: 0, of: 1 };
  const [, index, of] = /^(\d+)\/(\d+)$/u.exec(String(value)) ?? [];
  const shard = { index: Number(index), of: Number(of) };
  if (index === undefined || shard.of < 1 || shard.index > shard.of)
    throw new LensError('bad-input', `--shard must be I/N, with I from 0 to N, not “${String(value)}”.`);
  // So that both ways of counting give every shard once.
  return { ...shard, index: shard.index % shard.of };
}

function leastP1(options: OptionValues): number | null {
  const value = options['min-p1'];
  if (value === undefined) return null;
  const least = Number(value);
  if (value === '' || !(least >= 0 && least <= 1))
    throw new LensError('bad-input', `--min-p1 must be a fraction from 0 to 1, not “${String(value)}”.`);
  return least;
}

/** Beside the folder of the bundled program. */
function ownVersion(): string {
  const { version } = JSON.parse(readFileSync(join(dirname(__dirname), 'package.json'), 'utf8')) as { version: string };
  return version;
}

function summaryOutput(
  { header, facts }: Run,
  notes: readonly string[],
  least: number | null,
  more: { problems?: readonly SourceProblem[]; complete?: boolean },
): Output {
  const summary = summarise(facts, header.relations, header.options.ensemble, seededRandom(header.options.seed));
  const missed = least !== null && summary.macro.p1 < least;
  return {
    failed: missed,
    json: { ...summary, notes, ...more },
    text: [
      ...changedText(header),
      summaryText(summary),
      ...detailsText(summary),
      ...layersText(summary),
      ...notes.map((note) => `Note: ${note}`),
      ...(missed
        ? [`P@1 is ${percent(summary.macro.p1)} %, less than the ${percent(least)} % that were asked for.`]
        : []),
    ].join('\n'),
  };
}

const changedText = ({ options: { interventions = [] } }: RunHeader): string[] =>
  interventions.length === 0 ? [] : [`Changed: ${changesText(interventions)}`];

const percent = (share: number): string => (100 * share).toFixed(2);
const interval = ({ low, high }: Interval): string => `${percent(low)}–${percent(high)}`;

function summaryText({ relations, macro }: Summary): string {
  return table(
    ['relation', 'n', 'P@1 %', '95 %', 'P@10 %', 'MRR', 'mean log p', 'majority %'],
    [
      ...relations.map(({ relation, n, p1, p10, mrr, intervals, meanLogprob, majority }) =>
        n === 0
          ? [relation, '0', '–', '–', '–', '–', '–', '–']
          : [
              ...[relation, count(n), percent(p1), interval(intervals.p1), percent(p10), mrr.toFixed(4)],
              ...[signed(meanLogprob), percent(majority)],
            ],
      ),
      [
        ...['mean of relations', '', percent(macro.p1), interval(macro.intervals.p1), percent(macro.p10)],
        ...[macro.mrr.toFixed(4), '', ''],
      ],
    ],
    ['left', 'right', 'right', 'right', 'right', 'right', 'right', 'right'],
  );
}

/** Where answers appear: before the first layer, then after each. */
function layersText({ relations }: Summary): string[] {
  return relations.flatMap(({ relation, layers }) =>
    layers === null
      ? []
      : [
          `${relation}, by layer`,
          table(
            ['after layer', 'P@1 %', 'P@10 %', 'MRR', 'mean log p'],
            layers.map(({ p1, p10, mrr, meanLogprob }, index) => [
              ...[index === 0 ? 'input' : String(index - 1), percent(p1), percent(p10), mrr.toFixed(4)],
              signed(meanLogprob),
            ]),
            ['right', 'right', 'right', 'right', 'right'],
          ),
        ],
  );
}

/** What else was asked, a line each. */
function detailsText({ relations }: Summary): string[] {
  return relations.flatMap((summary) => relationDetails(summary).map((line) => `${summary.relation}: ${line}`));
}
