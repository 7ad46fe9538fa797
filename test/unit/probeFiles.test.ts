/** Files of facts in all their forms, and files of runs. */
import assert from 'node:assert/strict';
import {
  appendFileSync,
  createWriteStream,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { gzipSync } from 'node:zlib';
import { answersOf } from '../../extension/cloze/facts';
import { readLines } from '../../extension/cloze/lines';
import {
  mergeRuns,
  newHeader,
  readRun,
  RunWriter,
  type RunFact,
  type RunRelation,
} from '../../extension/cloze/runFile';
import { placed, readSources, readWords } from '../../extension/cloze/sources';
import { LensError } from '../../extension/protocol/errors';
import type { ProbeRelation } from '../../extension/protocol/probes';

const jsonl = (...records: unknown[]): string => records.map((record) => `${JSON.stringify(record)}\n`).join('');
const fact = (subject: string, answer: string): object => ({ sub_label: subject, obj_label: answer, uuid: '1' });
const isBadInput = (pattern: RegExp) => (error: unknown) =>
  error instanceof LensError && error.code === 'bad-input' && pattern.test(error.message);

describe('files of facts', function () {
  this.timeout(60_000);
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), 'onnx-lens-probes-'))));
  afterEach(() => rmSync(folder, { recursive: true }));
  const write = (name: string, content: string | Buffer): string => {
    const path = join(folder, name);
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(path, content);
    return path;
  };
  const lama = (): void => {
    write(
      'relations.jsonl',
      jsonl(
        { relation: 'P1', template: '[X] is in [Y] .', template_negated: '[X] is nowhere in [Y] .' },
        { relation: 'P2', template: '[Y] has [X] .', type: 'N-1' },
        { relation: 'P3', template: '[X] [Y]' },
      ),
    );
    write('trex/P1.jsonl', jsonl(fact('a', 'b'), fact('a', 'c'), fact('a', 'b')));
    write('trex/P2.jsonl.gz', gzipSync(`\ufeff${jsonl(fact('ä', 'ö'))}\r\n`));
    write('pararel/P1.jsonl', jsonl({ pattern: '[X] lies in [Y].', lemma: 'lie' }, { pattern: '[X] is in [Y] .' }));
    write(
      'squad/test.jsonl',
      jsonl({ masked_sentences: ['The [MASK] color and the [MASK].'], obj_label: 'gold', sub_label: 'Squad' }),
    );
  };

  it('LAMA: a folder with relations.jsonl, one fact for each subject and answer', async () => {
    lama();
    const { relations, problems, notes } = await readSources([folder]);
    assert.deepEqual(problems, []);
    assert.deepEqual(
      relations.map(({ id, templates, facts, places }) => [id, templates, facts, places.map(({ line }) => line)]),
      [
        [
          'P1',
          [{ text: '[X] is in [Y] .', negated: '[X] is nowhere in [Y] .' }],
          [
            { subject: 'a', answers: ['b'] },
            { subject: 'a', answers: ['c'] },
          ],
          [1, 2],
        ],
        ['P2', [{ text: '[Y] has [X] .' }], [{ subject: 'ä', answers: ['ö'] }], [1]],
      ],
    );
    assert.match(notes.join('\n'), /P1: 1 fact stood there before/u);
    assert.match(notes.join('\n'), /pararel\/ holds paraphrase patterns/u);
    assert.match(notes.join('\n'), /squad\/test\.jsonl is no relation/u);
  });

  it('facts find the relations.jsonl above them; named templates go before it', async () => {
    lama();
    const templatesOf = async (...paths: string[]): Promise<string[]> =>
      (await readSources(paths.map((path) => join(folder, path)))).relations.flatMap(({ templates }) =>
        templates.map(({ text }) => text),
      );
    assert.deepEqual(await templatesOf('trex'), ['[X] is in [Y] .', '[Y] has [X] .']);
    assert.deepEqual(await templatesOf('trex/P1.jsonl'), ['[X] is in [Y] .']);
    assert.deepEqual(await templatesOf('trex/P1.jsonl', 'pararel'), ['[X] lies in [Y].', '[X] is in [Y] .']);
    write('other.jsonl', jsonl({ relation: 'P1', template: '[X] ? [Y]' }));
    assert.deepEqual(await templatesOf('other.jsonl', 'trex/P1.jsonl'), ['[X] ? [Y]']);
  });

  it('SQuAD and ConceptNet: sentences of their own, asked at the first mask', async () => {
    lama();
    const { relations } = await readSources([join(folder, 'squad')]);
    assert.deepEqual(
      relations.map(({ id, facts }) => [id, facts]),
      [['squad', [{ subject: 'Squad', answers: ['gold'], sentence: 'The [Y] color and the [MASK].' }]]],
    );
  });

  it('Google-RE: its own templates, and the sentence of the evidence as context', async () => {
    const birth = {
      ...{ pred: '/people/person/place_of_birth', sub: '/m/1', sub_label: 'Ann', obj_label: 'Rome' },
      evidences: [{ considered_sentences: ['Ann was born in Rome.'] }],
      masked_sentences: ['Ann came from [MASK].'],
    };
    const { relations } = await readSources([write('place_of_birth_test.jsonl', jsonl(birth))]);
    assert.deepEqual(
      relations.map(({ id, templates, facts }) => [id, templates, facts]),
      [
        [
          'place_of_birth',
          [{ text: '[X] was born in [Y] .' }],
          [{ subject: 'Ann', answers: ['Rome'], context: 'Ann was born in Rome.' }],
        ],
      ],
    );
  });

  it('a broken line is told with its place, the others are read', async () => {
    const file = write(
      'P9.jsonl',
      `${jsonl(fact('a', 'b'))}{"sub_label": \n[1]\n\n${jsonl({ sub_label: 'x' }, { obj_label: 'y' }, fact('c', 'd'))}`,
    );
    const templates = write(
      'r.jsonl',
      jsonl({ relation: 'P9', template: '[X] [Y]' }, { relation: 'P8', template: '[X]' }),
    );
    const { relations, problems } = await readSources([file, templates]);
    assert.deepEqual(answersOf(relations[0] as ProbeRelation), ['b', 'd']);
    assert.deepEqual(
      problems.map((problem) => placed(problem).slice(folder.length + 1)),
      [
        'P9.jsonl:2: The line is no JSON.',
        'P9.jsonl:3: The line is no JSON object.',
        'P9.jsonl:5: The line has no obj_label.',
        'P9.jsonl:6: The line has neither sub_label nor masked_sentences.',
        'r.jsonl:2: The line has a template that has no [Y]: [X].',
      ],
    );
  });

  it('complaints about a file that is broken throughout are bounded', async () => {
    const file = write(
      'P1.jsonl',
      `${'x\n'.repeat(1000)}${jsonl({ ...fact('a', 'b'), masked_sentences: ['[MASK]'] })}`,
    );
    const { problems, relations } = await readSources([file]);
    assert.equal(relations.length, 1);
    assert.ok(problems.length < 100);
    assert.match(problems.at(-1)?.message ?? '', /950 more lines/u);
  });

  it('paths that are not there, folders without facts, relations without a template, damaged archives', async () => {
    await assert.rejects(readSources([join(folder, 'no')]), isBadInput(/There is no file or folder/u));
    await assert.rejects(readSources([folder]), isBadInput(/no \.cloze or \.jsonl/u));
    await assert.rejects(readSources([write('P5.jsonl', jsonl(fact('a', 'b')))]), isBadInput(/P5 has no template/u));
    await assert.rejects(readSources([write('P6.jsonl.gz', 'no archive')]), isBadInput(/cannot be read/u));
    const whole = gzipSync(
      Buffer.from(jsonl(...Array.from({ length: 9000 }, (_, index) => fact(`s${index * 7919}`, `o${index * 104729}`)))),
    );
    const cut = write('P7.jsonl.gz', whole.subarray(0, whole.length - 1000));
    const { relations, problems } = await readSources([
      cut,
      write('r.jsonl', jsonl({ relation: 'P7', template: '[X] [Y]' })),
    ]);
    assert.ok((relations[0]?.facts.length ?? 0) > 1000);
    assert.match(problems[0]?.message ?? '', /cannot be read/u);
  });

  it('.cloze files bring vocabulary, candidates and places', async () => {
    write('words.txt', 'Rome\n\n Paris \nRome\n');
    const file = write(
      'a.cloze',
      'vocabulary: words.txt\nrelation r\ntemplate: [X] [Y]\ncandidates: file words.txt\na → Rome\nb →\nc → Paris\n',
    );
    const { relations, problems } = await readSources([file]);
    assert.deepEqual(relations[0]?.candidates, ['Rome', 'Paris']);
    assert.equal(relations[0].vocabulary, join(folder, 'words.txt'));
    assert.deepEqual(
      relations[0].places.map(({ line }) => line),
      [5, 7],
    );
    assert.deepEqual(
      problems.map(({ line }) => line),
      [6],
    );
    assert.deepEqual(await readWords(join(folder, 'words.txt')), ['Rome', 'Paris']);
  });

  it('a file of 200 MB is streamed', async () => {
    const file = join(folder, 'P1.jsonl');
    const stream = createWriteStream(file);
    const evidence = 'e'.repeat(20_000);
    const line = (index: number): string =>
      jsonl({ ...fact(`s${index}`, 'b'), evidences: [{ snippet: '' }], evidence });
    for (let index = 0; index < 10_000; index++) if (!stream.write(line(index))) await once(stream, 'drain');
    stream.end();
    await once(stream, 'finish');
    const before = process.memoryUsage.rss();
    let most = 0;
    const timer = setInterval(() => (most = Math.max(most, process.memoryUsage.rss())), 20);
    const { relations } = await readSources([file, write('r.jsonl', jsonl({ relation: 'P1', template: '[X] [Y]' }))]);
    clearInterval(timer);
    assert.equal(relations[0]?.facts.length, 10_000);
    assert.ok(most - before < 150 * 2 ** 20, `${(most - before) / 2 ** 20} MB more`);
  });

  it('lines: numbers, ends of both kinds, and one that is too long', async () => {
    const lines = [];
    for await (const line of readLines(write('a', `one\r\n\n${'x'.repeat(9 * 2 ** 20)}\nlast ä`)))
      lines.push([line.number, line.text.length, line.cut]);
    assert.deepEqual(lines, [
      [1, 3, false],
      [2, 0, false],
      [3, 8 * 2 ** 20, true],
      [4, 6, false],
    ]);
  });

  const relation: RunRelation = {
    ...{ id: 'r', templates: [{ text: '[X] [Y]' }], ranking: 'vocabulary', words: null },
    facts: ['a', 'b', 'c'].map((subject) => ({ subject, answers: ['x'] })),
  };
  const options = { topK: 1, variants: [], uhn: false, joint: 'pll', seed: 0, ensemble: 'first' } as const;
  const header = (shard = { index: 0, of: 1 }, own = relation) =>
    newHeader('m', { sha256: '0', files: [], versions: {} }, { ...options, variants: [] }, [own], shard);
  const line = (subject: string): RunFact => ({
    ...{ relation: 'r', subject, answers: ['x'] },
    result: { kind: 'skipped', why: 'answer has no token', detail: '' },
  });

  it('a run goes on behind an incomplete last line', async () => {
    const path = join(folder, 'run.jsonl');
    const first = await RunWriter.open(path, header(), false);
    first.append([line('a')]);
    first.close();
    const complete = readFileSync(path, 'utf8');
    appendFileSync(path, JSON.stringify(line('b')).slice(0, 25));
    assert.equal((await readRun(path)).facts.length, 1);
    const second = await RunWriter.open(path, header(), true);
    assert.deepEqual(second.done, [line('a')]);
    assert.equal(readFileSync(path, 'utf8'), complete);
    second.append([line('b')]);
    second.close();
    assert.deepEqual((await readRun(path)).facts, [line('a'), line('b')]);
    // Killed while its first line was written.
    writeFileSync(path, complete.slice(0, 30));
    const third = await RunWriter.open(path, header(), true);
    third.close();
    assert.deepEqual((await readRun(path)).facts, []);
  });

  it('a run is not written over, mixed with another one, or written twice at once', async () => {
    const path = join(folder, 'run.jsonl');
    const writer = await RunWriter.open(path, header(), false);
    await assert.rejects(RunWriter.open(path, header(), true), isBadInput(/being written/u));
    writer.close();
    await assert.rejects(RunWriter.open(path, header(), false), isBadInput(/there already/u));
    await assert.rejects(RunWriter.open(path, header({ index: 1, of: 2 }), true), isBadInput(/the shard changed/u));
    const edited = { ...relation, facts: relation.facts.slice(1) };
    await assert.rejects(RunWriter.open(path, header(undefined, edited), true), isBadInput(/facts, templates or/u));
    // Of a process that is gone.
    writeFileSync(`${path}.lock`, JSON.stringify({ pid: 2 ** 22 + 1, host: 'elsewhere' }));
    (await RunWriter.open(path, header(), true)).close();
    await assert.rejects(readRun(write('other', '{}\n')), isBadInput(/is no run/u));
    appendFileSync(path, 'x\n');
    await assert.rejects(readRun(path), isBadInput(/Line 2 of the run/u));
  });

  it('shards are merged; a doubled fact or another run is refused', () => {
    const run = (index: number, ...subjects: string[]) => ({
      path: `${index}`,
      run: { header: header({ index, of: 2 }), facts: subjects.map(line) },
    });
    const merged = mergeRuns([run(0, 'a', 'c'), run(1, 'b')]);
    assert.deepEqual(merged.header.shard, { index: 0, of: 1 });
    assert.equal(merged.facts.length, merged.header.facts.count);
    assert.throws(() => mergeRuns([run(0, 'a'), run(1, 'a')]), isBadInput(/hold the same fact: a → x/u));
    const other = run(1, 'b');
    other.run.header.model.sha256 = '1';
    assert.throws(() => mergeRuns([run(0, 'a'), other]), isBadInput(/differ in the model/u));
  });
});
