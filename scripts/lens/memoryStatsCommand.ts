/** `lens memory-stats`: what memories do over a corpus. */
import { resolve } from 'node:path';
import {
  memoryStatsResult,
  mergeMemoryStats,
  readMemoryStats,
} from '../../extension/engine/analysis/ffn/memoryStatsState';
import { ACTIVE_THRESHOLD, type MemoryStatsResult, type MemoryStatsState } from '../../extension/protocol/ffn';
import { LensError } from '../../extension/protocol/errors';
import { count, counted, percent } from '../../extension/protocol/format';
import { findModel } from './catalog';
import type { Command, Output } from './commands';
import { decimal, wholeNumber } from './options';
import { CORPUS, sourcesOf } from './sources';
import { mergedOf, numberOf, OUT, readSavedAs, RESUME, resumeOf, saver, SHARD, shardOf, skippedText } from './states';
import { table, visible } from './table';
import { LIMIT, THRESHOLD } from './triggersCommand';
import { CACHE, cacheOf } from './valuesCommand';

const KIND = 'memory-stats';
type Saved = { kind: typeof KIND } & MemoryStatsState;

const readState = (file: string): MemoryStatsState =>
  readMemoryStats(readSavedAs(file, KIND) as unknown as MemoryStatsState);

export const memoryStatsCommand: Command = {
  summary: 'memories over a corpus, layer by layer: active shares, agreement, composition, saturation, elimination',
  takes: 'MODEL FILE|FOLDER… | merge STATE…',
  options: {
    threshold: THRESHOLD,
    seed: { type: 'string', value: 'N', help: 'of the token of each sentence where the prediction is read (0)' },
    cache: CACHE,
    limit: LIMIT,
    shard: SHARD,
    out: OUT,
    resume: RESUME,
  },
  async run({ positionals, options, ask }) {
    const [first, ...names] = positionals;
    const save = saver<Saved>(options);
    const merged = mergedOf('memory-stats', positionals, readState, mergeMemoryStats);
    if (merged !== null) {
      await save.now({ kind: KIND, ...merged });
      return output(memoryStatsResult(merged, 0));
    }
    if (first === undefined || names.length === 0)
      throw new LensError('bad-input', 'A model and a corpus must be named.', 'Write lens memory-stats MODEL FILE…');
    const result = await ask(
      'memoryStats',
      {
        ...{ model: findModel(first), sources: sourcesOf(names, CORPUS), cache: resolve(cacheOf(options)) },
        threshold: decimal(options, 'threshold', ACTIVE_THRESHOLD),
        seed: wholeNumber(options, 'seed', 0),
        ...numberOf(options, 'limit'),
        ...shardOf(options),
        ...resumeOf(options, readState),
      },
      ({ memoryStats }) => {
        if (memoryStats !== undefined) save.later(() => ({ kind: KIND, ...memoryStats.state }));
      },
    );
    await save.now({ kind: KIND, ...result.state });
    return output(result);
  },
};

const shown = (share: number | null, digits = 1): string => (share === null ? '–' : percent(share, digits));

function output({ state, layers, saturatedAtInput }: MemoryStatsResult): Output {
  const { model, sentences, tokens, predictions, threshold, seed, neurons, rule, notes, skipped } = state;
  return {
    json: {
      ...{ model, sentences, tokens, predictions, memories: neurons, threshold, seed, rule, notes, skipped },
      ...{ saturatedAtInput, layers },
    },
    text: [
      `${model}: ${counted(sentences, 'sentence')}, ${count(tokens)} tokens, ${counted(predictions, 'prediction')}; ${count(neurons)} memories a layer`,
      table(
        ['layer', 'm > 0', `|m| > ${threshold}`, 'next', 'by chance', 'itself', 'by chance'],
        layers.map(({ layer, positive, active, agreement: { next, nextByChance, itself, itselfByChance } }) => [
          ...[`${layer}`, shown(positive), shown(active)],
          ...[next, nextByChance, itself, itselfByChance].map((share) => shown(share, 2)),
        ]),
        ['right', 'right', 'right', 'right', 'right', 'right', 'right'],
      ),
      table(
        ['layer', 'no memory’s word', 'no active one’s', 'stays from here', 'lost by attention', 'lost by FFN'],
        [
          ['input', '', '', shown(saturatedAtInput), '', ''],
          ...layers.map(({ layer, composed, composedOfActive, saturated, lostByAttention, lostByFfn }) => [
            ...[`${layer}`, shown(composed), shown(composedOfActive)],
            ...[shown(saturated), shown(lostByAttention), shown(lostByFfn)],
          ]),
        ],
        ['right', 'right', 'right', 'right', 'right', 'right'],
      ),
      'next, itself: of the memories, those whose value’s first word is the token after their top trigger, or the trigger itself; by chance: with triggers dealt at random within the layer',
      rule,
      ...notes.map((note) => `Note: ${visible(note)}`),
      ...skippedText(skipped),
    ].join('\n\n'),
  };
}
