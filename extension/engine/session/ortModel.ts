/**
 * A model that is loaded: the only module that creates and runs onnxruntime sessions. `create` and `run` block the thread, which is
 * why all of this lives in a process of its own.
 */
import { realpathSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { EngineSettings, ModelInfo, ModelRef, Progress } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import { fileSize } from '../../protocol/format';
import { ROWS_INPUT, withHeadRows } from '../onnx/headRows';
import { encodeModel } from '../onnx/model';
import type { LensTokenizer } from '../text/tokenizer';
import { describeModel, positionPadding, weightsFolder, type Description } from './describe';
import { planInputs, type InputPlan } from './inputs';
import type { InputRow, LanguageModel, LogitPlace, LogitRows } from './languageModel';

const MEGABYTE = 1e6;

/** Loads a model. Throws `model-*`, `external-data`, `tokenizer`, `memory`. */
export async function openModel(
  ref: ModelRef,
  settings: EngineSettings,
  onProgress: (progress: Progress) => void,
): Promise<OrtModel> {
  onProgress({ message: `Reading ${ref.id}`, fraction: 0 });
  const description = await describeModel(ref);
  const { info, tokenizer, tokenizerError, model } = description;
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
  const fill = planInputs(info.inputs, {
    padId: tokenizer.padId,
    positionPadding: positionPadding(description.config),
    ...headShape(description),
  });
  const rewritten = description.logits === null ? null : withHeadRows(model, description.logits);
  onProgress({ message: `Loading ${ref.id} (${fileSize(info.bytes)})`, fraction: 0.1 });
  let session: InferenceSession;
  try {
    const weights = weightsFile(description);
    session = await InferenceSession.create(
      encodeModel(rewritten ?? model, basename(weights)),
      sessionOptions(weights, settings),
    );
  } catch (thrown) {
    if (settings.executionProvider !== 'cpu')
      throw new LensError(
        'model-unsupported',
        `${ref.id} could not be opened with the execution provider ${settings.executionProvider}: ${String(thrown)}`,
        'Set onnxLens.engine.executionProvider to cpu; packages of this extension hold the CPU provider only.',
        { cause: thrown },
      );
    throw runtimeError(thrown, ref.id);
  }
  const opened = new OrtModel(description, tokenizer, session, fill, rewritten !== null);
  if (!description.kindIsStated && description.logits !== null) info.kind = await kindByBehaviour(opened);
  if (settings.lowMemory)
    info.notes.push('Low memory: weights stay packed. Where the runtime cannot do that it may quantise activations.');
  onProgress({ message: `${ref.id} is ready`, fraction: 1 });
  return opened;
}

/** A left-to-right model's logits do not change when a later token does. Quantised activations may move them a little. */
const UNCHANGED_SHARE = 0.05;
const PROBE_TOKENS = 6;

/** For files that come without a config: what the model does, not what its parts are called. */
async function kindByBehaviour(model: OrtModel): Promise<'masked' | 'causal'> {
  const vocab = model.info.vocabSize ?? model.tokenizer.vocabSize;
  const ids = Int32Array.from({ length: PROBE_TOKENS }, (_, index) =>
    Math.floor((vocab * (index + 1)) / (PROBE_TOKENS + 2)),
  );
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

/**
 * The file that holds the inline weights. A download cache has links in its folders, which the runtime does not follow; so it gets
 * the file itself. Weights in files of their own were checked to be beside the link.
 */
function weightsFile({ path, model }: Description): string {
  const external = [...model.graph.initializers.values()].some(({ place }) => place.kind === 'external');
  return external ? path : realpathSync(path);
}

function headShape({ config, info }: Description): { heads: number | null; headWidth: number | null } {
  const positive = (value: unknown): number | null => (typeof value === 'number' && value > 0 ? value : null);
  const { heads, hiddenSize } = info;
  return {
    heads: positive(config.num_key_value_heads) ?? heads,
    headWidth: positive(config.head_dim) ?? (heads !== null && hiddenSize !== null ? hiddenSize / heads : null),
  };
}

function sessionOptions(path: string, settings: EngineSettings): InferenceSession.SessionOptions {
  const threads = settings.threads > 0 ? settings.threads : Math.max(1, Math.floor(availableParallelism() / 2));
  return {
    // Alone: in a longer list the runtime drops a provider it does not have with a line on the console and takes the next. It
    // still puts single operators that a provider lacks on the CPU.
    executionProviders: [settings.executionProvider],
    intraOpNumThreads: threads,
    logSeverityLevel: 3,
    // The typings say "WebAssembly only"; Node honours it, with strings as values.
    extra: {
      session: {
        model_external_initializers_file_folder_path: weightsFolder(path),
        // It would win over packed weights, which are computed in float32 too.
        ...(settings.quantised === 'exact' && !settings.lowMemory ? { disable_quant_qdq: '1' } : {}),
        ...(settings.lowMemory ? { qdq_matmulnbits_accuracy_level: '1' } : {}),
      },
    },
  };
}

/** The runtime's exceptions are strings for developers. */
function runtimeError(thrown: unknown, model: string): LensError {
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const options = { cause: thrown };
  if (/bad_alloc|out of memory|allocat/i.test(message))
    return new LensError(
      'memory',
      `There was not enough memory for ${model}: ${message}`,
      'Close other programs, choose a smaller or quantised model, or a shorter text.',
      options,
    );
  if (/not implemented|no op registered|is not a registered|unsupported|opset/i.test(message))
    return new LensError(
      'model-unsupported',
      `${model} uses something that the runtime cannot run: ${message}`,
      'Export it with standard operators or another opset.',
      options,
    );
  return new LensError(
    'model-invalid',
    `The runtime refused ${model}: ${message}`,
    'Export or download the model again; the log has the details.',
    options,
  );
}

export class OrtModel implements LanguageModel {
  readonly info: ModelInfo;

  constructor(
    private readonly description: Description,
    readonly tokenizer: LensTokenizer,
    private readonly session: InferenceSession,
    private readonly fill: InputPlan,
    /** The session takes `ROWS_INPUT` and answers with [N,V]. */
    readonly gathersRows: boolean,
  ) {
    this.info = description.info;
  }

  async logitsAt(batch: readonly InputRow[], places: readonly LogitPlace[]): Promise<LogitRows> {
    const { logits, info } = this.description;
    if (logits === null || (info.kind !== 'masked' && info.kind !== 'causal'))
      throw new LensError(
        'no-lm-head',
        `${info.id} has no language-model head (${info.kind}), so it predicts no words.`,
        'Select a masked or causal language model.',
      );
    const parts: Part[] = [];
    for (const rows of this.fill.groups(batch)) {
      const members = rows.map((row) => batch[row] as InputRow);
      const length = this.fill.length(members);
      // Places of the whole batch that lie in this part of it.
      const indices = [...places.keys()].filter((index) => rows.includes((places[index] as LogitPlace).row));
      if (indices.length === 0) continue;
      const flat = indices.map((index) => {
        const { row, position } = places[index] as LogitPlace;
        return rows.indexOf(row) * length + position;
      });
      const output = await this.run(members, logits, flat);
      const width = output.dims.at(-1) ?? 0;
      const all = floats(output);
      parts.push({ indices, width, data: this.gathersRows ? all : pickRows(all, width, flat) });
    }
    const rows = assemble(parts, places.length);
    checkFinite(rows.data, rows.vocabSize, info.id);
    return rows;
  }

  async nextSentenceLogits(batch: readonly InputRow[]): Promise<Float32Array> {
    const { nextSentence, info } = this.description;
    if (nextSentence === null)
      throw new LensError(
        'no-nsp-head',
        `${info.id} has no next-sentence head in its file.`,
        'The included bert-base-cased has one.',
      );
    const parts: Part[] = [];
    for (const rows of this.fill.groups(batch)) {
      const members = rows.map((row) => batch[row] as InputRow);
      parts.push({ indices: rows, width: 2, data: floats(await this.run(members, nextSentence, [0])) });
    }
    const { data } = assemble(parts, batch.length);
    checkFinite(data, 2, info.id);
    return data;
  }

  async release(): Promise<void> {
    await this.session.release();
  }

  private async run(batch: readonly InputRow[], output: string, rows: readonly number[]): Promise<Tensor> {
    const feeds = this.fill.feeds(batch);
    if (this.gathersRows) feeds[ROWS_INPUT] = new Tensor('int64', BigInt64Array.from(rows, BigInt), [rows.length]);
    let results: InferenceSession.OnnxValueMapType;
    try {
      results = await this.session.run(feeds, [output]);
    } catch (thrown) {
      throw runtimeError(thrown, this.info.id);
    }
    return results[output] as Tensor;
  }
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

/** float32 values of a float32, float16 or float64 tensor. */
function floats(tensor: Tensor): Float32Array {
  if (tensor.type === 'float32') return tensor.data as Float32Array;
  if (tensor.type === 'float64') return Float32Array.from(tensor.data as Float64Array);
  if (tensor.type !== 'float16')
    throw new LensError(
      'model-unsupported',
      `Logits of type ${tensor.type} are not understood.`,
      'Export the model with float logits.',
    );
  // Newer Nodes have a Float16Array, others give the bits.
  const data = tensor.data as unknown as ArrayBufferView & ArrayLike<number>;
  return data instanceof Uint16Array ? Float32Array.from(data, halfToFloat) : Float32Array.from(data);
}

/** IEEE 754 half precision. */
function halfToFloat(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Infinity : NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** NaN is never shown as a number. Minus infinity is legitimate: some exports mask unused rows of the vocabulary. */
function checkFinite(values: Float32Array, width: number, model: string): void {
  const bad = values.findIndex((value) => Number.isNaN(value) || value === Infinity);
  if (bad >= 0)
    throw new LensError(
      'numeric',
      `${model} answered ${values[bad]} (logit ${bad % width} of row ${Math.floor(bad / width)}).`,
      'float16 exports overflow on some inputs; try a float32 export or another text.',
    );
}
