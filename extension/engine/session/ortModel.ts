/**
 * A model that is loaded: the only module that creates and runs onnxruntime sessions. `create` and `run` block the thread, which is
 * why all of this lives in a process of its own.
 */
import { basename } from 'node:path';
import { Tensor, type InferenceSession } from 'onnxruntime-node';
import type { EngineSettings, ModelInfo, ModelRef, Progress } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import { fileSize } from '../../protocol/format';
import type { Anatomy } from '../anatomy/anatomy';
import { ROWS_INPUT, withHeadRows, type HeadRows } from '../instrument/headRows';
import { instrument } from '../instrument/instrument';
import { POSITIONS_INPUT } from '../instrument/tokens';
import { encodeModel } from '../onnx/model';
import type { LensTokenizer } from '../text/tokenizer';
import { describeModel, type Description } from './describe';
import type { InputPlan } from './inputs';
import type { Feeds } from './instrumentedSession';
import type { Activation, HeadLayer, Internals, Intervention, Trace, TraceOptions } from './internals';
import {
  checkFinite,
  requireHead,
  type InputRow,
  type LanguageModel,
  type LogitPlace,
  type LogitRows,
} from './languageModel';
import { createSession, floats, runtimeError, weightsFile } from './runtime';
import { Tracer } from './tracer';
import { Weights } from './weights';

const MEGABYTE = 1e6;

/**
 * Opens a model, and loads its weights now or when a prediction is first asked of it (its internals have a session of their own).
 * Throws `model-*`, `external-data`, `tokenizer`, `memory`.
 */
export async function openModel(
  ref: ModelRef,
  settings: EngineSettings,
  onProgress: (progress: Progress) => void,
  when: 'now' | 'later' = 'now',
): Promise<OrtModel> {
  onProgress({ message: `Reading ${ref.id}`, fraction: 0 });
  const description = await describeModel(ref);
  const { info, tokenizer, tokenizerError } = description;
  if (tokenizer === null) throw tokenizerError ?? new LensError('tokenizer', `${ref.id} has no tokenizer.`);
  if (info.vocabSize !== null && tokenizer.vocabSize > info.vocabSize)
    throw new LensError(
      'tokenizer',
      `tokenizer.json has ${tokenizer.vocabSize} tokens, but the model ${ref.id} predicts ${info.vocabSize}: they do not belong together.`,
      'Use the tokenizer.json that was exported with this model.',
    );
  if (settings.maxModelMegabytes > 0 && info.bytes > settings.maxModelMegabytes * MEGABYTE)
    throw new LensError(
      'memory',
      `${ref.id} has ${fileSize(info.bytes)}, more than the limit of ${settings.maxModelMegabytes} MB.`,
      'Raise the setting onnxLens.engine.maxModelMegabytes if the machine has the memory.',
    );
  if (settings.lowMemory)
    info.notes.push('Low memory: weights stay packed. Where the runtime cannot do that it may quantise activations.');
  const opened = new OrtModel(description, tokenizer, settings);
  if (when === 'now') await opened.load(onProgress);
  return opened;
}

/** A left-to-right model's logits do not change when a later token does. Quantised activations may move them a little. */
const UNCHANGED_SHARE = 0.05;
const PROBE_TOKENS = 6;
/** Of the largest logit: 16-bit activations are rounded after sums whose order depends on the shape. */
const SAME_SHARE = 0.01;

/** Tokens from all of the vocabulary. */
function probeIds({ info, tokenizer }: Pick<OrtModel, 'info' | 'tokenizer'>): Int32Array {
  const vocab = info.vocabSize ?? tokenizer.vocabSize;
  return Int32Array.from({ length: PROBE_TOKENS }, (_, index) =>
    Math.floor((vocab * (index + 1)) / (PROBE_TOKENS + 2)),
  );
}

/** For files that come without a config: what the model does, not what its parts are called. */
async function kindByBehaviour(model: OrtModel): Promise<'masked' | 'causal'> {
  const ids = probeIds(model);
  const changed = ids.slice();
  changed[PROBE_TOKENS - 1] = 0;
  const before = await model.logitsAt([{ ids }], [{ row: 0, position: 0 }]);
  const after = await model.logitsAt([{ ids: changed }], [{ row: 0, position: 0 }]);
  let spread = 0;
  let change = 0;
  before.data.forEach((value, index) => {
    spread = Math.max(spread, Math.abs(value));
    change = Math.max(change, Math.abs(value - (after.data[index] as number)));
  });
  return change <= UNCHANGED_SHARE * spread ? 'causal' : 'masked';
}

export class OrtModel implements LanguageModel, Internals {
  readonly info: ModelInfo;
  private readonly fill: InputPlan;
  private readonly tracer: Tracer;
  /** With the head only where it is wanted; null where the graph does not allow it. */
  private rewritten: HeadRows | null;
  private loaded: Promise<InferenceSession> | null = null;
  /** With the next-sentence head and nothing that only other heads need. */
  private nextSentence: Promise<InferenceSession> | null = null;

  constructor(
    private readonly description: Description,
    readonly tokenizer: LensTokenizer,
    private readonly settings: EngineSettings,
  ) {
    this.info = description.info;
    this.tracer = new Tracer(description, settings);
    this.fill = this.tracer.fill;
    const { anatomy, logits } = description;
    this.rewritten = logits === null ? null : withHeadRows(anatomy, logits);
  }

  /** The session takes `ROWS_INPUT` and answers with [N,V]. */
  get gathersRows(): boolean {
    return this.rewritten !== null;
  }

  /** Of the last block, too, no more is computed than is wanted. */
  get sparesLastBlock(): boolean {
    return this.rewritten?.atPositions === true;
  }

  /** Loads the weights for predictions, once. Throws `model-*`, `memory`. */
  async load(onProgress: (progress: Progress) => void = () => undefined): Promise<void> {
    if (this.loaded === null) {
      onProgress({ message: `Loading ${this.info.id} (${fileSize(this.info.bytes)})`, fraction: 0.1 });
      this.loaded = this.createProven();
      const { description, info } = this;
      try {
        await this.loaded;
        if (!description.kindIsStated && description.logits !== null) info.kind = await kindByBehaviour(this);
      } catch (error) {
        this.loaded = null;
        throw error;
      }
      onProgress({ message: `${info.id} is ready`, fraction: 1 });
    }
    await this.loaded;
  }

  /**
   * A last block that is computed at few tokens must say there what it says when it is computed at all of them, which leaves nothing
   * out. Where it does not, its structure was misread, and the whole block is computed.
   */
  private async createProven(): Promise<InferenceSession> {
    if (!this.sparesLastBlock) return this.createSession();
    try {
      const session = await this.createSession();
      if (await this.agreesAtFew(session)) return session;
      await session.release();
    } catch {
      // The runtime refused it. Where that is not because of the last block, it will refuse the other, too.
    }
    const { anatomy, logits } = this.description;
    this.rewritten = logits === null ? null : withHeadRows(anatomy, logits, 'whole');
    return this.createSession();
  }

  private async agreesAtFew(session: InferenceSession): Promise<boolean> {
    const batch = [0, 1].map(() => ({ ids: probeIds(this) }));
    const places = batch.flatMap((_, row) =>
      Array.from({ length: PROBE_TOKENS }, (__, position): LogitPlace => ({ row, position })),
    );
    const few = places.filter(({ row, position }) => position === (row === 0 ? PROBE_TOKENS - 2 : 1));
    const all = await this.logitsOf(session, batch, places);
    const found = await this.logitsOf(session, batch, few);
    let [worst, largest] = [0, 0];
    few.forEach((place, index) => {
      const from = places.indexOf(place) * all.vocabSize;
      for (let id = 0; id < all.vocabSize; id++) {
        const [expected, actual] = [all.data[from + id], found.data[index * all.vocabSize + id]] as [number, number];
        if (actual === expected) continue; // both may be −∞
        worst = Math.max(worst, Number.isNaN(actual - expected) ? Infinity : Math.abs(actual - expected));
        largest = Math.max(largest, Math.abs(expected));
      }
    });
    return worst <= SAME_SHARE * largest;
  }

  private createSession(model = this.rewritten?.model ?? this.description.model): Promise<InferenceSession> {
    const weights = weightsFile(this.description);
    return createSession(encodeModel(model, basename(weights)), weights, this.settings, this.info.id);
  }

  /** What answers with the next-sentence logits: in the session for predictions only what they need is computed. */
  private nextSentenceSession(output: string): Promise<InferenceSession> {
    if (this.rewritten === null) return (this.loaded ??= this.createSession(this.description.model));
    const opening = { taps: new Set([output]), gates: new Set<string>() };
    if (this.nextSentence === null) {
      this.nextSentence = this.createSession(instrument(this.description.anatomy.subject, opening).model);
      this.nextSentence.catch(() => (this.nextSentence = null));
    }
    return this.nextSentence;
  }

  anatomy(): Promise<Anatomy> {
    return this.tracer.anatomy();
  }

  trace(
    rows: readonly InputRow[],
    hooks: readonly string[],
    interventions: readonly Intervention[] = [],
    options: TraceOptions = {},
  ): Promise<Trace> {
    return this.tracer.trace(rows, hooks, interventions, options);
  }

  traceFrom(
    layer: number,
    resid: Activation,
    rows: readonly InputRow[],
    hooks: readonly string[],
    interventions: readonly Intervention[] = [],
    options: TraceOptions = {},
  ): Promise<Trace> {
    return this.tracer.traceFrom(layer, resid, rows, hooks, interventions, options);
  }

  weight(name: string): Promise<Activation> {
    return new Weights(this.description, this.settings).read(name);
  }

  headLayers(): Promise<HeadLayer[]> {
    return new Weights(this.description, this.settings).headLayers();
  }

  unembedding(id: number): Promise<Activation> {
    return new Weights(this.description, this.settings).unembedding(id);
  }

  runBlock(
    layer: number,
    resid: Activation,
    rows: readonly InputRow[],
    changes: readonly Intervention[] = [],
  ): Promise<Activation> {
    return this.tracer.runBlock(layer, resid, rows, changes);
  }

  runBlockAt(layer: number, resid: Activation, rows: readonly InputRow[], position: number): Promise<Activation> {
    return this.tracer.runBlockAt(layer, resid, rows, position);
  }

  runBlockEnd(layer: number, sums: Activation): Promise<Activation> {
    return this.tracer.runBlockEnd(layer, sums);
  }

  runHead(resid: Activation): Promise<Activation> {
    return this.tracer.runHead(resid);
  }

  runTransform(resid: Activation): Promise<Activation> {
    return this.tracer.runTransform(resid);
  }

  wordScores(vectors: Activation): Promise<Activation> {
    return this.tracer.wordScores(vectors);
  }

  wordEnds(
    vectors: Activation,
    nothing: Float32Array | null,
    count: number,
  ): Promise<{ largest: Activation; smallest: Activation }> {
    return this.tracer.wordEnds(vectors, nothing, count);
  }

  async logitsAt(batch: readonly InputRow[], places: readonly LogitPlace[]): Promise<LogitRows> {
    requireHead(this.info);
    const rows = await this.logitsOf(await (this.loaded ??= this.createProven()), batch, places);
    checkFinite(rows.data, rows.vocabSize, this.info.id);
    return rows;
  }

  private async logitsOf(
    session: InferenceSession,
    batch: readonly InputRow[],
    places: readonly LogitPlace[],
  ): Promise<LogitRows> {
    const { logits, info } = this.description;
    if (logits === null) throw new LensError('internal', `${info.id} is a language model without logits.`);
    const parts: Part[] = [];
    for (const rows of this.fill.groups(batch)) {
      const members = rows.map((row) => batch[row] as InputRow);
      const length = this.fill.length(members);
      // Places of the whole batch that lie in this part of it.
      const indices = [...places.keys()].filter((index) => rows.includes((places[index] as LogitPlace).row));
      if (indices.length === 0) continue;
      const own = indices.map((index): LogitPlace => {
        const { row, position } = places[index] as LogitPlace;
        return { row: rows.indexOf(row), position };
      });
      const flat = own.map(({ row, position }) => row * length + position);
      const output = await this.run(session, members, logits, this.placeFeeds(members.length, own, flat));
      const width = output.dims.at(-1) ?? 0;
      const all = floats(output);
      parts.push({ indices, width, data: this.gathersRows ? all : pickRows(all, width, flat) });
    }
    return assemble(parts, places.length);
  }

  async nextSentenceLogits(batch: readonly InputRow[], changes: readonly Intervention[] = []): Promise<Float32Array> {
    const { nextSentence, info } = this.description;
    if (nextSentence === null)
      throw new LensError(
        'no-nsp-head',
        `${info.id} has no next-sentence head in its file.`,
        'The included bert-base-cased has one.',
      );
    if (changes.length > 0) {
      const { data } = (await this.tracer.trace(batch, [nextSentence], changes)).get(nextSentence) as Activation;
      checkFinite(data, 2, info.id);
      return data;
    }
    const session = await this.nextSentenceSession(nextSentence);
    const parts: Part[] = [];
    for (const rows of this.fill.groups(batch)) {
      const members = rows.map((row) => batch[row] as InputRow);
      parts.push({ indices: rows, width: 2, data: floats(await this.run(session, members, nextSentence)) });
    }
    const { data } = assemble(parts, batch.length);
    checkFinite(data, 2, info.id);
    return data;
  }

  async release(): Promise<void> {
    await this.tracer.release();
    for (const opened of [this.loaded, this.nextSentence]) {
      const session = await opened?.catch(() => null);
      await session?.release();
    }
  }

  /** Where the rewritten graph computes its last steps. */
  private placeFeeds(texts: number, places: readonly LogitPlace[], flat: readonly number[]): Feeds {
    if (this.rewritten === null) return {};
    const vector = (values: readonly number[], dims: readonly number[]): Tensor =>
      new Tensor('int64', BigInt64Array.from(values, BigInt), dims);
    if (!this.rewritten.atPositions) return { [ROWS_INPUT]: vector(flat, [flat.length]) };
    const { positions, most, rows } = tokensWanted(texts, places);
    return { [ROWS_INPUT]: vector(rows, [rows.length]), [POSITIONS_INPUT]: vector(positions, [texts, most]) };
  }

  private async run(
    session: InferenceSession,
    batch: readonly InputRow[],
    output: string,
    more: Feeds = {},
  ): Promise<Tensor> {
    try {
      const results = await session.run({ ...this.fill.feeds(batch), ...more }, [output]);
      return results[output] as Tensor;
    } catch (thrown) {
      throw runtimeError(thrown, this.info.id);
    }
  }
}

/** `positions` [texts,most]: the tokens wanted of each text, filled up with its first token; `rows`: each place's index in it. */
function tokensWanted(
  texts: number,
  places: readonly LogitPlace[],
): { positions: number[]; most: number; rows: number[] } {
  const wanted = Array.from({ length: texts }, () => new Map<number, number>());
  for (const { row, position } of places) {
    const own = wanted[row];
    if (own?.has(position) === false) own.set(position, own.size);
  }
  const most = Math.max(...wanted.map(({ size }) => size));
  return {
    positions: wanted.flatMap((own) => [...own.keys(), ...Array<number>(most - own.size).fill(0)]),
    most,
    rows: places.map(({ row, position }) => row * most + (wanted[row]?.get(position) ?? 0)),
  };
}

/** Rows of a result, and which of all rows they are. */
interface Part {
  indices: readonly number[];
  width: number;
  data: Float32Array;
}

function assemble(parts: readonly Part[], count: number): LogitRows {
  const [first] = parts;
  const width = first?.width ?? 0;
  if (first !== undefined && parts.length === 1) return { data: first.data, vocabSize: width };
  const data = new Float32Array(count * width);
  for (const { indices, data: rows } of parts)
    indices.forEach((index, row) => {
      data.set(rows.subarray(row * width, (row + 1) * width), index * width);
    });
  return { data, vocabSize: width };
}

function pickRows(all: Float32Array, width: number, rows: readonly number[]): Float32Array {
  const picked = new Float32Array(rows.length * width);
  rows.forEach((row, index) => {
    picked.set(all.subarray(row * width, (row + 1) * width), index * width);
  });
  return picked;
}
