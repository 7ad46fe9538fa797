/** Facts as tests inside the real VS Code: found, opened, run, cancelled, edited. */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as vscode from 'vscode';
import type { LensApi } from '../../extension/extension';
import { closeAll, expected, fixture, lens, run, until, withSetting } from './support';

type State = 'passed' | 'failed' | 'skipped' | 'errored';

/** What a run said to VS Code. */
interface Heard {
  states: Map<vscode.TestItem, State>;
  messages: Map<vscode.TestItem, vscode.TestMessage>;
  output: string;
  ended: boolean;
}

const NONE = new vscode.CancellationTokenSource().token;
const FACTS = [
  ['Paris', 'France'],
  ['Rome', 'Italy'],
  ['Berlin', 'Germany'],
  ['Madrid', 'Spain'],
  ['Oslo', 'Norway'],
  ['Zzyzx', 'Peru'],
] as const;

describe('Facts as tests', () => {
  let api: LensApi;
  let root: string;
  let heard: Heard[] = [];
  let create: vscode.TestController['createTestRun'];

  before(async () => {
    api = await lens();
    const [workspace] = vscode.workspace.workspaceFolders ?? [];
    assert.ok(workspace);
    root = join(workspace.uri.fsPath, 'facts-of-tests');
    for (const folder of ['trex', 'patterns', 'google']) mkdirSync(join(root, folder), { recursive: true });
    const line = (value: unknown): string => `${JSON.stringify(value)}\n`;
    writeFileSync(join(root, 'relations.jsonl'), line({ relation: 'R1', template: '[X] is the capital of [Y] .' }));
    const lines = FACTS.map(([sub_label, obj_label]) => line({ sub_label, obj_label }));
    lines.splice(2, 0, '{ broken\n');
    writeFileSync(join(root, 'trex', 'R1.jsonl'), lines.join(''));
    writeFileSync(
      join(root, 'patterns', 'R1.jsonl'),
      ['[X] is the capital of [Y].', '[X], the capital of [Y].'].map((pattern) => line({ pattern })).join(''),
    );
    writeFileSync(
      join(root, 'google', 'place_of_birth_test.jsonl'),
      line({ pred: '/people/person/place_of_birth', sub_label: 'Dante', obj_label: 'Florence' }),
    );
    const { controller } = api.tests;
    create = controller.createTestRun.bind(controller);
    controller.createTestRun = (...parameters) => {
      const real = create(...parameters);
      const own: Heard = { states: new Map(), messages: new Map(), output: '', ended: false };
      if (parameters[2] !== false) heard.push(own);
      const note = (state: State) => (item: vscode.TestItem, message?: vscode.TestMessage) => {
        own.states.set(item, state);
        if (message !== undefined) own.messages.set(item, message);
        (real[state] as (test: vscode.TestItem, said?: vscode.TestMessage) => void)(item, message);
      };
      return new Proxy(real, {
        get: (target, name) => {
          if (name === 'passed' || name === 'failed' || name === 'skipped' || name === 'errored') return note(name);
          if (name === 'appendOutput')
            return (text: string, ...more: [vscode.Location?, vscode.TestItem?]) => {
              own.output += text;
              target.appendOutput(text, ...more);
            };
          if (name === 'end')
            return () => {
              own.ended = true;
              target.end();
            };
          const value = Reflect.get(target, name) as unknown;
          return typeof value === 'function' ? (value.bind(target) as unknown) : value;
        },
      });
    };
  });
  beforeEach(() => {
    heard = [];
  });
  afterEach(async () => {
    await run('onnxLens.clearProbeResults');
    await closeAll();
  });
  after(() => {
    api.tests.controller.createTestRun = create;
    rmSync(root, { recursive: true });
  });

  const resolve = async (item?: vscode.TestItem): Promise<void> => {
    await api.tests.controller.resolveHandler?.(item);
  };
  /** Opens what is on the way. */
  const find = async (...labels: string[]): Promise<vscode.TestItem> => {
    let items = api.tests.controller.items;
    let found: vscode.TestItem | undefined;
    if (items.size === 0 || [...items].every(([, { label }]) => label !== labels[0])) await resolve();
    items = api.tests.controller.items;
    for (const label of labels) {
      if (found?.children.size === 0) await resolve(found);
      items = found?.children ?? items;
      found = [...items].map(([, item]) => item).find((item) => item.label === label);
      assert.ok(found, `${label} is not among ${[...items].map(([, item]) => item.label).join(', ')}`);
    }
    return found as vscode.TestItem;
  };
  const runTests = async (...items: vscode.TestItem[]): Promise<Heard> => {
    const before = heard.length;
    await api.tests.run(new vscode.TestRunRequest(items), NONE);
    return heard[before]!;
  };
  const labelsOf = ({ states }: Heard, state: State): string[] =>
    [...states].flatMap(([item, said]) => (said === state ? [item.label] : [])).sort();

  it('are found in .cloze files, LAMA, ParaRel and Google-RE, and read only when they are opened', async () => {
    await resolve();
    const found = [...api.tests.controller.items].map(([, { label, description }]) => `${label} ${description ?? ''}`);
    for (const wanted of [
      'lecture.cloze ',
      'facts-of-tests/google JSONL',
      'facts-of-tests/patterns ParaRel',
      'facts-of-tests/trex LAMA',
    ])
      assert.ok(found.includes(wanted), `${wanted}: ${found.join(', ')}`);
    const relation = await find('facts-of-tests/trex', 'R1');
    assert.equal(relation.children.size, 0);
    await resolve(relation);
    const [template] = [...relation.children].map(([, item]) => item);
    assert.equal(template?.label, '[X] is the capital of [Y] .');
    assert.equal(template.children.size, 0);
    await resolve(template);
    assert.deepEqual([...template.children].map(([, { label, range }]) => [label, range?.start.line]).at(2), [
      'Berlin → Germany',
      3,
    ]);
    assert.equal((await find('facts-of-tests/patterns', 'R1')).children.size, 0);
  });

  it("pass when the answer is PyTorch's first prediction: the lecture's 23", async () => {
    const file = await find('lecture.cloze');
    const said = await runTests(file);
    const document = await vscode.workspace.openTextDocument(file.uri!);
    const facts = [...said.states].filter(([item]) => item.label.includes(' → '));
    assert.equal(facts.length, 23);
    for (const [item, state] of facts) {
      const [subject = '', answer = ''] = item.label.split(' → ');
      const template = item.parent?.label ?? '';
      const question = template.replace('[X]', () => subject).replace('[Y]', '[MASK]');
      const reference = expected().fill_mask.find(({ text }) => text === question)?.masks[0]?.predictions[0];
      assert.ok(reference, question);
      assert.equal(state, reference.token === answer ? 'passed' : 'failed', item.label);
      assert.ok(document.lineAt(item.range!.start.line).text.includes(subject));
    }
    const failed = facts.find(([, state]) => state === 'failed')![0];
    const message = said.messages.get(failed);
    assert.equal(message?.location?.range.start.line, failed.range?.start.line);
    assert.match(message?.message as string, /rank \d/);
    assert.match(said.output, /✓ Mauritius → English {2}rank 1/);
    assert.equal(said.ended, true);
    // Within a larger rank more of them pass.
    await withSetting('probes.passRank', 1000, async () => {
      const again = await runTests(file);
      assert.ok(labelsOf(again, 'passed').length > labelsOf(said, 'passed').length);
    });
  });

  it('report a broken line with its number, and run the others', async () => {
    const relation = await find('facts-of-tests/trex', 'R1');
    const said = await runTests(relation);
    assert.match(relation.error as string, /R1\.jsonl:3: The line is no JSON/);
    assert.match(said.output, /R1\.jsonl:3: The line is no JSON/);
    assert.deepEqual(labelsOf(said, 'passed'), [
      'Berlin → Germany',
      'Madrid → Spain',
      'Oslo → Norway',
      'Paris → France',
      'Rome → Italy',
    ]);
    assert.deepEqual(labelsOf(said, 'failed'), ['Zzyzx → Peru']);
    const [problem] = vscode.languages.getDiagnostics(relation.uri!);
    assert.equal(problem?.range.start.line, 2);
    // What had failed, once more, and nothing else.
    const [failed] = [...said.states].find(([, state]) => state === 'failed')!;
    const again = await runTests(failed);
    assert.deepEqual([...again.states.values()], ['failed']);
    assert.equal(api.probes.runs.at(-1)?.facts.length, 1);
    // Results stand on the lines of the JSONL file, too.
    const document = await vscode.workspace.openTextDocument(relation.uri!);
    const hints = await vscode.commands.executeCommand<vscode.InlayHint[]>(
      'vscode.executeInlayHintProvider',
      document.uri,
      new vscode.Range(0, 0, document.lineCount, 0),
    );
    assert.equal(hints.length, 6);
  });

  it("ask ParaRel's patterns about LAMA's facts", async () => {
    const said = await runTests(await find('facts-of-tests/patterns', 'R1'));
    assert.equal([...said.states].filter(([item]) => item.label === 'Paris → France').length, 2);
    const one = await find('facts-of-tests/patterns', 'R1', '[X], the capital of [Y].');
    await runTests(one);
    assert.deepEqual(
      api.probes.runs.at(-1)?.job.relations.map(({ templates }) => templates.map(({ text }) => text)),
      [['[X], the capital of [Y].']],
    );
    const google = await runTests(await find('facts-of-tests/google', 'place_of_birth'));
    assert.equal(google.states.size, 1);
  });

  const many = (count: number): string =>
    [
      'relation many',
      '  template: The number of [X] is [Y].',
      ...Array.from({ length: count }, (_, index) => `  thing ${index} → one`),
      '',
    ].join('\n');

  it('are thousands, and told of together', async () => {
    const file = join(root, 'many.cloze');
    writeFileSync(file, many(5_000));
    try {
      const template = await find('facts-of-tests/many.cloze', 'many', 'The number of [X] is [Y].');
      const relation = template.parent!;
      const stop = new vscode.CancellationTokenSource();
      const running = api.tests.run(new vscode.TestRunRequest([relation]), stop.token);
      await until('some results', () => (api.probes.runs.at(-1)?.facts.length ?? 0) > 40, 60_000);
      const started = Date.now();
      stop.cancel();
      await running;
      assert.ok(Date.now() - started < 10_000, 'cancelled at once');
      assert.equal(template.children.size, 0, 'nobody has opened them');
      assert.equal(api.probes.runs.at(-1)?.state, 'cancelled');
      const [said] = heard;
      assert.equal(said?.states.get(template), 'skipped');
      assert.match(said.output, /P@1 \d+\.\d %: \d+ of \d+ facts, cancelled/);
      await resolve(template);
      assert.equal(template.children.size, 5_000);
    } finally {
      rmSync(file);
    }
  }).timeout(180_000);

  it('run twice at once, and while their file is edited', async () => {
    const file = join(root, 'edited.cloze');
    writeFileSync(
      file,
      `relation capital\n  template: [X] is the capital of [Y].\n${FACTS.map(([x, y]) => `  ${x} → ${y}\n`).join('')}`,
    );
    try {
      const editor = await vscode.window.showTextDocument(await vscode.workspace.openTextDocument(file));
      const relation = await find('facts-of-tests/edited.cloze', 'capital');
      const both = [runTests(relation), runTests(await find('facts-of-tests/trex', 'R1'))];
      await editor.edit((edit) => edit.insert(new vscode.Position(0, 0), '# A comment moves all lines.\n'));
      const [first, second] = await Promise.all(both);
      for (const said of [first, second]) assert.ok(said?.ended);
      assert.equal(heard.length, 2);
      assert.deepEqual(
        heard.map((said) => labelsOf(said, 'passed').length),
        [5, 5],
      );
      const template = await find('facts-of-tests/edited.cloze', 'capital', '[X] is the capital of [Y].');
      await until('lines that follow the edit', () => {
        const [, paris] = [...template.children].find(([, { label }]) => label === 'Paris → France') ?? [];
        return paris?.range?.start.line === 3;
      });
      await editor.document.save();
    } finally {
      rmSync(file);
    }
  });

  it('run again when their file is saved, as long as that is wanted', async () => {
    const file = join(root, 'saved.cloze');
    writeFileSync(file, 'relation capital\n  template: [X] is the capital of [Y].\n  Paris → France\n');
    try {
      const editor = await vscode.window.showTextDocument(await vscode.workspace.openTextDocument(file));
      const source = await find('facts-of-tests/saved.cloze');
      const stop = new vscode.CancellationTokenSource();
      await api.tests.run(new vscode.TestRunRequest([source], undefined, undefined, true), stop.token);
      await editor.edit((edit) => edit.insert(new vscode.Position(3, 0), '  Rome → Italy\n'));
      await editor.document.save();
      const said = await until('a run of what was saved', () => heard.find(({ ended }) => ended));
      assert.deepEqual(labelsOf(said, 'passed'), ['Paris → France', 'Rome → Italy']);
      stop.cancel();
      await editor.edit((edit) => edit.insert(new vscode.Position(4, 0), '  Oslo → Norway\n'));
      await editor.document.save();
      await sleep(1_500);
      assert.equal(heard.length, 1);
    } finally {
      rmSync(file);
    }
  });

  it('say what is wrong when the model has no words to predict', async () => {
    const first = api.models.require().ref.id;
    await run('onnxLens.addModelFolder', vscode.Uri.file(fixture('bert-classifier')));
    const added = api.models.selected?.ref.id ?? '';
    try {
      const said = await runTests(await find('facts-of-tests/google', 'place_of_birth'));
      assert.deepEqual([...said.states.values()], ['errored']);
      const [message] = [...said.messages.values()];
      assert.match(message?.message as string, /language-model head/);
    } finally {
      await run('onnxLens.selectModel', first);
      await run('onnxLens.removeModel', added);
    }
  });
});
