/** Vectors against PyTorch's hidden states, and by what must hold of any. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { openModel } from '../../extension/engine/session/ortModel';
import type { EmbedParams, EmbedResult } from '../../extension/protocol/embeddings';
import { LensError } from '../../extension/protocol/errors';
import { suiteEngine } from '../support/engine';
import { quiet } from '../support/fakeModel';
import { BUNDLED, fixture, fixtureNames, reference, SETTINGS } from '../support/fixtures';

/** Largest difference; relative to the largest number where that is more than one. */
function worst(data: ArrayLike<number>, expected: ArrayLike<number>): number {
  assert.equal(data.length, expected.length);
  let [most, largest] = [0, 0];
  for (let at = 0; at < expected.length; at++) {
    most = Math.max(most, Math.abs((expected[at] as number) - (data[at] as number)));
    largest = Math.max(largest, Math.abs(expected[at] as number));
  }
  return most / Math.max(1, largest);
}

const fails =
  (code: string, message: RegExp) =>
  (thrown: unknown): boolean =>
    thrown instanceof LensError && thrown.code === code && message.test(thrown.message);

describe('embeddings', function () {
  this.timeout(120_000);
  const engine = suiteEngine();
  const embed = (model: EmbedParams['model'], params: Partial<EmbedParams>): Promise<EmbedResult> =>
    engine.handle('embed', { model, texts: ['the house'], layers: [], pool: 'token', ...params }, quiet());

  for (const name of fixtureNames) {
    const { meta, tensors } = reference(name);
    const first = meta.cases.find(({ id }) => id === 'a');
    const text = first?.text[0];
    if (first === undefined || typeof text !== 'string') continue;
    it(`${name}: hidden states are PyTorch’s`, async () => {
      const tolerance = Math.max(meta.tolerance.default, meta.tolerance.internal ?? 0);
      const layers = Array.from({ length: meta.layers + 1 }, (_, layer) => layer);
      const { vectors, units } = await embed(fixture(name), { texts: [text], layers });
      assert.equal(units.length, first.input_ids[0]?.length);
      const expected = (layer: number): Float32Array | undefined =>
        (layer < meta.layers
          ? tensors.get(`a/blocks.${layer}.hook_resid_pre`)
          : (tensors.get(`a/blocks.${layer - 1}.hook_normalized_resid_post`) ?? tensors.get('a/last_hidden_state'))
        )?.data;
      for (const [layer, { dims, data }] of vectors.entries()) {
        assert.deepEqual(dims, [units.length, meta.d_model]);
        const wanted = expected(layer);
        if (wanted !== undefined) assert.ok(worst(data, wanted) <= tolerance, `${layer}: ${worst(data, wanted)}`);
      }
      // A pre-norm model’s last hidden state is what its head reads.
      if (meta.head !== 'clm' || name === 'gemma3-ts') return;
      const { loaded } = await unembedding(name);
      const { data } = vectors.at(-1) as EmbedResult['vectors'][number];
      const logits = tensors.get('a/unembed.logits')?.data as Float32Array;
      assert.ok(worst(loaded(data), logits) <= 10 * tolerance, `${name}: ${worst(loaded(data), logits)}`);
    });
  }

  /** h·W_U + b_U, written out. */
  async function unembedding(name: string): Promise<{ loaded(states: Float32Array): Float32Array }> {
    const model = await openModel(fixture(name), SETTINGS, () => undefined, 'later');
    const { dims, data: matrix } = await model.weight('unembed.W_U');
    const bias = await model.weight('unembed.b_U').catch(() => null);
    await model.release();
    const [width = 0, vocab = 0] = dims;
    return {
      loaded: (states) => {
        const tokens = states.length / width;
        const logits = new Float32Array(tokens * vocab);
        for (let token = 0; token < tokens; token++)
          for (let id = 0; id < vocab; id++) {
            let sum = bias?.data[id] ?? 0;
            for (let at = 0; at < width; at++)
              sum += (states[token * width + at] as number) * (matrix[at * vocab + id] as number);
            logits[token * vocab + id] = sum;
          }
        return logits;
      },
    };
  }

  it('the bundled model’s hidden states are PyTorch’s', async () => {
    const { meta, tensors } = reference('bert-base-cased');
    const [first] = meta.cases;
    const text = first?.text[0] as string;
    const { vectors } = await embed(BUNDLED, { texts: [text], layers: [0, 6, 12] });
    const tolerance = Math.max(meta.tolerance.default, meta.tolerance.internal ?? 0);
    for (const [at, hook] of [
      'blocks.0.hook_resid_pre',
      'blocks.6.hook_resid_pre',
      'blocks.11.hook_normalized_resid_post',
    ].entries()) {
      const expected = tensors.get(`${first?.id}/${hook}`)?.data as Float32Array;
      assert.ok(worst(vectors[at]?.data as Float32Array, expected) <= tolerance, hook);
    }
  });

  it('pools tokens to words and texts', async () => {
    const texts = ['the housekeeper was on the hill', 'on the hill'];
    const both = async (pool: EmbedParams['pool'], layers: EmbedParams['layers'] = [2]): Promise<EmbedResult> =>
      embed(fixture('bert'), { texts, layers, pool });
    const [token, word, mean, cls] = [await both('token'), await both('word'), await both('mean'), await both('cls')];
    const vector = ({ vectors }: EmbedResult, unit: number): Float32Array =>
      (vectors[0] as EmbedResult['vectors'][number]).data.slice(unit * 48, (unit + 1) * 48);
    const average = (units: readonly number[]): number[] =>
      Array.from(
        { length: 48 },
        (_, at) => units.reduce((sum, unit) => sum + (vector(token, unit)[at] as number), 0) / units.length,
      );
    assert.deepEqual(
      word.units.slice(0, 2).map(({ label }) => label),
      ['the', 'housekeeper'],
    );
    const pieces = token.units.flatMap(({ range, text }, index) =>
      text === 0 && range !== null && range.start >= 4 && range.end <= 15 ? [index] : [],
    );
    assert.ok(pieces.length > 1, 'housekeeper has several pieces');
    assert.ok(worst(vector(word, 1), average(pieces)) <= 1e-6);
    const all = [...token.units.keys()].filter((unit) => token.units[unit]?.text === 0);
    assert.deepEqual(mean.vectors[0]?.dims, [2, 48]);
    assert.ok(worst(vector(mean, 0), average(all)) <= 1e-6);
    assert.deepEqual(vector(cls, 0), vector(token, 0));
    // In a batch as alone.
    const alone = await embed(fixture('bert'), { texts: texts.slice(1), layers: [2], pool: 'mean' });
    assert.ok(worst(vector(alone, 0), vector(mean, 1)) <= 1e-5);
  });

  it('static rows are those of the table, the same in every text', async () => {
    const { vectors, units } = await embed(fixture('bert'), {
      texts: ['the house', 'on the hill'],
      layers: ['static'],
    });
    const row = (text: number): Float32Array => {
      const unit = units.findIndex((each) => each.text === text && each.label === 'the');
      return vectors[0]?.data.slice(unit * 48, (unit + 1) * 48) as Float32Array;
    };
    assert.deepEqual(row(0), row(1));
  });

  it('mixes layers', async () => {
    const { vectors } = await embed(fixture('bert'), {
      layers: [0, 1, 3, { weights: [0.5, 0.25, 0, 0.25], gamma: 2 }, { weights: [0, 0, 0, 1], gamma: 1 }],
    });
    const [zero, one, last, mixed, only] = vectors.map(({ data }) => data) as [
      Float32Array,
      Float32Array,
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    assert.ok(
      worst(
        mixed,
        zero.map((value, at) => value + 0.5 * (one[at] as number) + 0.5 * (last[at] as number)),
      ) <= 1e-6,
    );
    assert.deepEqual(only, last);
    await assert.rejects(
      embed(fixture('bert'), { layers: [{ weights: [1, 1], gamma: 1 }] }),
      fails('bad-input', /2 weights.*4 hidden states/u),
    );
  });

  it('the pooled output is tanh(W·h + b), whether the file names it or not', async () => {
    const expected = JSON.parse(readFileSync('test/fixtures/embeddings/pooled.json', 'utf8')) as Record<
      string,
      number[]
    >;
    for (const [name, values] of Object.entries(expected)) {
      const text = reference(name).meta.cases.find(({ id }) => id === 'a')?.text[0] as string;
      const { vectors } = await embed(fixture(name), { texts: [text], pool: 'pooler' });
      assert.ok(worst(vectors[0]?.data as Float32Array, values) <= 1e-4, name);
    }
    await assert.rejects(embed(fixture('gpt2'), { pool: 'pooler' }), fails('model-unsupported', /no pooled output/u));
  });

  it('pools as the folder says', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'lens-own-'));
    try {
      cpSync(fixture('bert').folder, folder, { recursive: true });
      const model = { id: 'own', folder };
      await assert.rejects(embed(model, { pool: 'own' }), fails('model-unsupported', /does not say/u));
      mkdirSync(join(folder, '1_Pooling'));
      const modules = (types: string[]): void =>
        writeFileSync(
          join(folder, 'modules.json'),
          JSON.stringify(
            types.map((type, idx) => ({
              idx,
              path: type === 'Pooling' ? '1_Pooling' : '',
              type: `sentence_transformers.models.${type}`,
            })),
          ),
        );
      modules(['Transformer', 'Pooling', 'Normalize']);
      writeFileSync(
        join(folder, '1_Pooling/config.json'),
        JSON.stringify({ pooling_mode_cls_token: true, pooling_mode_mean_tokens: true }),
      );
      const [own, token] = [await embed(model, { pool: 'own' }), await embed(model, { pool: 'token' })];
      const tokens = token.vectors[0]?.data as Float32Array;
      const count = token.units.length;
      const joined = Array.from({ length: 96 }, (_, at) =>
        at < 48
          ? (tokens[at] as number)
          : Array.from({ length: count }, (__, unit) => tokens[unit * 48 + at - 48] as number).reduce((a, b) => a + b) /
            count,
      );
      const length = Math.hypot(...joined);
      assert.ok(
        worst(
          own.vectors[0]?.data as Float32Array,
          joined.map((value) => value / length),
        ) <= 1e-6,
      );
      modules(['Transformer', 'Pooling', 'Dense']);
      await assert.rejects(embed(model, { pool: 'own' }), fails('model-unsupported', /“Dense”/u));
      writeFileSync(join(folder, 'modules.json'), '{"broken');
      await assert.rejects(embed(model, { pool: 'own' }), fails('model-invalid', /modules\.json/u));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('a word in context: norms and cosines are those of its vectors, neighbours those of the whole table', async () => {
    const text = 'the house was on the hill and the house was old';
    const range = { start: 4, end: 9 };
    const word = await engine.handle(
      'wordInContext',
      { model: fixture('bert'), text, range, topK: 5, centre: false },
      quiet(),
    );
    const { units, vectors } = await embed(fixture('bert'), {
      texts: [text],
      layers: ['static', 0, 1, 2, 3],
      pool: 'word',
    });
    const at = (layer: number, unit: number): number[] =>
      Array.from(vectors[layer]?.data.subarray(unit * 48, (unit + 1) * 48) ?? []);
    const cosine = (a: number[], b: number[]): number =>
      a.reduce((sum, value, index) => sum + value * (b[index] ?? 0), 0) / (Math.hypot(...a) * Math.hypot(...b));
    const near = (actual: number | null | undefined, wanted: number): void =>
      assert.ok(Math.abs((actual ?? NaN) - wanted) <= 1e-5, `${actual}, not ${wanted}`);
    assert.deepEqual(
      units.map(({ label }) => label),
      text.split(' '),
    );
    assert.equal(word.word.text, 'house');
    const model = await openModel(fixture('bert'), SETTINGS, () => undefined, 'later');
    const { data: table, dims } = await model.weight('embed.W_E');
    const row = (id: number): number[] => Array.from(table.subarray(id * 48, (id + 1) * 48));
    const own = model.tokenizer.encodeContent('house').ids;
    for (const [index, layer] of word.layers.entries()) {
      near(layer.norm, Math.hypot(...at(index, 1)));
      near(layer.toStatic, cosine(at(index, 1), at(0, 1)));
      if (index > 1) near(layer.toPrevious, cosine(at(index, 1), at(index - 1, 1)));
      else assert.equal(layer.toPrevious, null);
      units.forEach((_, unit) =>
        near(word.cosines[index * units.length + unit], cosine(at(index, 1), at(index, unit))),
      );
      const ranked = Array.from({ length: dims[0] as number }, (_, id) => ({
        id,
        cosine: cosine(row(id), at(index, 1)),
      }))
        .filter(({ id }) => !model.tokenizer.isSpecial(id) && !own.includes(id))
        .sort((a, b) => b.cosine - a.cosine);
      assert.deepEqual(
        layer.neighbours.map(({ id }) => id),
        ranked.slice(0, 5).map(({ id }) => id),
      );
      near(layer.neighbours[0]?.cosine, ranked[0]?.cosine ?? NaN);
    }
    await model.release();
    assert.deepEqual(
      word.words.filter(({ same }) => same).map(({ range: place }) => place),
      [{ start: 34, end: 39 }],
    );
    const static_ = Array.from(word.cosines.subarray(0, units.length));
    near(static_[8], 1);
  });

  it('a word in a mix: cosines of mixed vectors, their principal components, and no run for another mix', async () => {
    const text = 'the house was on the hill and the house was old';
    const range = { start: 4, end: 9 };
    const mix = { weights: [0.1, 0.2, 0.3, 0.4], gamma: 2 };
    const ask = (wanted: typeof mix) =>
      engine.handle('wordMix', { model: fixture('bert'), text, range, topK: 5, centre: false, mix: wanted }, quiet());
    const found = await ask(mix);
    const { vectors, units } = await embed(fixture('bert'), { texts: [text], layers: [0, 1, 2, 3], pool: 'word' });
    const rows = units.map((_, unit) =>
      Array.from({ length: 48 }, (__, at) =>
        vectors.reduce(
          (sum, { data }, layer) => sum + 2 * (mix.weights[layer] ?? NaN) * (data[unit * 48 + at] as number),
          0,
        ),
      ),
    );
    const dot = (a: number[], b: number[]): number => a.reduce((sum, value, at) => sum + value * (b[at] ?? 0), 0);
    const own = rows[1] as number[];
    assert.ok(Math.abs(found.norm - Math.hypot(...own)) <= 1e-4);
    rows.forEach((row, unit) => {
      const wanted = dot(row, own) / (Math.hypot(...row) * Math.hypot(...own));
      assert.ok(Math.abs((found.cosines[unit] ?? NaN) - wanted) <= 1e-5);
    });
    // Two axes cannot hold more of the distances than there is, and their variance is what is said.
    const mean = Array.from(
      { length: 48 },
      (_, at) => rows.reduce((sum, row) => sum + (row[at] ?? 0), 0) / rows.length,
    );
    const total = rows.reduce((sum, row) => sum + dot(row, row), 0) - rows.length * dot(mean, mean);
    const axes = found.places.reduce((sum, value) => sum + value * value, 0);
    assert.ok(Math.abs(axes / total - ((found.explained[0] ?? NaN) + (found.explained[1] ?? NaN))) <= 1e-4);
    // One layer alone is that layer, whatever γ.
    const alone = await ask({ weights: [0, 0, 1, 0], gamma: 0.5 });
    const { layers } = await engine.handle(
      'wordInContext',
      { model: fixture('bert'), text, range, topK: 5, centre: false },
      quiet(),
    );
    assert.deepEqual(
      alone.neighbours.map(({ id }) => id),
      layers[3]?.neighbours.map(({ id }) => id),
    );
    assert.equal(alone.rank, layers[3]?.rank);
    await assert.rejects(ask({ weights: [1, 1], gamma: 1 }), fails('bad-input', /2 weights.*4 hidden states/u));
  });

  it('a word that has no token, and one of many pieces', async () => {
    const ask = (text: string, start: number, end: number) =>
      engine.handle(
        'wordInContext',
        { model: fixture('bert'), text, range: { start, end }, topK: 1, centre: true },
        quiet(),
      );
    await assert.rejects(ask('the   house', 3, 5), fails('bad-input', /no token at 3–5/u));
    await assert.rejects(ask('the', 1, 9), fails('bad-input', /not inside the text/u));
    const { word, layers } = await ask('a thoroughlyincomprehensibilities b', 2, 33);
    assert.ok(word.pieces.length >= 10, word.pieces.join(' '));
    assert.ok(layers.every(({ norm }) => norm > 0));
  });

  it('sentences: cosines of their vectors', async () => {
    const texts = ['the house was on the hill', 'the dog', 'on the hill'];
    const { cosines } = await engine.handle(
      'sentenceSimilarity',
      { model: fixture('bert'), texts, layer: 2, pool: 'mean', centre: false },
      quiet(),
    );
    const { vectors } = await embed(fixture('bert'), { texts, layers: [2], pool: 'mean' });
    const row = (text: number): number[] => Array.from(vectors[0]?.data.subarray(text * 48, (text + 1) * 48) ?? []);
    const [a, b] = [row(0), row(2)];
    const wanted = a.reduce((sum, value, at) => sum + value * (b[at] ?? 0), 0) / (Math.hypot(...a) * Math.hypot(...b));
    assert.ok(Math.abs((cosines[2] ?? NaN) - wanted) <= 1e-6 && cosines[2] === cosines[6]);
  });

  it('senses of the shipped sentences part on the way up: the static row knows nothing of them', async () => {
    for (const word of ['bank', 'bat', 'spring', 'left']) {
      const { layers } = await engine.handle(
        'occurrences',
        {
          ...{ model: BUNDLED, word, most: 1000, projection: 'pca', axes: 2, clusters: 'auto', seed: 0 },
          sources: [{ name: `${word}.tsv`, file: resolve(`samples/workspace/senses/${word}.tsv`) }],
          layers: ['static', 0, 8],
        },
        quiet(),
      );
      const [fixed, embeddings, middle] = layers.map(({ rand }) => rand ?? NaN) as [number, number, number];
      assert.equal(fixed, 0, word);
      assert.ok(Math.abs(embeddings) < 0.3 && middle > 0.8, `${word}: ${embeddings}, ${middle}`);
    }
  });

  it('linear CKA of two models is ‖YᵀX‖² / (‖XᵀX‖·‖YᵀY‖) of the vectors of the same words', async () => {
    // One word a line, so that it is known which is taken.
    const words = ['house', 'hill', 'old', 'dog', 'the', 'was', 'on', 'and', 'housekeeper', 'hills', 'river', 'bank'];
    const text = words.join('\n\n');
    const sources = [{ name: 'words.txt', text }];
    const params = { sources, limit: 100, samples: 100, seed: 0 };
    const compare = (other: string) =>
      engine.handle('compareModels', { model: fixture('bert'), other: fixture(other), ...params }, quiet());
    const own = await compare('bert');
    assert.deepEqual([own.unit, own.samples, own.layers[0]], ['token', 12, [0, 1, 2, 3]]);
    for (const layer of [0, 1, 2, 3]) assert.ok(Math.abs((own.cka[5 * layer] ?? NaN) - 1) <= 1e-6);
    const found = await compare('gpt2');
    assert.equal(found.unit, 'word');
    const centredRows = async (name: string, layer: number): Promise<number[][]> => {
      const { vectors, units } = await embed(fixture(name), { texts: words, layers: [layer], pool: 'word' });
      assert.equal(units.length, words.length);
      const [{ data, dims }] = vectors as [EmbedResult['vectors'][number]];
      const rows = words.map((_, row) => Array.from(data.subarray(row * dims[1], (row + 1) * dims[1])));
      return rows.map((row) =>
        row.map((value, at) => value - rows.reduce((sum, other) => sum + (other[at] ?? 0), 0) / rows.length),
      );
    };
    /** ‖AᵀB‖² over all pairs of columns. */
    const product = (a: number[][], b: number[][]): number => {
      let total = 0;
      for (let i = 0; i < (a[0]?.length ?? 0); i++)
        for (let j = 0; j < (b[0]?.length ?? 0); j++)
          total += a.reduce((sum, row, at) => sum + (row[i] ?? 0) * (b[at]?.[j] ?? 0), 0) ** 2;
      return total;
    };
    for (const [one, other] of [
      [0, 1],
      [3, 2],
    ] as const) {
      const [x, y] = [await centredRows('bert', one), await centredRows('gpt2', other)];
      const wanted = product(x, y) / Math.sqrt(product(x, x) * product(y, y));
      const at = found.layers[0].indexOf(one) * found.layers[1].length + found.layers[1].indexOf(other);
      assert.ok(Math.abs((found.cka[at] ?? NaN) - wanted) <= 1e-5, `${one} ${other}: ${found.cka[at]}, not ${wanted}`);
    }
    await assert.rejects(
      engine.handle(
        'compareModels',
        { model: fixture('bert'), other: fixture('gpt2'), ...params, sources: [{ name: 'a.txt', text: 'house' }] },
        quiet(),
      ),
      fails('bad-input', /same word in 1 sentence/u),
    );
  });

  it('says what there is not', async () => {
    await assert.rejects(
      embed(fixture('bert'), { layers: [4] }),
      fails('bad-input', /no hidden state 4.*0 \(embeddings\) to 3/u),
    );
    await assert.rejects(embed(fixture('bert'), { texts: [] }), fails('bad-input', /no text/u));
    await assert.rejects(embed(fixture('gpt2'), { texts: [''] }), fails('bad-input', /empty/u));
    await assert.rejects(embed(fixture('bert'), { texts: [''], pool: 'word' }), fails('bad-input', /no word/u));
    const long = await embed(fixture('bert'), { texts: ['the house was on the hill '.repeat(200)], pool: 'mean' });
    assert.ok(long.windows[0]?.truncatedEnd === true && long.windows[0].tokens === 64 && long.notes.length === 1);
  });
});
