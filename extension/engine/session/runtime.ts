/** What every session of a model shares: options, the file of its weights, and errors in words for people. */
import { realpathSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { InferenceSession, type Tensor } from 'onnxruntime-node';
import type { EngineSettings } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import { halfToFloat } from '../onnx/elements';
import { weightsFolder, type Description } from './describe';

/**
 * The file that holds the inline weights. A download cache has links in its folders, which the runtime does not follow; so it gets
 * the file itself. Weights in files of their own were checked to be beside the link.
 */
export function weightsFile({ path, model }: Description): string {
  const external = [...model.graph.initializers.values()].some(({ place }) => place.kind === 'external');
  return external || model.hiddenExternal.length > 0 ? path : realpathSync(path);
}

export function headShape({ config, info }: Description): { heads: number | null; headWidth: number | null } {
  const positive = (value: unknown): number | null => (typeof value === 'number' && value > 0 ? value : null);
  const { heads, hiddenSize } = info;
  return {
    heads: positive(config.num_key_value_heads) ?? heads,
    headWidth: positive(config.head_dim) ?? (heads !== null && hiddenSize !== null ? hiddenSize / heads : null),
  };
}

/**
 * A session for one run is made without repacking weights for speed: they stay pages of the file. One of many for large batches keeps no
 * memory between its runs.
 */
export type Purpose = 'many runs' | 'one run' | 'large batches';

export const threadsOf = ({ threads }: EngineSettings): number =>
  threads > 0 ? threads : Math.max(1, Math.floor(availableParallelism() / 2));

function sessionOptions(path: string, settings: EngineSettings, purpose: Purpose): InferenceSession.SessionOptions {
  return {
    // Alone: in a longer list the runtime drops a provider it does not have with a line on the console and takes the next. It
    // still puts single operators that a provider lacks on the CPU.
    executionProviders: [settings.executionProvider],
    intraOpNumThreads: threadsOf(settings),
    enableCpuMemArena: purpose !== 'large batches',
    // Errors are thrown; those of a test run are expected.
    logSeverityLevel: purpose === 'one run' ? 4 : 3,
    // The typings say "WebAssembly only"; Node honours it, with strings as values.
    extra: {
      session: {
        model_external_initializers_file_folder_path: weightsFolder(path),
        // It would win over packed weights, which are computed in float32 too.
        ...(settings.quantised === 'exact' && !settings.lowMemory ? { disable_quant_qdq: '1' } : {}),
        ...(purpose === 'one run' ? { disable_prepacking: '1' } : {}),
        ...(settings.lowMemory ? { qdq_matmulnbits_accuracy_level: '1' } : {}),
      },
    },
  };
}

/** A session on a rewritten model whose weights lie in `weights`. Throws `model-*`, `memory`. */
export async function createSession(
  model: Uint8Array,
  weights: string,
  settings: EngineSettings,
  id: string,
  purpose: Purpose = 'many runs',
): Promise<InferenceSession> {
  try {
    return await InferenceSession.create(model, sessionOptions(weights, settings, purpose));
  } catch (thrown) {
    if (settings.executionProvider !== 'cpu')
      throw new LensError(
        'model-unsupported',
        `${id} could not be opened with the execution provider ${settings.executionProvider}: ${String(thrown)}`,
        'Set onnxLens.engine.executionProvider to cpu; packages of this extension hold the CPU provider only.',
        { cause: thrown },
      );
    throw runtimeError(thrown, id);
  }
}

/** The runtime's exceptions are strings for developers. */
export function runtimeError(thrown: unknown, model: string): LensError {
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

/** float32 values of a float32, float16 or float64 tensor. */
export function floats(tensor: Tensor): Float32Array {
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
