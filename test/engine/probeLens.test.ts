/** `lens probe` as a program: what it prints, its runs, and that a kill loses and doubles nothing. */
import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Comparison } from '../../extension/cloze/compare';
import type { Summary } from '../../extension/cloze/metrics';
import { runKey, type RunFact } from '../../extension/cloze/runFile';

const LENS = resolve('dist/lens.js');
const MODEL = resolve('test/fixtures/bert');
const LECTURE = resolve('samples/workspace/lecture.cloze');
const WORDS = ['the', 'was', 'and', 'his', 'out', 'they', 'little'];
const FACTS = 1400;

interface Outcome {
  code: number | null;
  out: string;
  err: string;
}

const start = (args: string[]): ChildProcess => spawn(process.execPath, [LENS, 'probe', ...args]);

async function probe(...args: string[]): Promise<Outcome> {
  const child = start(args);
  const outcome: Outcome = { code: null, out: '', err: '' };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (outcome.out += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (outcome.err += text));
  const [code] = (await once(child, 'close')) as [number | null];
  return { ...outcome, code };
}

async function json<T = Summary>(...args: string[]): Promise<T> {
  const { code, out, err } = await probe(...args, '--json');
  assert.equal(code, 0, err);
  assert.equal(out.trimEnd().includes('\n'), false, 'one line');
  return JSON.parse(out) as T;
}

async function fails(code: number, pattern: RegExp, ...args: string[]): Promise<void> {
  const outcome = await probe(...args);
  assert.equal(outcome.code, code, outcome.err);
  assert.match(outcome.err, pattern);
  assert.doesNotMatch(outcome.err, / at .*\.js:\d+/u, 'no stack');
}

const factsOf = (run: string): RunFact[] =>
  readFileSync(run, 'utf8')
    .trimEnd()
    .split('\n')
    .slice(1)
    .map((line) => JSON.parse(line) as RunFact);
const sorted = (facts: readonly RunFact[]): string[] =>
  facts.map((fact) => runKey(fact.relation, fact)).sort((a, b) => (a < b ? -1 : 1));

describe('lens probe', function () {
  this.timeout(300_000);
  let folder: string;
  let facts: string;
  let whole: Summary;
  const file = (name: string): string => join(folder, name);
  const write = (name: string, text: string): string => {
    mkdirSync(join(file(name), '..'), { recursive: true });
    writeFileSync(file(name), text);
    return file(name);
  };
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'onnx-lens-probe-'));
    const lines = Array.from({ length: FACTS }, (_, index) => ({
      sub_label: `the ${'old '.repeat(index % 5)}man ${index}`,
      obj_label: WORDS[index % WORDS.length],
    }));
    const templates = [
      { relation: 'P1', template: '[X] said [Y] and went .' },
      { relation: 'P2', template: '[X] was [Y] .' },
      { relation: 'P3', template: '[X] has [Y] , without facts .' },
    ];
    const jsonl = (records: unknown[]): string => records.map((record) => `${JSON.stringify(record)}\n`).join('');
    write('data/relations.jsonl', jsonl(templates));
    write('data/trex/P1.jsonl', jsonl(lines.slice(0, FACTS - 200)));
    write('data/trex/P2.jsonl', jsonl(lines.slice(FACTS - 200)));
    write('words.txt', WORDS.join('\n'));
    facts = file('data');
    whole = await json(MODEL, facts, '--out', file('whole.jsonl'));
  });
  after(() => rmSync(folder, { recursive: true }));

  it('relations and their mean as JSON, in fractions', () => {
    assert.deepEqual(
      whole.relations.map(({ relation, n }) => [relation, n]),
      [
        ['P1', FACTS - 200],
        ['P2', 200],
      ],
    );
    for (const name of ['p1', 'p10', 'mrr'] as const) {
      const [a, b] = whole.relations.map((relation) => relation[name]);
      assert.ok(a !== undefined && b !== undefined && a >= 0 && a <= 1);
      assert.ok(Math.abs(whole.macro[name] - (a + b) / 2) < 1e-12);
    }
    assert.equal(factsOf(file('whole.jsonl')).length, FACTS);
  });

  it('the lecture as a table for people', async () => {
    const { code, out } = await probe('bert-base-cased', LECTURE);
    assert.equal(code, 0);
    assert.match(out, /^P20 +1 +100\.00 /mu);
    assert.match(out, /^mean of relations /mu);
  });

  it('ranks among the words of a file, or among the answers of the relation', async () => {
    const among = await json(MODEL, facts, '--vocab', file('words.txt'));
    assert.equal(among.relations[0]?.p10, 1);
    const rivals = await json(MODEL, facts, '--candidates', 'relation');
    assert.equal(rivals.relations[0]?.mrr, among.relations[0].mrr);
    assert.equal(rivals.relations[0].full.mrr, whole.relations[0]?.mrr);
    const few = write('few.txt', 'the\nwas\n');
    const { relations } = await json(MODEL, facts, '--vocab', few, '--candidates', few);
    assert.equal(relations[0]?.candidates?.mrr, relations[0]?.mrr);
    assert.ok((relations[0]?.skipped['answer not in the vocabulary file'] ?? 0) > 0);
  });

  it('killed again and again it goes on, and nothing is lost or doubled', async () => {
    const run = file('killed.jsonl');
    let kills = 0;
    for (let size = 0; kills < 4;) {
      const child = start([MODEL, facts, '--out', run, '--resume', '--threads', '1']);
      const closed = once(child, 'close');
      // In the middle of its work: when something more has been written.
      while (child.exitCode === null) {
        const now = existsSync(run) ? readFileSync(run).length : 0;
        if (now > size + 1000) {
          size = now;
          break;
        }
        await sleep(5);
      }
      if (child.exitCode !== null) break;
      child.kill('SIGKILL');
      await closed;
      kills++;
    }
    assert.ok(kills > 0);
    // As if the kill had come in the middle of a line.
    const text = readFileSync(run, 'utf8');
    writeFileSync(run, text.slice(0, text.trimEnd().lastIndexOf('\n') + 40));
    const resumed = await json(MODEL, facts, '--out', run, '--resume');
    assert.deepEqual(sorted(factsOf(run)), sorted(factsOf(file('whole.jsonl'))));
    for (const [index, { p1, p10, mrr }] of resumed.relations.entries())
      assert.deepEqual({ p1, p10 }, { p1: whole.relations[index]?.p1, p10: whole.relations[index]?.p10 }, String(mrr));
    // Finished already: nothing is asked again.
    await json(MODEL, facts, '--out', run, '--resume');
    assert.equal(factsOf(run).length, FACTS);
  });

  it('a run is not written over, nor gone on with by other facts or options', async () => {
    const run = file('whole.jsonl');
    await fails(2, /is there already/u, MODEL, facts, '--out', run);
    await fails(2, /the options changed/u, MODEL, facts, '--out', run, '--resume', '--negated');
    await fails(2, /facts, templates or vocabulary changed/u, MODEL, LECTURE, '--out', run, '--resume');
    await fails(2, /--resume needs --out/u, MODEL, facts, '--resume');
    assert.equal(factsOf(run).length, FACTS);
  });

  it('shards, counted from 0 or from 1, merge to the whole', async () => {
    const shards = [
      ['0/3', '0'],
      ['1/3', '1'],
      ['2/3', '2'],
    ].map(([shard, name]) => [shard as string, file(`shard-${name}.jsonl`)] as const);
    for (const [shard, out] of shards) await json(MODEL, facts, '--shard', shard, '--out', out);
    const runs = shards.map(([, out]) => out);
    const merged = await json('merge', ...runs, '--out', file('merged.jsonl'));
    assert.deepEqual(sorted(factsOf(file('merged.jsonl'))), sorted(factsOf(file('whole.jsonl'))));
    merged.relations.forEach(({ p1, p10, mrr }, index) => {
      const wanted = whole.relations[index];
      assert.ok(Math.abs(mrr - (wanted?.mrr ?? NaN)) < 1e-3);
      assert.deepEqual([p1, p10], [wanted?.p1, wanted?.p10]);
    });
    await fails(1, /facts of 1,400 are missing/u, 'merge', ...runs.slice(1));
    await fails(2, /hold the same fact/u, 'merge', ...runs, runs[0] as string);
    const last = file('last.jsonl');
    await json(MODEL, facts, '--shard', '3/3', '--out', last);
    assert.deepEqual(sorted(factsOf(last)), sorted(factsOf(runs[0] as string)));
    await fails(2, /--shard must be/u, MODEL, facts, '--shard', '4/3');
    await fails(2, /--shard must be/u, MODEL, facts, '--shard', 'x');
  });

  it('compares two runs', async () => {
    const other = file('other.jsonl');
    const templates = write(
      'templates.jsonl',
      '{"relation":"P1","template":"[X] and [Y] ."}\n{"relation":"P2","template":"[X] had [Y] ."}\n',
    );
    await json(MODEL, templates, facts, '--out', other);
    const compared = await json<Comparison>('compare', file('whole.jsonl'), other);
    assert.equal(compared.all.n, FACTS);
    const { gained, lost, right, wrong, p } = compared.all;
    assert.equal(gained + lost + right + wrong, FACTS);
    assert.ok(p >= 0 && p <= 1);
    assert.equal(compared.changes.length, gained + lost);
    const { out } = await probe('compare', file('whole.jsonl'), file('whole.jsonl'));
    assert.match(out, /^all facts .* 0 +0 +1\.0000$/mu);
    await fails(2, /Two runs are compared/u, 'compare', other);
    await fails(2, /There is no run/u, 'compare', other, file('no.jsonl'));
    await fails(2, /is no run/u, 'compare', other, file('words.txt'));
  });

  it('exit code 1 when P@1 is less than it should be', async () => {
    const { p1 } = whole.macro;
    assert.equal((await probe(MODEL, facts, '--min-p1', '0')).code, 0);
    const { code, out } = await probe('merge', file('whole.jsonl'), '--min-p1', String(p1 + 0.01));
    assert.equal(code, 1);
    assert.match(out, /less than the/u);
    await fails(2, /must be a fraction/u, MODEL, facts, '--min-p1', '40');
  });

  it('what is broken is told with its line; the others run', async () => {
    const cloze = write(
      'broken.cloze',
      [
        'relation r',
        'template: [X] said nothing',
        'template: [X] said [Y] or [Y]',
        'template: [X] said [Y] and went .',
        'man → the',
        'man → the',
        'woman [Y → was',
        'she → [MASK]',
        'they',
        'it → 漢',
      ].join('\n'),
    );
    const broken = write(
      'P1.jsonl',
      '{"sub_label":"he","obj_label":"the"}\n{"sub_label":\n{"sub_label":"she","obj_label":"was"}\n',
    );
    const outcome = await probe(MODEL, cloze, broken, join(facts, 'relations.jsonl'), '--json');
    assert.equal(outcome.code, 0, outcome.err);
    for (const place of [
      'broken.cloze:2:',
      'broken.cloze:3:',
      'broken.cloze:6:',
      'broken.cloze:8:',
      'broken.cloze:9:',
      'P1.jsonl:2:',
    ])
      assert.ok(outcome.err.includes(place), `${place} in ${outcome.err}`);
    const { relations } = JSON.parse(outcome.out) as Summary;
    assert.deepEqual(
      relations.map(({ relation, n, skipped }) => [relation, n, skipped]),
      [
        ['r', 2, { 'answer is unknown to the tokenizer': 1 }],
        ['P1', 2, {}],
      ],
    );
  });

  it('bad use', async () => {
    await fails(2, /A model and files of facts are needed/u, MODEL);
    await fails(2, /There is no model/u, file('none'), facts);
    await fails(2, /There is no file or folder/u, MODEL, file('none'));
    await fails(2, /--ensemble must be one of/u, MODEL, facts, '--ensemble', 'all');
    await fails(2, /--top must be/u, MODEL, facts, '--top', '0');
    await fails(2, /has no words/u, MODEL, facts, '--vocab', write('empty.txt', '\n'));
    await fails(2, /cannot be read|no such file/u, MODEL, facts, '--vocab', file('none.txt'));
    await fails(2, /No run was named/u, 'merge');
    await fails(2, /no language-model head/u, resolve('test/fixtures/bert-classifier'), facts);
  });

  for (const program of ['parallel', 'xargs'])
    it(`the example for one machine, with ${program}`, async function () {
      const placeOf = (name: string): string =>
        spawnSync('sh', ['-c', `command -v ${name}`], { encoding: 'utf8' }).stdout.trim();
      if (placeOf(program) === '' || process.platform === 'win32') {
        process.stderr.write(`      skipped: ${program} is not here\n`);
        this.skip();
      }
      // GNU parallel goes before xargs where it is there, so that one is tried where it is not.
      let path = process.env['PATH'] ?? '';
      if (program === 'xargs') {
        path = file('bin');
        mkdirSync(path);
        for (const name of ['sh', 'seq', 'xargs', 'mkdir', 'rm']) symlinkSync(placeOf(name), join(path, name));
      }
      const runs = file(`runs of ${program}`);
      const started = spawnSync('examples/probe-parallel.sh', ['3', runs, MODEL, facts], {
        encoding: 'utf8',
        env: { ...process.env, PATH: path, LENS: `${process.execPath} ${LENS}` },
      });
      assert.equal(started.status, 0, started.stderr);
      assert.match(started.stdout, /^mean of relations /mu);
      assert.deepEqual(sorted(factsOf(join(runs, 'all.jsonl'))), sorted(factsOf(file('whole.jsonl'))));
    });
});
