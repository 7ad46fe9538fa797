/** The file of names: what it reads, what it refuses and where, and that changes of two people are both kept. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import {
  formatNames,
  namesOf,
  parseNames,
  plainName,
  tagsOf,
  withName,
  type NamedMemory,
} from '../../extension/files/memoryNames';

const A = 'a'.repeat(64);
const B = 'b'.repeat(64);
const FILE = '.vscode/onnx-lens-memories.tsv';
const entry = (layer: number, neuron: number, name: string, tags: string[] = [], fingerprint = A): NamedMemory => ({
  ...{ layer, neuron, name, tags, fingerprint },
  model: fingerprint === A ? 'bert' : 'gpt2',
});
const TEXT = formatNames({
  comments: [],
  entries: [entry(10, 1518, 'native languages', ['language']), entry(2, 7, 'commas'), entry(0, 3, 'years', [], B)],
});

describe('names of memories', () => {
  it('are lines sorted by model, layer and neuron, and read again as they were', () => {
    assert.deepEqual(TEXT.split('\n').slice(1), [
      'memory\tname\ttags\tmodel\tsha256',
      `L2N7\tcommas\t\tbert\t${A}`,
      `L10N1518\tnative languages\tlanguage\tbert\t${A}`,
      `L0N3\tyears\t\tgpt2\t${B}`,
      '',
    ]);
    assert.equal(formatNames(parseNames(TEXT, FILE)), TEXT);
    assert.equal(formatNames(parseNames(`\uFEFF${TEXT.replaceAll('\n', '\r\n')}`, FILE)), TEXT);
  });

  it('of one model are told from those of another', () => {
    const file = parseNames(TEXT, FILE);
    assert.deepEqual(
      namesOf(file, A).names.map(({ layer, neuron }) => [layer, neuron]),
      [
        [2, 7],
        [10, 1518],
      ],
    );
    assert.deepEqual(namesOf(file, B).names, [{ layer: 0, neuron: 3, name: 'years', tags: [] }]);
    assert.deepEqual(namesOf(file, 'c'.repeat(64)), { names: [], notes: [] });
  });

  it('are changed by one line, and taken away by an empty name', () => {
    const changed = withName(parseNames(TEXT, FILE), entry(2, 7, ' a comma\n or two ', ['#b', 'a', 'b']));
    const lines = formatNames(changed).split('\n');
    assert.ok(lines.includes(`L2N7\ta comma or two\ta b\tbert\t${A}`));
    assert.equal(lines.length, TEXT.split('\n').length);
    const none = withName(changed, entry(2, 7, ''));
    assert.deepEqual(
      namesOf(none, A).names.map(({ neuron }) => neuron),
      [1518],
    );
    assert.equal(namesOf(none, B).names.length, 1);
  });

  it('keep the comments of people', () => {
    const file = parseNames(`# ours\n${TEXT}`, FILE);
    assert.ok(formatNames(withName(file, entry(1, 1, 'new'))).startsWith('# ours\n#'));
  });

  it('say the line that cannot be read, and what is wrong there', () => {
    const lines = TEXT.split('\n');
    const at = (line: string, why: RegExp): void =>
      assert.throws(
        () => parseNames([...lines.slice(0, 3), line, ...lines.slice(3)].join('\n'), FILE),
        (error: Error & { code?: string }) => {
          assert.equal(error.code, 'bad-input');
          assert.match(error.message, /onnx-lens-memories\.tsv, line 4: /u);
          assert.match(error.message, why);
          return true;
        },
      );
    for (const mark of ['<<<<<<< HEAD', '=======', '>>>>>>> theirs', '||||||| base']) at(mark, /merge/u);
    at('L1N2\tname', /2 fields/u);
    at(`head 3\tname\t\tbert\t${A}`, /no memory/u);
    at(`L1N2\t \t\tbert\t${A}`, /no name/u);
    at('L1N2\tname\t\tbert\tabc', /SHA-256/u);
  });

  it('tell of a memory that two people called differently, and keep both lines', () => {
    const both = parseNames(`${TEXT}L2N7\tpauses\t\tbert\t${A}\n`, FILE);
    const { names, notes } = namesOf(both, A);
    assert.equal(names.length, 2);
    assert.match(notes.join(), /L2N7 has two names in the file, “commas” and “pauses”/u);
    assert.ok(formatNames(withName(both, entry(5, 5, 'new'))).includes('pauses'));
    // The same line twice says nothing new.
    assert.deepEqual(namesOf(parseNames(`${TEXT}L2N7\tcommas\t\tbert\t${A}\n`, FILE), A).notes, []);
  });

  it('survive any name and tags', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.array(fc.string()), (name, tags) => {
        const file = withName({ comments: [], entries: [] }, entry(1, 2, name, tags));
        const again = parseNames(formatNames(file), FILE);
        assert.deepEqual(again.entries, file.entries);
        if (plainName(name) !== '')
          assert.deepEqual(namesOf(again, A).names, [
            { layer: 1, neuron: 2, name: plainName(name), tags: tagsOf(tags.join(' ')) },
          ]);
      }),
    );
  });

  it('of two people are put together by git: apart without a conflict, side by side with its union', function () {
    const folder = mkdtempSync(join(tmpdir(), 'names-'));
    const merge = (base: string, one: string, other: string, ...options: string[]): string => {
      for (const [name, text] of Object.entries({ base, one, other })) writeFileSync(join(folder, name), text);
      execFileSync('git', ['merge-file', '-q', ...options, 'one', 'base', 'other'], { cwd: folder });
      return readFileSync(join(folder, 'one'), 'utf8');
    };
    const added = (each: NamedMemory): string => formatNames(withName(parseNames(TEXT, FILE), each));
    try {
      execFileSync('git', ['--version']);
    } catch {
      rmSync(folder, { recursive: true });
      return this.skip();
    }
    try {
      const apart = parseNames(merge(TEXT, added(entry(0, 1, 'first')), added(entry(11, 1, 'last'))), FILE);
      assert.equal(apart.entries.length, 5);
      const near = merge(TEXT, added(entry(11, 1, 'mine')), added(entry(11, 2, 'theirs')), '--union');
      assert.equal(parseNames(near, FILE).entries.length, 5);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
