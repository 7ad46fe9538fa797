/** What the model would say after each part of each layer: at the end what it says, and in between what PyTorch's head says. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { logitLens, logitLensTable } from '../../extension/engine/analysis/ffn/logitLens';
import { Distribution } from '../../extension/engine/analysis/distribution';
import type { Activation } from '../../extension/engine/session/internals';
import { openModel, type OrtModel } from '../../extension/engine/session/ortModel';
import { LensError, type LensErrorCode } from '../../extension/protocol/errors';
import type { LogitLens, LogitLensParams, Scale } from '../../extension/protocol/ffn';
import type { ReferenceTensor } from '../../scripts/lens/safetensors';
import { quiet } from '../support/fakeModel';
import { fixture, fixtureNames, reference, SETTINGS } from '../support/fixtures';

const open = (name: string): Promise<OrtModel> => openModel(fixture(name), SETTINGS, () => undefined, 'later');
const fails = (code: LensErrorCode) => (thrown: unknown) => thrown instanceof LensError && thrown.code === code;
const ask = (model: OrtModel, params: Omit<LogitLensParams, 'model'>): Promise<LogitLens> =>
  logitLens(model, params, quiet());
const textOf = (name: string): string => (reference(name).meta.cases[0]?.text as [string])[0];

/** Logits [T,V] of a reference. */
function rowsOf({ shape, data }: ReferenceTensor): Float32Array[] {
  const [, length, vocab] = shape as [number, number, number];
  return Array.from({ length }, (_, row) => data.subarray(row * vocab, (row + 1) * vocab));
}

const predicting = fixtureNames.filter((name) => ['mlm', 'clm', 'pretraining'].includes(reference(name).meta.head));

describe('logit lens', function () {
  this.timeout(60_000);

  for (const name of predicting)
    it(`${name}: the last state says what the model says, changed or not`, async () => {
      const { meta, tensors } = reference(name);
      const model = await open(name);
      const text = textOf(name);
      try {
        const anatomy = await model.anatomy();
        // What PyTorch says, where the model's own numbers are PyTorch's.
        const isExact = meta.tolerance.default <= 1e-4;
        const { ids } = model.tokenizer.encode(text);
        const { dims, data } = (await model.trace([{ ids }], ['unembed.logits'])).get('unembed.logits') as Activation;
        const plain = rowsOf({ shape: [...dims], data });
        const table = await logitLensTable(model, { text, attention: true }, quiet());
        const places = table.places.length;
        assert.equal(places, 1 + 2 * anatomy.layers);
        for (const [token, logits] of plain.entries()) {
          const own = new Distribution(logits);
          const [first] = own.top(1) as [number];
          const at = (places - 1) * plain.length + token;
          assert.equal(table.top[at], first);
          assert.equal(table.ranks[at], 1);
          const tolerance = isExact ? 1e-4 : 2e-2;
          assert.ok(Math.abs((table.probs[at] as number) - Math.exp(own.logprob(first))) < tolerance);
          assert.ok(Math.abs((table.entropies[at] as number) - own.entropy()) < 10 * tolerance);
        }
        const read = (meta.attributions as { target: { position: number } }[])[0]?.target.position as number;
        const position = read + Number(meta.causal);
        const cases: [Scale[], string][] = [
          [[], 'a/unembed.logits'],
          ...(meta.interventions ?? []).map(
            ({ id, layer, head, neuron, scale, position: where }): [Scale[], string] => {
              const place = where === null ? {} : { position: where };
              const part = neuron === undefined ? { layer, head: head as number } : { layer, neuron };
              return [[{ ...part, scale, ...place }], `a/interventions/${id}/logits`];
            },
          ),
        ];
        assert.equal(cases.length, 6);
        for (const [interventions, tensor] of cases) {
          const lens = await ask(model, { text, position, interventions, topK: 2, watch: [5] });
          const expected = rowsOf(tensors.get(tensor) as ReferenceTensor)[read] as Float32Array;
          for (const { id, logits } of lens.watched) {
            const off = Math.abs((logits.at(-1) as number) - (expected[id] as number));
            assert.ok(off <= meta.tolerance.default, `${tensor}, token ${id}: off by ${off}`);
          }
          assert.equal(lens.states.length, places);
          // A state of the whole text and of one token are the same state.
          if (interventions.length > 0) continue;
          lens.states.forEach(({ predictions, entropy }, state) => {
            const at = state * plain.length + read;
            const tolerance = isExact ? 1e-4 : 2e-2;
            assert.ok(Math.abs(entropy - (table.entropies[at] as number)) < tolerance, `state ${state}`);
            if (isExact) assert.equal(predictions[0]?.id, table.top[at]);
          });
        }
      } finally {
        await model.release();
      }
    });

  for (const name of ['bert', 'gpt2', 'llama'])
    it(`${name}: each state is what PyTorch's head makes of PyTorch's stream`, async () => {
      const expected = JSON.parse(readFileSync(join(fixture(name).folder, 'lens.json'), 'utf8')) as {
        position: number;
        answer: number;
        states: {
          layer: number;
          part: string;
          top: number[];
          logprobs: number[];
          entropy: number;
          rank: number;
          logit: number;
          logprob: number;
        }[];
      };
      const model = await open(name);
      try {
        const lens = await ask(model, { text: textOf(name), position: expected.position, topK: 3 });
        assert.equal(lens.target.id, expected.answer);
        assert.equal(lens.states.length, expected.states.length);
        const [answer] = lens.watched;
        assert.equal(answer?.id, expected.answer);
        const close = (actual: number | undefined, wanted: number, what: string): void =>
          assert.ok(Math.abs((actual as number) - wanted) < 1e-4, `${what}: ${actual}, not ${wanted}`);
        for (const [index, state] of expected.states.entries()) {
          const found = lens.states[index];
          assert.deepEqual([found?.layer, found?.part], [state.layer, state.part]);
          assert.deepEqual(
            found?.predictions.map(({ id }) => id),
            state.top,
          );
          state.logprobs.forEach((logprob, rank) =>
            close(found?.predictions[rank]?.logprob, logprob, `state ${index}`),
          );
          close(found?.entropy, state.entropy, `entropy ${index}`);
          close(answer?.logits[index], state.logit, `logit ${index}`);
          assert.equal(answer?.ranks[index], state.rank);
          if (index === 0) continue;
          const step = state.logprob - (expected.states[index - 1]?.logprob as number);
          close(answer?.steps[state.part as 'ffn'][state.layer], step, `step ${index}`);
        }
        // Every token that leads somewhere is followed.
        const leaders = new Set(expected.states.map(({ top: [first] }) => first));
        for (const id of leaders) assert.ok(lens.watched.some((word) => word.id === id));
      } finally {
        await model.release();
      }
    });

  it('says what the states went through', async () => {
    const heads: Record<string, string> = {
      bert: 'dense layer, gelu, LayerNorm, unembedding',
      'bert-ort-fused': 'dense layer, gelu, LayerNorm, unembedding',
      gpt2: 'LayerNorm, unembedding',
      llama: 'RMSNorm, unembedding',
    };
    for (const [name, head] of Object.entries(heads)) {
      const model = await open(name);
      try {
        assert.equal((await ask(model, { text: textOf(name), position: 1, topK: 1 })).head, head, name);
      } finally {
        await model.release();
      }
    }
  });

  it('refuses what is not there', async () => {
    const model = await open('bert');
    const text = textOf('bert');
    try {
      const wrong: Partial<LogitLensParams>[] = [
        { position: 99 },
        { text: '' },
        { watch: [1e6] },
        { text: 'no mask here' },
        { interventions: [{ layer: 0, neuron: 80, scale: 0 }] },
        { interventions: [{ layer: 3, neuron: 0, scale: 0 }] },
        { interventions: [{ layer: 0, neuron: 0, scale: 0, position: 99 }] },
      ];
      for (const change of wrong) await assert.rejects(ask(model, { text, topK: 1, ...change }), fails('bad-input'));
    } finally {
      await model.release();
    }
    for (const name of ['bert-classifier', 't5enc-dyn']) {
      const other = await open(name);
      try {
        await assert.rejects(ask(other, { text: 'a', topK: 1 }), fails('no-lm-head'));
      } finally {
        await other.release();
      }
    }
  });
});
