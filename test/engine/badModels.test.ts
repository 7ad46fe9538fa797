/** Damaged, hostile and unsuitable model files: always a clear error, soon, and nothing read outside the model's folder. */
import assert from 'node:assert/strict';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  newNode,
  newValueInfo,
  readModel,
  encodeModel,
  withInputs,
  type GraphNode,
  type OnnxModel,
} from '../../extension/engine/onnx/model';
import { bytesField, concat, integerField, textField } from '../../extension/engine/onnx/wire';
import { inspectModel } from '../../extension/engine/session/describe';
import { openModel } from '../../extension/engine/session/ortModel';
import { LensError, type LensErrorCode } from '../../extension/protocol/errors';
import { fixture, SETTINGS } from '../support/fixtures';
import {
  constant,
  externalTensor,
  graphAttribute,
  nodeWith,
  sparseTensor,
  tensorsAttribute,
} from '../support/onnxParts';

const BERT = fixture('bert').folder;
const EXTERNAL = fixture('bert-external').folder;

describe('bad model files', function () {
  this.timeout(30_000);
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'onnx-lens-'));
    for (const file of ['config.json', 'tokenizer.json', 'tokenizer_config.json'])
      cpSync(join(BERT, file), join(folder, file));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  const write = (bytes: Uint8Array): void => {
    writeFileSync(join(folder, 'model.onnx'), bytes);
  };
  /** The tiny BERT, changed. Its weights stay in the copied file model.bin. */
  const change = (edit: (model: OnnxModel) => OnnxModel): void => {
    cpSync(join(BERT, 'model.onnx'), join(folder, 'model.bin'));
    write(encodeModel(edit(readModel(join(BERT, 'model.onnx'))), 'model.bin'));
  };

  async function refused(code: LensErrorCode, message: RegExp): Promise<void> {
    const start = Date.now();
    await assert.rejects(
      openModel({ id: 'bad', folder }, SETTINGS, () => undefined).then((model) => model.release()),
      (thrown) => {
        assert(thrown instanceof LensError, String(thrown));
        assert.equal(thrown.code, code, thrown.message);
        assert.match(thrown.message, message);
        assert.ok(thrown.hint, 'says what to do next');
        return true;
      },
    );
    assert.ok(Date.now() - start < 10_000);
  }

  it('a rewritten header that points into the original file runs', async () => {
    change((model) => model);
    const model = await openModel({ id: 'copy', folder }, SETTINGS, () => undefined);
    await model.release();
  });

  it('an empty file', async () => {
    write(new Uint8Array(0));
    await refused('model-invalid', /empty/);
  });

  it('a file cut at any place', async () => {
    const whole = readFileSync(join(BERT, 'model.onnx'));
    for (const share of [0.001, 0.1, 0.5, 0.9, 0.999]) {
      write(whole.subarray(0, Math.floor(whole.length * share)));
      await refused('model-invalid', /not a valid ONNX file/);
    }
  });

  it('random bytes, text, and an archive under the wrong name', async () => {
    let state = 7;
    write(Uint8Array.from({ length: 100_000 }, () => (state = (state * 1103515245 + 12345) & 0x7fffffff) >> 16));
    await refused('model-invalid', /not a valid ONNX file/);
    write(Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 435000000\n'));
    await refused('model-invalid', /not a valid ONNX file/);
    write(Buffer.from('PK\x03\x04 an archive'));
    await refused('model-invalid', /not a valid ONNX file/);
  });

  it('a length of 3 GB, and one of 2^63, allocate nothing', async () => {
    const before = process.memoryUsage().rss;
    for (const length of [
      [0x80, 0x80, 0x80, 0xe0, 0x0b],
      [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
    ]) {
      write(Uint8Array.from([0x08, 0x08, 0x3a, ...length, 1, 2, 3]));
      await refused('model-invalid', /past the end/);
    }
    assert.ok(process.memoryUsage().rss - before < 200 * 2 ** 20);
  });

  it('a graph without nodes, and two graphs', async () => {
    write(concat([integerField(1, 8), bytesField(7, textField(2, 'empty'))]));
    await refused('model-invalid', /graph is empty/);
    const node = bytesField(1, newNode('Identity', ['a'], ['b']).bytes);
    write(concat([integerField(1, 8), bytesField(7, node), bytesField(7, node)]));
    await refused('model-invalid', /two graphs/);
  });

  it('an operator that does not exist', async () => {
    change((model) => ({
      ...model,
      graph: {
        ...model.graph,
        nodes: model.graph.nodes.map((node, index) =>
          index === 5 ? newNode('NoSuchOperator', node.inputs, node.outputs) : node,
        ),
      },
    }));
    await refused('model-unsupported', /NoSuchOperator/);
  });

  it('an input that no text can fill', async () => {
    change((model) => ({
      ...model,
      graph: { ...model.graph, inputs: [...model.graph.inputs, newValueInfo('pixel_values', 1, ['batch', 'height'])] },
    }));
    await refused('model-unsupported', /pixel_values/);
  });

  it('millions of empty nodes', async () => {
    const nodes = new Uint8Array(2 * 2_000_000);
    for (let at = 0; at < nodes.length; at += 2) nodes[at] = 0x0a;
    write(concat([integerField(1, 8), bytesField(7, nodes)]));
    await refused('model-invalid', /more than 500000 parts/);
  });

  it('logits that are not numbers', async () => {
    change((model) => {
      // 0/0 in place of the first attention scores: NaN everywhere after it.
      const target = model.graph.nodes.find(({ opType }) => opType === 'Softmax');
      assert.ok(target);
      const data = target.inputs[0] as string;
      return {
        ...model,
        graph: {
          ...model.graph,
          nodes: model.graph.nodes.flatMap((node) =>
            node === target
              ? [
                  newNode('Sub', [data, data], ['zero']),
                  newNode('Div', ['zero', 'zero'], ['nan']),
                  withInputs(node, ['nan', ...node.inputs.slice(1)]),
                ]
              : [node],
          ),
        },
      };
    });
    const model = await openModel({ id: 'nan', folder }, SETTINGS, () => undefined);
    await assert.rejects(model.logitsAt([{ ids: Int32Array.of(2, 5, 3) }], [{ row: 0, position: 1 }]), (thrown) => {
      assert(thrown instanceof LensError);
      assert.equal(thrown.code, 'numeric');
      assert.match(thrown.message, /NaN/);
      return true;
    });
    await model.release();
  });

  it('no .onnx file, no folder', async () => {
    await refused('model-not-found', /no \.onnx file/);
    rmSync(folder, { recursive: true });
    await refused('model-not-found', /does not exist/);
  });

  describe('external data', () => {
    const copyExternal = (): void => {
      for (const file of ['model.onnx', 'model.onnx.data']) cpSync(join(EXTERNAL, file), join(folder, file));
    };
    /** All external tensors under another location. */
    const relocate = (location: string): void => {
      const model = readModel(join(BERT, 'model.onnx'));
      write(encodeModel(model, location));
    };

    it('missing', async () => {
      copyExternal();
      rmSync(join(folder, 'model.onnx.data'));
      await refused('external-data', /model\.onnx\.data is missing/);
    });

    it('too short', async () => {
      copyExternal();
      truncateSync(join(folder, 'model.onnx.data'), 1000);
      await refused('external-data', /too short: .* the file has 1000/);
    });

    for (const location of [
      '/etc/passwd',
      '../secret.bin',
      'sub/../../secret.bin',
      'C:\\secret.bin',
      '\\\\server\\share',
      '..\\secret.bin',
      '*/_ORT_MEM_ADDR_/*',
      '',
    ])
      it(`outside the folder: “${location}”`, async () => {
        relocate(location);
        await refused('external-data', /outside the model's folder/);
      });

    it('outside the folder through a link', async function () {
      if (process.platform === 'win32') return this.skip(); // links need a privilege there
      relocate('weights.bin');
      symlinkSync(join(BERT, 'model.onnx'), join(folder, 'weights.bin'));
      await refused('external-data', /outside the model's folder/);
    });

    it('a folder in place of the file', async () => {
      relocate('weights.bin');
      mkdirSync(join(folder, 'weights.bin'));
      await refused('external-data', /not a file/);
    });
  });

  describe('external data of tensors that are no initializers', () => {
    const withNode = (node: GraphNode) => (model: OnnxModel) => ({
      ...model,
      graph: { ...model.graph, nodes: [...model.graph.nodes, node] },
    });
    /** The body of an If or a Loop. */
    const body = (...parts: Uint8Array[]): Uint8Array => concat([...parts, textField(2, 'body')]);
    const branch = (parts: Uint8Array): GraphNode =>
      nodeWith('If', ['condition'], ['out'], graphAttribute('then_branch', parts));
    const inNode = (location: string): Uint8Array => bytesField(1, constant('w', externalTensor('', location)).bytes);

    const places: Record<string, (location: string) => (model: OnnxModel) => OnnxModel> = {
      'a Constant': (location) => withNode(constant('w', externalTensor('', location))),
      'a list of tensors': (location) =>
        withNode(nodeWith('Custom', [], ['w'], tensorsAttribute('values', externalTensor('', location)))),
      'a Constant in a branch of an If': (location) => withNode(branch(body(inNode(location)))),
      'an initializer of a branch of an If': (location) =>
        withNode(branch(body(bytesField(5, externalTensor('w', location))))),
      'a Loop in a branch of an If': (location) =>
        withNode(
          branch(
            body(bytesField(1, nodeWith('Loop', [], ['o'], graphAttribute('body', body(inNode(location)))).bytes)),
          ),
        ),
      'a function of the model': (location) => (model) => ({
        ...model,
        rest: [
          ...model.rest,
          bytesField(25, concat([textField(1, 'F'), bytesField(7, constant('w', externalTensor('', location)).bytes)])),
        ],
      }),
      'a sparse initializer': (location) => (model) => ({
        ...model,
        graph: {
          ...model.graph,
          rest: [...model.graph.rest, bytesField(15, sparseTensor(externalTensor('w', location)))],
        },
      }),
      'a graph for training': (location) => (model) => ({
        ...model,
        rest: [...model.rest, bytesField(20, bytesField(1, body(bytesField(5, externalTensor('w', location)))))],
      }),
    };
    for (const [place, put] of Object.entries(places))
      it(place, async () => {
        change(put('../secret.bin'));
        await refused('external-data', /outside the model's folder/);
        change(put('weights.bin'));
        await refused('external-data', /weights\.bin is missing/);
        writeFileSync(join(folder, 'weights.bin'), Buffer.alloc(15));
        await refused('external-data', /too short: .* needs 16 bytes, the file has 15/);
      });

    it('beside the model they are read', async () => {
      change(withNode(constant('w', externalTensor('', 'weights.bin'))));
      writeFileSync(join(folder, 'weights.bin'), Buffer.alloc(16));
      const model = await openModel({ id: 'constant', folder }, SETTINGS, () => undefined);
      await model.release();
    });

    it('subgraphs nested without end', async () => {
      let nested = body();
      for (let depth = 0; depth < 60; depth++) nested = body(bytesField(1, branch(nested).bytes));
      change(withNode(branch(nested)));
      await refused('model-invalid', /nested more than 100 deep/);
    });
  });

  describe('tokenizer', () => {
    beforeEach(() => {
      cpSync(join(BERT, 'model.onnx'), join(folder, 'model.onnx'));
    });

    it('missing', async () => {
      rmSync(join(folder, 'tokenizer.json'));
      await refused('tokenizer', /tokenizer\.json/);
      assert.equal((await inspectModel({ id: 'bad', folder })).tokenizer, null);
    });

    it('damaged', async () => {
      writeFileSync(join(folder, 'tokenizer.json'), '{"model":');
      await refused('tokenizer', /tokenizer\.json/);
    });

    it('of another vocabulary', async () => {
      cpSync(join('models/bert-base-cased/tokenizer.json'), join(folder, 'tokenizer.json'));
      await refused('tokenizer', /28996 tokens, but the model .* predicts/);
    });

    it('of 200 MB', async () => {
      writeFileSync(join(folder, 'tokenizer.json'), '');
      truncateSync(join(folder, 'tokenizer.json'), 200 * 2 ** 20);
      await refused('tokenizer', /tokenizer\.json/);
    });

    it('config.json damaged', async () => {
      writeFileSync(join(folder, 'config.json'), '[1,');
      await refused('model-invalid', /config\.json is not valid JSON/);
    });
  });
});
