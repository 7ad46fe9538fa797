/** `lens triggers`: the texts of a corpus that fire memories most. */
import { basename } from 'node:path';
import {
  mergeTriggersStates,
  readTriggersState,
  triggersResult,
} from '../../extension/engine/analysis/ffn/triggersState';
import {
  ACTIVE_THRESHOLD,
  type ActivationDistribution,
  type NeuronTriggers,
  type TriggersResult,
  type TriggersState,
  type TriggerText,
} from '../../extension/protocol/ffn';
import { LensError } from '../../extension/protocol/errors';
import { count, counted, neuronName, percent, shortened, signed, textBar } from '../../extension/protocol/format';
import { findModel } from './catalog';
import type { Command, Output } from './commands';
import { decimal, stringList, wholeNumber, type OptionSpec } from './options';
import { CORPUS, sourcesOf } from './sources';
import { mergedOf, numberOf, OUT, readSavedAs, RESUME, resumeOf, saver, SHARD, shardOf, skippedText } from './states';
import { table } from './table';
import { neuronOf } from './valuesCommand';

const KIND = 'triggers';
type Saved = { kind: typeof KIND } & TriggersState;

const DIGITS = 3;
const [SHOWN_BEFORE, SHOWN_AFTER] = [50, 30];
const [BAR, MOST_BARS] = [40, 24];
const RIGHT = 'right' as const;
const LEFT = 'left' as const;

export const THRESHOLD: OptionSpec = {
  type: 'string',
  value: 'X',
  help: `a memory is active where |m| is above it (${ACTIVE_THRESHOLD})`,
};
export const LIMIT: OptionSpec = { type: 'string', value: 'N', help: 'only the first N sentences of the corpus' };

const readState = (file: string): TriggersState =>
  readTriggersState(readSavedAs(file, KIND) as unknown as TriggersState);

export const triggersCommand: Command = {
  summary: 'the texts of a corpus that fire memories most, and how their activations are distributed',
  takes: 'MODEL FILE|FOLDER… --neuron L.N | merge STATE…',
  options: {
    neuron: {
      type: 'string',
      value: 'L.N,…',
      help: 'memories, counted from 0; may be repeated',
      multiple: true,
    },
    top: { type: 'string', value: 'K', help: 'texts of each memory (25)' },
    threshold: THRESHOLD,
    smallest: { type: 'boolean', help: 'show the texts with the smallest activations instead' },
    limit: LIMIT,
    shard: SHARD,
    out: OUT,
    resume: RESUME,
  },
  async run({ positionals, options, ask }) {
    const [first, ...names] = positionals;
    const save = saver<Saved>(options);
    const end = options['smallest'] === true ? 'smallest' : 'largest';
    const merged = mergedOf('triggers', positionals, readState, mergeTriggersStates);
    if (merged !== null) {
      await save.now({ kind: KIND, ...merged });
      return output(triggersResult(merged, 0), end);
    }
    const neurons = stringList(options, 'neuron')
      .flatMap((list) => list.split(','))
      .map((each) => neuronOf(each.trim()));
    if (first === undefined || names.length === 0 || neurons.length === 0)
      throw new LensError(
        'bad-input',
        'A model, a corpus and a memory must be named.',
        'Write lens triggers MODEL FILE… --neuron 9.1234',
      );
    const result = await ask(
      'triggers',
      {
        ...{ model: findModel(first), neurons, sources: sourcesOf(names, CORPUS) },
        topK: wholeNumber(options, 'top', 25),
        threshold: decimal(options, 'threshold', ACTIVE_THRESHOLD),
        ...numberOf(options, 'limit'),
        ...shardOf(options),
        ...resumeOf(options, readState),
      },
      ({ triggers }) => {
        if (triggers !== undefined) save.later(() => ({ kind: KIND, ...triggers.state }));
      },
    );
    await save.now({ kind: KIND, ...result.state });
    return output(result, end);
  },
};

function output(result: TriggersResult, end: 'largest' | 'smallest'): Output {
  const { state, neurons, rule } = result;
  const { model, sentences, tokens, threshold, sources, skipped } = state;
  return {
    json: { model, sentences, tokens, threshold, rule, sources, skipped, neurons },
    text: [
      `${model}: ${counted(sentences, 'sentence')}, ${count(tokens)} tokens`,
      ...neurons.map((each) => neuronText(each, state, end)),
      `Looked at: ${rule}`,
      ...skippedText(skipped),
    ].join('\n\n'),
  };
}

function neuronText(each: NeuronTriggers, { threshold, sources }: TriggersState, end: 'largest' | 'smallest'): string {
  const { min, max, mean, deviation, positive, active } = each.distribution;
  return [
    `${neuronName(each)}: m from ${signed(min, DIGITS)} to ${signed(max, DIGITS)}, mean ${signed(mean, DIGITS)}, deviation ${deviation.toFixed(DIGITS)}; ` +
      `above 0 at ${percent(positive, 2)}, |m| above ${threshold} at ${percent(active, 2)} of the tokens`,
    histogramText(each.distribution),
    table(
      ['m', 'token', 'text', 'at'],
      each[end].map((text) => [
        signed(text.activation, DIGITS),
        text.text.slice(text.range.start, text.range.end),
        around(text),
        `${basename(sources[text.source] ?? '')}:${text.line}:${text.column + 1}`,
      ]),
      [RIGHT, LEFT, LEFT, LEFT],
    ),
  ].join('\n\n');
}

/** Bars are of the logarithm: nearly all tokens are in one or two bins. */
function histogramText({ histogram }: ActivationDistribution): string {
  const { width, first, counts } = coarser(histogram);
  const most = Math.log1p(Math.max(...counts));
  return table(
    ['m from', 'tokens', ''],
    Array.from(counts, (tokens, bin) => [
      signed((first + bin) * width, width < 0.1 ? DIGITS : 2),
      count(tokens),
      textBar(Math.log1p(tokens) / most, BAR).trimEnd(),
    ]),
    [RIGHT, RIGHT, LEFT],
  );
}

/** Pairs of bins as one, until a screen has room for them. */
function coarser(histogram: ActivationDistribution['histogram']): ActivationDistribution['histogram'] {
  const { width, first, counts } = histogram;
  if (counts.length <= MOST_BARS) return histogram;
  const begin = Math.floor(first / 2);
  const joined = new Float64Array(Math.floor((first + counts.length - 1) / 2) - begin + 1);
  counts.forEach((tokens, bin) => {
    const at = Math.floor((first + bin) / 2) - begin;
    joined[at] = (joined[at] ?? 0) + tokens;
  });
  return coarser({ width: 2 * width, first: begin, counts: joined });
}

/** The firing token in brackets, with what is near it. */
function around({ text, range: { start, end } }: TriggerText): string {
  const before = text.slice(0, start);
  return [
    before.length > SHOWN_BEFORE ? `…${before.slice(-SHOWN_BEFORE)}` : before,
    `⟦${text.slice(start, end)}⟧`,
    shortened(text.slice(end), SHOWN_AFTER),
  ].join('');
}
