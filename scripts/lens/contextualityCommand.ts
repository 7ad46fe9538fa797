/** `lens contextuality`: how contextual vectors are over texts, in shards too, and how alike the layers of two models are. */
import { resolve } from 'node:path';
import {
  contextualityResult,
  mergeContextuality,
  readContextuality,
} from '../../extension/engine/analysis/embeddings/contextualityState';
import { requireAllShards } from '../../extension/engine/analysis/corpora/scan';
import type { CompareModelsResult, ContextualityResult, ContextualityState } from '../../extension/protocol/embeddings';
import { LensError } from '../../extension/protocol/errors';
import { changesText, count, counted } from '../../extension/protocol/format';
import { findModel } from './catalog';
import type { Command, Output } from './commands';
import { figure, modelAndCorpus, SEED } from './embeddingCommands';
import { wholeNumber } from './options';
import { encodeSafetensors, readTensors, writeChunks, type Tensor } from './safetensors';
import { CORPUS, sourcesOf } from './sources';
import { mergedOf, naming, SHARD, shardOf } from './states';
import { table, visible } from './table';

const KIND = 'contextuality';
const right = 'right' as const;

export const contextualityCommand: Command = {
  summary: 'how contextual vectors are, layer by layer, over texts: self-similarity, anisotropy, CKA',
  takes: 'MODEL FILE|FOLDER… | merge STATE…',
  options: {
    limit: { type: 'string', value: 'N', help: 'only the first N sentences (1000)' },
    contexts: { type: 'string', value: 'N', help: 'pieces with fewer occurrences are left out (5)' },
    samples: { type: 'string', value: 'N', help: 'tokens of different sentences for the baseline and CKA (1000)' },
    compare: { type: 'string', value: 'MODEL', help: 'only linear CKA of all layers with those of this model' },
    seed: SEED,
    shard: { ...SHARD, help: 'with --out: every N-th sentence, beginning with the I-th (from 0)' },
    out: { type: 'string', value: 'STATE', help: 'write what was found (.safetensors), to be merged' },
  },
  async run(context) {
    const { options, positionals, ask } = context;
    const merged = mergedOf('contextuality', positionals, readState, mergeContextuality);
    if (merged !== null) {
      requireAllShards(merged.done);
      if (options['out'] !== undefined) writeState(String(options['out']), merged);
      const { json, text } = await resultOf(merged);
      return { json, text: merged.changes.length === 0 ? text : `Changed: ${changesText(merged.changes)}\n\n${text}` };
    }
    const { model, names } = modelAndCorpus(context);
    const params = {
      ...{ model, sources: sourcesOf(names, CORPUS), limit: wholeNumber(options, 'limit', 1000) },
      ...{ samples: wholeNumber(options, 'samples', 1000), seed: wholeNumber(options, 'seed', 0) },
    };
    const { compare, out } = options;
    const shard = shardOf(options);
    if (compare !== undefined) {
      if (shard.shard !== undefined || out !== undefined)
        throw new LensError('bad-input', 'Two models are compared as a whole.', 'Leave out --shard and --out.');
      const compared = await ask('compareModels', { ...params, other: findModel(String(compare)) });
      return { json: compared, text: comparedText(compared) };
    }
    const measured = { ...params, leastContexts: wholeNumber(options, 'contexts', 5) };
    if (out === undefined) {
      if (shard.shard !== undefined)
        throw new LensError('bad-input', 'A shard alone says nothing.', 'Name a file for its state with --out.');
      const result = await ask('contextuality', measured);
      return { json: result, text: contextualityText(result) };
    }
    const state = await ask('contextualityShard', { ...measured, ...shard });
    writeState(String(out), state);
    return shard.shard === undefined ? resultOf(state) : shardOutput(state);
  },
};

/** Throws `storage`. */
function writeState(
  path: string,
  { intra, pieces, counts, kept, sums, occurrences, baseline, ...rest }: ContextualityState,
): void {
  const [layers, { width }] = [rest.layers.length, rest];
  // Doubles first, so that they lie at multiples of their size and can be read without a copy.
  const tensors = [
    { name: 'intra', dims: [layers], data: intra },
    { name: 'sums', dims: [pieces.length, layers, width], data: sums },
    { name: 'pieces', dims: [pieces.length], data: pieces },
    { name: 'counts', dims: [counts.length], data: counts },
    { name: 'kept', dims: [kept.length], data: kept },
    { name: 'occurrences', dims: [layers, occurrences.length / (layers * width), width], data: occurrences },
    { name: 'baseline', dims: [layers, baseline.length / (layers * width), width], data: baseline },
  ];
  writeChunks(resolve(path), encodeSafetensors(tensors, { kind: KIND, state: JSON.stringify(rest) }));
}

/** Throws `bad-input`. */
function readState(file: string): ContextualityState {
  const { metadata, tensors } = readTensors(file);
  let rest: unknown = null;
  try {
    rest = metadata['kind'] === KIND ? JSON.parse(metadata['state'] ?? '') : null;
  } catch {
    // Said below.
  }
  if (typeof rest !== 'object' || rest === null)
    throw new LensError('bad-input', `${file} is no state of lens contextuality.`, 'Name a file that --out wrote.');
  const columns = Object.fromEntries([...tensors].map(([name, { data }]: [string, Tensor]) => [name, data]));
  return naming(file, () => readContextuality({ ...rest, ...columns }));
}

/** Of all sentences. */
async function resultOf(state: ContextualityState): Promise<Output> {
  const { signal } = new AbortController();
  const result = await contextualityResult(state, { signal, progress: () => undefined });
  return { json: result, text: contextualityText(result) };
}

function shardOutput({ model, done, sentences, tokens, pieces, skipped }: ContextualityState): Output {
  return {
    json: { model, done, sentences, tokens, pieces: pieces.length, skipped },
    text: [
      `${counted(sentences, 'sentence')}, ${count(tokens)} tokens of ${done.map(({ index, of }) => `shard ${index}/${of}`).join(', ')}`,
      'Numbers come of all shards: lens contextuality merge STATE…',
      ...skipped.map(({ name, why }) => `Left out: ${visible(name)}: ${visible(why)}`),
    ].join('\n'),
  };
}

function comparedText({ models, layers, cka, unit, samples, sentences, skipped }: CompareModelsResult): string {
  const [rows, columns] = layers;
  return [
    `Linear CKA: layers of ${visible(models[0])} (rows) with layers of ${visible(models[1])}`,
    table(
      ['', ...columns.map((layer) => `${layer}`)],
      rows.map((layer, row) => [
        `${layer}`,
        ...columns.map((_, column) => figure(cka[row * columns.length + column] as number)),
      ]),
      ['', ...columns].map(() => right),
    ),
    `${counted(samples, unit === 'token' ? 'token' : 'word')} that both models see, one of a sentence, of ${counted(sentences, 'sentence')}` +
      (unit === 'token' ? '; both cut these into the same tokens' : '; a word is the mean over its pieces'),
    ...skipped.map(({ name, why }) => `Left out: ${visible(name)}: ${visible(why)}`),
  ].join('\n');
}

function contextualityText(result: ContextualityResult): string {
  const { layers, cka, sentences, tokens, pieces, occurrences, explainedPieces, samples, skipped } = result;
  const size = layers.length;
  return [
    table(
      ['layer', 'self-sim', 'adjusted', 'intra', 'adjusted', 'anisotropy', 'MEV', 'adjusted'],
      layers.map((each) => [
        ...[`${each.layer}`, figure(each.selfSimilarity), figure(each.selfSimilarity - each.anisotropy)],
        ...[figure(each.intraSentence), figure(each.intraSentence - each.anisotropy), figure(each.anisotropy)],
        ...[figure(each.explainable), figure(each.explainable - each.explainableBaseline)],
      ]),
      [right, right, right, right, right, right, right, right],
    ),
    `${counted(sentences, 'sentence')}, ${count(tokens)} tokens; ${counted(pieces, 'piece')} with enough occurrences (${count(occurrences)}), ` +
      `MEV of ${count(explainedPieces)} of them; baseline of ${counted(samples, 'token')}`,
    '',
    'Linear CKA of layers with each other:',
    table(
      ['', ...layers.map(({ layer }) => `${layer}`)],
      layers.map(({ layer }, row) => [
        `${layer}`,
        ...layers.map((_, column) => figure(cka[row * size + column] as number)),
      ]),
      ['', ...layers].map(() => right),
    ),
    ...skipped.map(({ name, why }) => `Left out: ${visible(name)}: ${visible(why)}`),
  ].join('\n');
}
