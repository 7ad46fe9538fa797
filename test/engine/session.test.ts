/** Plain outputs of every tiny fixture and of the included model against PyTorch, with the head computed only where wanted. */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  encodeModel,
  INT64,
  newNode,
  newValueInfo,
  readModel,
  type GraphNode,
  type OnnxModel,
} from '../../extension/engine/onnx/model';
import { withHeadRows } from '../../extension/engine/instrument/headRows';
import { describeModel, inspectModel } from '../../extension/engine/session/describe';
import { openModel, OrtModel } from '../../extension/engine/session/ortModel';
import type { InputRow, LogitPlace } from '../../extension/engine/session/languageModel';
import type { ReferenceCase } from '../../scripts/lens/verify';
import { BUNDLED, fixture, fixtureNames, reference, SETTINGS } from '../support/fixtures';
import type { ModelRef } from '../../extension/protocol/engine';
import { LensError } from '../../extension/protocol/errors';
import { constant, FLOAT, int64Tensor, zeros } from '../support/onnxParts';

/** Exports whose head is not recognised: all their logits are computed. */
const FULL_LOGITS: string[] = [];

function rowsOf(example: ReferenceCase): { batch: InputRow[]; places: LogitPlace[] } {
  const batch = example.input_ids.map((ids, row): InputRow => {
    const length = (example.attention_mask[row] ?? []).reduce((a, b) => a + b, 0);
    const segments = example.token_type_ids?.[row];
    return {
      ids: Int32Array.from(ids.slice(0, length)),
      ...(segments === undefined ? {} : { segments: Int32Array.from(segments.slice(0, length)) }),
    };
  });
  const places = batch.flatMap(({ ids }, row) => Array.from(ids, (_, position) => ({ row, position })));
  return { batch, places };
}

async function compareLogits(ref: ModelRef, check: (model: OrtModel) => void): Promise<void> {
  const { meta, tensors } = reference(ref.id);
  const model = await openModel(ref, SETTINGS, () => undefined);
  try {
    check(model);
    let compared = 0;
    for (const example of meta.cases.filter(({ past_length: past }) => (past ?? 0) === 0)) {
      const { batch, places } = rowsOf(example);
      const expected = tensors.get(`${example.id}/unembed.logits`);
      if (expected === undefined) continue; // the included model's reference has the logits of case a only
      compared += 1;
      const width = Math.max(...example.input_ids.map(({ length }) => length));
      const { data, vocabSize } = await model.logitsAt(batch, places);
      assert.equal(vocabSize, expected.shape[2]);
      let worst = 0;
      places.forEach(({ row, position }, index) => {
        for (let id = 0; id < vocabSize; id++)
          worst = Math.max(
            worst,
            Math.abs(
              (data[index * vocabSize + id] ?? NaN) - (expected.data[(row * width + position) * vocabSize + id] ?? NaN),
            ),
          );
      });
      assert.ok(
        worst <= meta.tolerance.default,
        `case ${example.id}: off by ${worst}, tolerance ${meta.tolerance.default}`,
      );
    }
    assert.ok(compared > 0, 'nothing was compared');
  } finally {
    await model.release();
  }
}

/** A copy of a fixture in a folder of its own, its graph changed; the weights stay in model.bin. */
function changed(name: string, edit: (model: OnnxModel) => OnnxModel): ModelRef {
  const folder = mkdtempSync(join(tmpdir(), 'onnx-lens-'));
  const source = fixture(name).folder;
  for (const file of ['config.json', 'tokenizer.json', 'tokenizer_config.json'])
    cpSync(join(source, file), join(folder, file));
  cpSync(join(source, 'model.onnx'), join(folder, 'model.bin'));
  writeFileSync(join(folder, 'model.onnx'), encodeModel(edit(readModel(join(source, 'model.onnx'))), 'model.bin'));
  return { id: name, folder };
}

const withInput = (model: OnnxModel, name: string, dims: (string | number)[]): OnnxModel => ({
  ...model,
  graph: {
    ...model.graph,
    inputs: model.graph.inputs.map((input) => (input.name === name ? newValueInfo(name, INT64, dims) : input)),
  },
});

/** Logits of some rows run together, and each alone. */
async function togetherAndAlone(ref: ModelRef, rows: InputRow[]): Promise<[Float32Array, Float32Array[]]> {
  const model = await openModel(ref, SETTINGS, () => undefined);
  const together = await model.logitsAt(
    rows,
    rows.map((_, row) => ({ row, position: 1 })),
  );
  const alone: Float32Array[] = [];
  for (const row of rows) alone.push((await model.logitsAt([row], [{ row: 0, position: 1 }])).data);
  await model.release();
  return [together.data, alone];
}

describe('sessions', function () {
  this.timeout(60_000);

  for (const name of fixtureNames) {
    const { meta } = reference(name);
    if (meta.head === 'mlm' || meta.head === 'clm' || meta.head === 'pretraining')
      it(`${name}: logits equal PyTorch's`, () =>
        compareLogits(fixture(name), (model) => {
          assert.equal(model.gathersRows, !FULL_LOGITS.includes(name));
          assert.equal(model.info.kind, meta.causal ? 'causal' : 'masked');
          assert.equal(model.info.vocabSize, meta.vocab);
        }));
  }

  describe('the last block and the head only where they are wanted', () => {
    /** Whose last block is computed for every token: activations are quantised with one scale for all of them. */
    const WHOLE = ['bert-int8', 'bert-fused-int8'];

    for (const name of [...fixtureNames, 'bert-base-cased']) {
      const { meta } = reference(name);
      if (meta.head !== 'mlm' && meta.head !== 'clm' && meta.head !== 'pretraining') continue;
      it(`${name}: the logits of the whole run`, async () => {
        const ref = name === 'bert-base-cased' ? BUNDLED : fixture(name);
        const { batch } = rowsOf(meta.cases[0] as ReferenceCase);
        const lengths = batch.map(({ ids }) => ids.length);
        const model = await openModel(ref, SETTINGS, () => undefined);
        assert.equal(model.sparesLastBlock, !WHOLE.includes(name));
        const whole = (await model.trace(batch, ['unembed.logits'])).get('unembed.logits');
        assert.ok(whole);
        const [, width = 0, vocabSize = 0] = whole.dims;
        const largest = whole.data.reduce(
          (most, value) => (Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most),
          0,
        );
        // The last token of each text; another one of each; several of one text, one of them twice, and none of the others.
        const wanted: LogitPlace[][] = [
          lengths.map((length, row) => ({ row, position: length - 1 })),
          lengths.map((length, row) => ({ row, position: (row + 1) % length })).toReversed(),
          [1, 0, 1].map((position) => ({ row: lengths.length - 1, position })),
        ];
        for (const places of wanted) {
          const { data } = await model.logitsAt(batch, places);
          assert.equal(data.length, places.length * vocabSize);
          places.forEach(({ row, position }, index) => {
            for (let id = 0; id < vocabSize; id++) {
              const [actual, expected] = [
                data[index * vocabSize + id],
                whole.data[(row * width + position) * vocabSize + id],
              ];
              // 16-bit activations are rounded after sums whose order depends on the shape.
              const most = (name === 'bert-fp16' ? 2e-3 : 1e-6) * largest;
              assert.ok(
                actual === expected || Math.abs((actual ?? NaN) - (expected ?? NaN)) <= most,
                `${row}, ${position}: ${actual} for ${expected}`,
              );
            }
          });
        }
        await model.release();
      });
    }

    it('is given up where few tokens would say something else', async () => {
      const description = await describeModel(fixture('bert'));
      const { tokenizer, logits, anatomy } = description;
      assert.ok(tokenizer !== null && logits !== null);
      const [{ batch }] = [rowsOf(reference('bert').meta.cases[0] as ReferenceCase)];
      const model = new OrtModel(description, tokenizer, SETTINGS);
      const whole = (await model.trace(batch, ['unembed.logits'])).get('unembed.logits');
      // As if something that mixes tokens had been taken for one that does not.
      const rewritten = withHeadRows(anatomy, logits);
      assert.ok(rewritten);
      const { graph } = rewritten.model;
      const nodes = graph.nodes.flatMap((node) => {
        const [hidden = ''] = node.inputs;
        if (!node.outputs.includes('onnx_lens.flat')) return [node];
        return [
          newNode('ReduceMean', [hidden], ['mixed.mean'], { axes: [1] }),
          newNode('Add', [hidden, 'mixed.mean'], ['mixed']),
          newNode('Flatten', ['mixed'], node.outputs, { axis: -1 }),
        ];
      });
      Object.assign(model, { rewritten: { ...rewritten, model: { ...rewritten.model, graph: { ...graph, nodes } } } });
      const { data } = await model.logitsAt(batch, [{ row: 0, position: 1 }]);
      assert.equal(model.sparesLastBlock, false);
      assert.ok(whole);
      const vocabSize = whole.dims.at(-1) ?? 0;
      data.forEach((value, id) => assert.ok(Math.abs(value - (whole.data[vocabSize + id] ?? NaN)) < 1e-4));
      await model.release();
    });
  });

  describe('something between the head and the logits', () => {
    const { meta } = reference('bert');
    const ROWS: InputRow[] = [{ ids: Int32Array.of(2, 5, 6, 3) }, { ids: Int32Array.of(2, 9, 3) }];
    const PLACES: LogitPlace[] = [
      { row: 0, position: 2 },
      { row: 1, position: 1 },
    ];
    /** `nodes` make `shaped_logits` of the logits, which take their place. */
    const behind = (...nodes: GraphNode[]): ModelRef =>
      changed('bert', (model) => ({
        ...model,
        graph: {
          ...model.graph,
          nodes: [...model.graph.nodes, ...nodes],
          outputs: [newValueInfo('shaped_logits', FLOAT, ['batch', 'sequence', meta.vocab])],
        },
      }));

    const reshape = newNode('Reshape', ['logits', 'shape'], ['shaped_logits']);
    const add = newNode('Add', ['logits', 'bias'], ['shaped_logits']);

    async function open(ref: ModelRef): Promise<{ gathersRows: boolean; data: Float32Array }> {
      const model = await openModel(ref, SETTINGS, () => undefined);
      const { data } = await model.logitsAt(ROWS, PLACES);
      await model.release();
      return { gathersRows: model.gathersRows, data };
    }

    const cases: [string, boolean, GraphNode[]][] = [
      ['a constant shape with the vocabulary', true, [constant('shape', int64Tensor([0, 0, meta.vocab])), reshape]],
      [
        'a computed batch and length with the vocabulary',
        true,
        [
          newNode('Shape', ['input_ids'], ['size']),
          constant('vocab', int64Tensor([meta.vocab])),
          newNode('Concat', ['size', 'vocab'], ['shape'], { axis: 0 }),
          reshape,
        ],
      ],
      ['a shape whose end follows from the rest', true, [constant('shape', int64Tensor([0, 0, -1])), reshape]],
      ['a computed shape', false, [newNode('Shape', ['logits'], ['shape']), reshape]],
      ['one value for a word', true, [constant('bias', zeros(1, meta.vocab)), add]],
      ['one value for a position', false, [constant('bias', zeros(4, 1)), add]],
    ];
    for (const [what, gathers, nodes] of cases)
      it(`${what}: ${gathers ? 'only the wanted rows' : 'all rows'}, the same numbers`, async () => {
        const plain = await open(fixture('bert'));
        const { gathersRows, data } = await open(behind(...nodes));
        assert.equal(gathersRows, gathers);
        assert.equal(data.length, plain.data.length);
        data.forEach((value, index) => assert.ok(Math.abs(value - (plain.data[index] ?? NaN)) < 1e-5));
      });

    it('rows of another width: all rows', async () => {
      const sevenths = constant('shape', int64Tensor([0, -1, meta.vocab / 7]));
      assert.equal((await open(behind(sevenths, reshape))).gathersRows, false);
    });
  });

  it("bert-base-cased (included): logits equal PyTorch's within 1e-3", () =>
    compareLogits(BUNDLED, (model) => {
      assert.equal(model.gathersRows, true);
    }));

  it("next-sentence logits equal PyTorch's", async () => {
    for (const ref of [fixture('bert-pretraining'), BUNDLED]) {
      const { meta, tensors } = reference(ref.id);
      const model = await openModel(ref, SETTINGS, () => undefined);
      for (const example of meta.cases) {
        const expected = tensors.get(`${example.id}/seq_relationship_logits`);
        assert.ok(expected);
        const actual = await model.nextSentenceLogits(rowsOf(example).batch);
        for (const [index, value] of expected.data.entries())
          assert.ok(Math.abs((actual[index] ?? NaN) - value) <= meta.tolerance.default, `${ref.id} ${example.id}`);
      }
      await model.release();
    }
  });

  it('a classifier has no language-model head, and says so', async () => {
    const model = await openModel(fixture('bert-classifier'), SETTINGS, () => undefined);
    assert.equal(model.info.kind, 'classifier');
    await assert.rejects(model.logitsAt([{ ids: Int32Array.of(1, 2) }], [{ row: 0, position: 1 }]), (thrown) => {
      assert(thrown instanceof LensError);
      assert.equal(thrown.code, 'no-lm-head');
      return true;
    });
    await model.release();
  });

  const ROWS: InputRow[] = [
    [2, 5, 6, 3],
    [2, 9, 3],
    [2, 7, 8, 11, 12, 3],
    [2, 10, 3],
  ].map((ids) => ({
    ids: Int32Array.from(ids),
  }));
  const near = (actual: Float32Array, wanted: Float32Array): void => {
    assert.equal(actual.length, wanted.length);
    for (const [index, value] of wanted.entries()) assert.ok(Math.abs((actual[index] ?? NaN) - value) < 1e-4);
  };

  it('rows of different length do not see the padding, whether or not the export has an attention mask', async () => {
    const plain = await togetherAndAlone(fixture('bert'), ROWS);
    near(plain[0], Float32Array.from(plain[1].flatMap((row) => [...row])));
    // Without the input: every position is attended to, as an export for single texts does.
    const maskless = changed('bert', (model) => ({
      ...model,
      graph: {
        ...model.graph,
        inputs: model.graph.inputs.filter(({ name }) => name !== 'attention_mask'),
        nodes: [
          newNode('Mul', ['input_ids', 'input_ids'], ['square']),
          newNode('Div', ['square', 'square'], ['attention_mask']),
          ...model.graph.nodes,
        ],
      },
    }));
    const alone = await togetherAndAlone(maskless, ROWS);
    near(alone[0], Float32Array.from(alone[1].flatMap((row) => [...row])));
    near(alone[0], plain[0]);
  });

  it("feeds RoBERTa's positions from its padding id on, where the export asks for them", async () => {
    const ref = changed('roberta', (model) => {
      // Where the fixture counts the tokens that are no padding, the graph takes what it is given.
      const counted = model.graph.nodes.find(({ outputs }) => outputs[0] === 'add_22');
      assert.equal(counted?.opType, 'Add');
      return {
        ...model,
        graph: {
          ...model.graph,
          inputs: [...model.graph.inputs, newValueInfo('position_ids', INT64, ['batch', 'sequence'])],
          nodes: model.graph.nodes.map((node) =>
            node === counted ? newNode('Identity', ['position_ids'], ['add_22']) : node,
          ),
        },
      };
    });
    await compareLogits(ref, (model) => {
      assert.ok(model.info.inputs.some(({ name }) => name === 'position_ids'));
    });
    // A padding token that stands in a text takes no position either.
    const rows = [{ ids: Int32Array.of(0, 9, 1, 7, 8, 2) }];
    const places = [{ row: 0, position: 4 }];
    const [given, own] = await Promise.all(
      [ref, fixture('roberta')].map((each) => openModel(each, SETTINGS, () => undefined)),
    );
    near((await given!.logitsAt(rows, places)).data, (await own!.logitsAt(rows, places)).data);
    await given!.release();
    await own!.release();
  });

  it('takes no more tokens than graph, config and tokenizer all allow', async () => {
    const limit = async (name: string, edit: object | null, config: object = {}): Promise<number> => {
      const ref = changed(name, (model) => model);
      const write = (file: string, more: object): void =>
        writeFileSync(
          join(ref.folder, file),
          JSON.stringify({ ...(JSON.parse(readFileSync(join(ref.folder, file), 'utf8')) as object), ...more }),
        );
      if (edit === null) rmSync(join(ref.folder, 'tokenizer_config.json'));
      else write('tokenizer_config.json', edit);
      write('config.json', config);
      return (await inspectModel(ref)).maxTokens;
    };
    assert.equal(await limit('bert', { model_max_length: 32 }), 32);
    assert.equal(await limit('bert', { model_max_length: 1e30 }), 64, 'a tokenizer saved without a limit');
    assert.equal(await limit('bert', { model_max_length: 512 }), 64, 'more than there are positions');
    assert.equal(await limit('bert', { model_max_length: -1 }), 64);
    assert.equal(await limit('bert', null), 64);
    assert.equal(await limit('roberta', { model_max_length: 1e30 }), 64, '66 positions, two of them for padding');
    assert.equal(await limit('roberta', null, { model_type: 'mpnet' }), 64);
    const none = { max_position_embeddings: null, model_type: 'bert' };
    assert.equal(await limit('bert', { model_max_length: 48 }, none), 48);
    assert.equal(await limit('bert', { model_max_length: 1e30 }, none), 512);
  });

  it('an export of a fixed shape gives the same numbers, and says how many tokens it takes', async () => {
    const fixed = changed('bert', (model) =>
      ['input_ids', 'attention_mask', 'token_type_ids'].reduce(
        (edited, name) => withInput(edited, name, [1, 16]),
        model,
      ),
    );
    const [wanted] = await togetherAndAlone(fixture('bert'), ROWS);
    const [together] = await togetherAndAlone(fixed, ROWS);
    near(together, wanted);
    const model = await openModel(fixed, SETTINGS, () => undefined);
    assert.equal(model.info.maxTokens, 16);
    await model.release();
  });

  it('finds out by behaviour what a file without a config is', async () => {
    for (const [name, kind] of [
      ['gpt2', 'causal'],
      ['llama', 'causal'],
      ['bert', 'masked'],
      ['modernbert', 'masked'],
      ['bert-int8', 'masked'],
    ] as const) {
      const ref = changed(name, (model) => model);
      rmSync(join(ref.folder, 'config.json'));
      cpSync(join(fixture(name).folder, 'tokenizer_config.json'), join(ref.folder, 'tokenizer_config.json'));
      const model = await openModel(ref, SETTINGS, () => undefined);
      assert.equal(model.info.kind, kind, name);
      await model.release();
    }
  });

  it('opens a file through a link, as download caches have them', async function () {
    if (process.platform === 'win32') return this.skip(); // links need a privilege there
    const ref = changed('bert', (model) => model);
    rmSync(join(ref.folder, 'model.onnx'));
    symlinkSync(join(fixture('bert').folder, 'model.onnx'), join(ref.folder, 'model.onnx'));
    await (await openModel(ref, SETTINGS, () => undefined)).release();
  });

  it('low memory gives the same numbers', async () => {
    const exact = await openModel(BUNDLED, SETTINGS, () => undefined);
    const low = await openModel(BUNDLED, { ...SETTINGS, lowMemory: true }, () => undefined);
    const rows = [{ ids: Int32Array.of(101, 2123, 1110, 1103, 2364, 1104, 103, 119, 102) }];
    const wanted = await exact.logitsAt(rows, [{ row: 0, position: 6 }]);
    const actual = await low.logitsAt(rows, [{ row: 0, position: 6 }]);
    const worst = wanted.data.reduce(
      (most, value, index) => Math.max(most, Math.abs(value - (actual.data[index] ?? NaN))),
      0,
    );
    assert.ok(worst < 1e-3, `off by ${worst}`);
    await exact.release();
    await low.release();
  });

  it('two sessions on one model give the same numbers', async () => {
    const models = await Promise.all([1, 2].map(() => openModel(fixture('bert'), SETTINGS, () => undefined)));
    const [first, second] = await Promise.all(
      models.map((model) => model.logitsAt([{ ids: Int32Array.of(2, 5, 6, 3) }], [{ row: 0, position: 1 }])),
    );
    assert.deepEqual(first, second);
    for (const model of models) await model.release();
  });

  it('says what to do when the execution provider is not there', async () => {
    const provider = process.platform === 'darwin' ? 'cuda' : 'coreml';
    await assert.rejects(
      openModel(fixture('bert'), { ...SETTINGS, executionProvider: provider }, () => undefined),
      (thrown) => {
        assert(thrown instanceof LensError);
        assert.equal(thrown.code, 'model-unsupported');
        assert.match(thrown.hint ?? '', /executionProvider to cpu/);
        return true;
      },
    );
  });

  it('refuses a model over the size limit before loading it', async () => {
    await assert.rejects(
      openModel(BUNDLED, { ...SETTINGS, maxModelMegabytes: 50 }, () => undefined),
      (thrown) => {
        assert(thrown instanceof LensError);
        assert.equal(thrown.code, 'memory');
        return true;
      },
    );
  });
});
