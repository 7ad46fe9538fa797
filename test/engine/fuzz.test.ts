/**
 * Graphs that no exporter wrote, thousands of them from one seed: each is read and its anatomy found, or it is refused with a clear
 * error, soon and in bounded memory. A part of them goes through the real runtime in the engine's process.
 */
import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { EngineClient } from '../../extension/client/engineClient';
import { randomBelow, seededRandom } from '../../extension/engine/analysis/random';
import { findAnatomy } from '../../extension/engine/anatomy/anatomy';
import { summary } from '../../extension/engine/anatomy/summary';
import { withHeadRows } from '../../extension/engine/instrument/headRows';
import { instrument } from '../../extension/engine/instrument/instrument';
import { inlined } from '../../extension/engine/onnx/inline';
import { encodeModel, readModel, type OnnxModel } from '../../extension/engine/onnx/model';
import { LensError } from '../../extension/protocol/errors';
import { fixture, fixtureNames, SETTINGS } from '../support/fixtures';
import { ABSURD_SIZES, BYTES, LARGE, pick, SMALL, type Mutator, type Random } from '../support/mutators';

const SEED = 20_261_125;
const GRAPHS = 5_000;
const RUNS = 100;
/** One in so many is large, one in so many is spoilt as bytes. */
const LARGE_EVERY = 100;
const BYTES_EVERY = 4;
/** Against hangs only: most take milliseconds. */
const LIMIT_MS = 20_000;
/** Against sizes believed from a file; what the collector leaves lying for later is some hundreds of megabytes. */
const MAX_GROWTH_KB = 2 * 2 ** 20;
/** Against hangs of the runtime: then the engine is ended, as when a person cancels. */
const RUN_LIMIT_MS = 20_000;
/** What a spoilt file may be called. */
const CODES = new Set(['model-invalid', 'model-unsupported']);

const WEIGHTS = 'model.bin';
const ENGINE = resolve('dist/engine.js');

/** Everything that is done with a graph before the runtime sees it. */
function look(path: string, random: Random): void {
  const model = inlined(readModel(path));
  const logits = model.graph.outputs.find(({ name }) => name.includes('logits'))?.name ?? null;
  const anatomy = findAnatomy(model, logits);
  JSON.stringify(summary(anatomy));
  const sites = [...anatomy.hooks.sites.values()].map(({ value }) => value);
  const some = (): Set<string> => new Set(sites.filter(() => random() < 0.3));
  const fed = sites.length > 0 && random() < 0.3 ? pick(sites, random) : null;
  const picks = [...some()].map((value) => ({
    value,
    axes: [0, 1],
    mean: random() < 0.5 ? null : 1,
    end: random() < 0.5 ? null : pick(['largest', 'smallest'] as const, random),
  }));
  encodeModel(instrument(anatomy.subject, { taps: some(), picks, gates: some(), fed }).model, WEIGHTS);
  const rewritten = logits === null ? null : withHeadRows(anatomy, logits);
  if (rewritten !== null) encodeModel(rewritten.model, WEIGHTS);
}

describe('fuzz', function () {
  this.timeout(600_000);
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'onnx-lens-fuzz-'));
  });
  after(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  const originals = new Map<string, OnnxModel>();
  const original = (name: string): OnnxModel => {
    const known = originals.get(name) ?? readModel(join(fixture(name).folder, 'model.onnx'));
    originals.set(name, known);
    return known;
  };

  /** A spoilt model and what was done to it. */
  function spoilt(
    name: string,
    random: Random,
    kinds: Readonly<Record<string, Mutator>>,
    changes: number,
  ): [OnnxModel, string] {
    let model = original(name);
    const done = [name];
    for (let change = 0; change < changes; change++) {
      const kind = pick(Object.keys(kinds), random);
      done.push(kind);
      model = (kinds[kind] as Mutator)(model, random);
    }
    return [model, done.join(' ')];
  }

  it(`${GRAPHS} spoilt files are read or refused`, () => {
    const path = join(folder, 'model.onnx');
    const before = process.resourceUsage().maxRSS;
    const seen = { read: 0, refused: 0 };
    for (let index = 0; index < GRAPHS; index++) {
      const random = seededRandom(SEED + index);
      const kinds = index % LARGE_EVERY === 0 ? LARGE : { ...SMALL, ...ABSURD_SIZES };
      const changes = kinds === LARGE ? 1 : 1 + randomBelow(random, 3);
      const [model, title] = spoilt(pick(fixtureNames, random), random, kinds, changes);
      let bytes = encodeModel(model, WEIGHTS);
      if (index % BYTES_EVERY === 1)
        bytes = (BYTES[pick(Object.keys(BYTES), random)] as (typeof BYTES)[string])(bytes, random);
      writeFileSync(path, bytes);
      const start = process.cpuUsage();
      try {
        look(path, random);
        seen.read++;
      } catch (thrown) {
        const stack = thrown instanceof Error ? thrown.stack : String(thrown);
        assert.ok(thrown instanceof LensError && CODES.has(thrown.code), `${index}: ${title}: ${stack}`);
        seen.refused++;
      }
      // Of the processor: other work on the machine is no fault of a graph.
      const { user, system } = process.cpuUsage(start);
      const took = (user + system) / 1_000;
      assert.ok(took < LIMIT_MS, `${index}: ${title} took ${took} ms`);
    }
    assert.ok(process.resourceUsage().maxRSS - before < MAX_GROWTH_KB, 'memory');
    // Both happen, or the mutations miss.
    assert.ok(seen.read > GRAPHS / 5 && seen.refused > GRAPHS / 10, JSON.stringify(seen));
  });

  it(`${RUNS} spoilt graphs run, fail, or take down the engine's process only`, async () => {
    const names = fixtureNames.filter((name) => name !== 'bert-external');
    const client = new EngineClient({ enginePath: ENGINE, settings: SETTINGS, log: () => undefined });
    const model = { id: 'spoilt', folder: join(folder, 'runs') };
    const seen = new Map<string, number>();
    try {
      for (let index = 0, made = 0; made < RUNS; index++) {
        const random = seededRandom(SEED - 1 - index);
        const name = pick(names, random);
        const [changed, title] = spoilt(name, random, SMALL, 1);
        rmSync(model.folder, { recursive: true, force: true });
        mkdirSync(model.folder);
        for (const file of ['config.json', 'tokenizer.json', 'tokenizer_config.json'])
          if (existsSync(join(fixture(name).folder, file)))
            cpSync(join(fixture(name).folder, file), join(model.folder, file));
        cpSync(join(fixture(name).folder, 'model.onnx'), join(model.folder, WEIGHTS));
        writeFileSync(join(model.folder, 'model.onnx'), encodeModel(changed, WEIGHTS));
        try {
          findAnatomy(inlined(readModel(join(model.folder, 'model.onnx'))), null);
        } catch {
          continue; // the other test's matter
        }
        made++;
        const code = await outcome(() =>
          client.request(
            'trace',
            { model, text: 'A cat.', hooks: ['*'] },
            { signal: AbortSignal.timeout(RUN_LIMIT_MS) },
          ),
        );
        assert.notEqual(code, 'internal', `${index}: ${title}`);
        seen.set(code, (seen.get(code) ?? 0) + 1);
        await client.request('unload', { model }).catch(() => undefined);
      }
    } finally {
      await client.dispose();
    }
    assert.ok((seen.get('done') ?? 0) > 0 && seen.size > 1, JSON.stringify([...seen]));
  });
});

/** `done`, or the code of the error; whatever is no `LensError` is thrown on. */
async function outcome(action: () => Promise<unknown>): Promise<string> {
  try {
    await action();
    return 'done';
  } catch (thrown) {
    if (thrown instanceof LensError) return thrown.code;
    throw thrown;
  }
}
