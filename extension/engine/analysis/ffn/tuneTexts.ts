/** Sentences of texts as what a tuned lens is trained on: some to learn from, read again and again, and some that are held out. */
import { statSync } from 'node:fs';
import type { CorpusSource } from '../../../protocol/attention';
import { LensError } from '../../../protocol/errors';
import { blockHook } from '../../anatomy/hooks';
import type { Activation, Internals } from '../../session/internals';
import { checkFinite, type InputRow } from '../../session/languageModel';
import { quantisesActivations } from '../attention/changedRuns';
import { SkipList } from '../attention/headState';
import { corpusSentences } from '../corpora/sentences';
import { textRow } from '../embeddings/texts';
import { throwIfCancelled, TOKENS_PER_RUN } from '../forward';
import { isCausal } from '../predicted';
import { seededRandom, shuffle } from '../random';
import { tracedRuns } from '../runs';
import { sumOf, type Source } from './lensStates';

/** Of one sentence: a long one is no reason to learn from it alone. */
const MOST_PLACES = 64;
/** Of the tokens of a sentence (Devlin et al. 2019). */
const MASKED = 0.15;
/** Every so-manieth sentence is held out, in turn to choose by and to report. */
const HELD_OUT = 5;
/** Sentences that are held out are read so often, with other masks, where they have too few places. */
const MOST_READINGS = 16;
/** What is traced at once. */
const BYTES_PER_RUN = 2 ** 27;

/** A sentence, and the places where its states are read. */
export interface TuneItem {
  row: InputRow;
  at: readonly number[];
  sentence: number;
}

/** What a sentence is for. */
export type Share = 'train' | 'choose' | 'report';

export const shareOf = (sentence: number): Share =>
  sentence % HELD_OUT < HELD_OUT - 1 ? 'train' : sentence % (2 * HELD_OUT) < HELD_OUT ? 'choose' : 'report';

export function tuneRule(model: Internals): string {
  const places = masks(model)
    ? `${100 * MASKED} % of the tokens of each sentence, drawn by the seed, are masked; states are read at these and at as many others`
    : 'states are read at the tokens of each sentence but the special ones';
  return `each sentence by itself; ${places}, at most ${MOST_PLACES}; every ${HELD_OUT}th sentence is held out, in turn to choose by and to report`;
}

const masks = (model: Internals): boolean => !isCausal(model) && model.tokenizer.maskId !== null;

/** The same for the same seed, sentence and reading. Null: there is no token in it. */
function itemOf(model: Internals, text: string, sentence: number, seed: number): TuneItem | null {
  const { row, tokens } = textRow(model, text);
  const content = tokens.flatMap(({ special, range }, token) => (special || range === null ? [] : [token]));
  if (content.length === 0) return null;
  const drawn = shuffle(content, seededRandom(seed + sentence));
  const inOrder = (places: number[]): number[] => places.sort((a, b) => a - b);
  if (!masks(model)) return { row, at: inOrder(drawn.slice(0, MOST_PLACES)), sentence };
  const masked = Math.min(MOST_PLACES / 2, Math.ceil(MASKED * drawn.length));
  const ids = row.ids.slice();
  for (const token of drawn.slice(0, masked)) ids[token] = model.tokenizer.maskId as number;
  return { row: { ...row, ids }, at: inOrder(drawn.slice(0, 2 * masked)), sentence };
}

export const sizesOf = (sources: readonly CorpusSource[]): number[] =>
  sources.map((source) =>
    'text' in source ? source.text.length : (statSync(source.file, { throwIfNoEntry: false })?.size ?? 0),
  );

/** Far from the seeds of neighbouring sentences. */
const PER_READING = 1_000_003;

export class TuneTexts {
  readonly skipped: SkipList;

  constructor(
    private readonly model: Internals,
    private readonly sources: readonly CorpusSource[],
    private readonly seed: number,
    skipped: readonly { name: string; why: string }[],
  ) {
    this.skipped = new SkipList(skipped);
  }

  /** Sentences of a share, from one on. A cancel is heard. */
  async *items(share: Share, reading: number, from: number, signal: AbortSignal): AsyncGenerator<TuneItem> {
    const { model, sources, seed, skipped } = this;
    for await (const { index, text, source, lines } of corpusSentences(sources, (name, why) =>
      skipped.add(name, why),
    )) {
      throwIfCancelled(signal);
      if (index < from || shareOf(index) !== share) continue;
      try {
        const item = itemOf(model, text, index, seed + PER_READING * reading);
        if (item !== null) yield item;
      } catch (thrown) {
        const error = LensError.from(thrown);
        if (error.code === 'internal' || error.code === 'cancelled') throw thrown;
        skipped.add(sources[source]?.name ?? '', `line ${lines[0]?.line}: ${error.message}`);
      }
    }
  }

  /** The first places of a share. Throws `bad-input` when there is none. */
  async heldOut(share: 'choose' | 'report', most: number, signal: AbortSignal): Promise<TuneItem[]> {
    const found: TuneItem[] = [];
    let places = 0;
    const readings = masks(this.model) ? MOST_READINGS : 1;
    for (let reading = 0; reading < readings && places < most; reading++) {
      for await (const item of this.items(share, reading, 0, signal)) {
        const at = item.at.slice(0, most - places);
        found.push({ ...item, at });
        places += at.length;
        if (places >= most) break;
      }
      if (places === 0) break;
    }
    if (places > 0) return found;
    throw new LensError(
      'bad-input',
      `There are not enough sentences in the texts${this.skipped.first}: ${2 * HELD_OUT} are needed, two of which are held out.`,
      'Choose more or longer text files in UTF-8, or a treebank.',
    );
  }

  /** Steps of at least `size` places, the texts again from their beginning where they end. Without an end. */
  async *batches(
    { reading, sentence }: { reading: number; sentence: number },
    size: number,
    signal: AbortSignal,
  ): AsyncGenerator<{ items: TuneItem[]; places: number; next: { reading: number; sentence: number } }> {
    let [items, places, from] = [[] as TuneItem[], 0, sentence];
    for (; ; reading++, from = 0) {
      let any = from > 0;
      for await (const item of this.items('train', reading, from, signal)) {
        any = true;
        items.push(item);
        places += item.at.length;
        if (places < size) continue;
        yield { items, places, next: { reading, sentence: item.sentence + 1 } };
        [items, places] = [[], 0];
      }
      if (!any) throw new LensError('bad-input', 'There is no sentence in the texts to learn from.');
    }
  }
}

/** States [n,D] of each source at the places of the items, in their order. Throws `numeric`. */
export async function statesAt(
  model: Internals,
  sources: readonly Source[],
  items: readonly TuneItem[],
  signal: AbortSignal,
): Promise<Float32Array[]> {
  const anatomy = await model.anatomy();
  const hooks = [...new Set(sources.flatMap((source) => source.hooks))];
  const first = new Map<TuneItem, number>();
  let places = 0;
  for (const item of items) {
    first.set(item, places);
    places += item.at.length;
  }
  const perToken = 4 * hooks.length * (model.info.hiddenSize ?? 1);
  const fits = (batch: number, length: number): boolean =>
    batch * length <= TOKENS_PER_RUN && batch * length * perToken <= BYTES_PER_RUN && !quantisesActivations(anatomy);
  let states: Float32Array[] = [];
  for await (const { items: run, trace } of tracedRuns(model, items, hooks, fits, signal, { only: true })) {
    const { dims } = trace.get(blockHook(0, 'hook_resid_pre')) as Activation;
    const [, length, width] = dims as [number, number, number];
    if (states.length === 0) states = sources.map(() => new Float32Array(places * width));
    sources.forEach(({ hooks: addends }, state) => {
      const sum = sumOf(addends.map((hook) => (trace.get(hook) as Activation).data));
      run.forEach((item, row) =>
        item.at.forEach((token, index) => {
          const from = (row * length + token) * width;
          const vector = sum.subarray(from, from + width);
          checkFinite(vector, width, model.info.id);
          (states[state] as Float32Array).set(vector, ((first.get(item) as number) + index) * width);
        }),
      );
    });
  }
  return states;
}
