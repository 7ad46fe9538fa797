/** What a model is, found from its file, config and tokenizer without running it. */
import { dirname, relative } from 'node:path';
import { findAnatomy, type Anatomy } from '../anatomy/anatomy';
import { modelParts } from '../anatomy/parts';
import { summary } from '../anatomy/summary';
import { storedTensors, type StoredTensor } from '../anatomy/tensors';
import type { ModelAnatomy, ModelInfo, ModelKind, ModelRef, TensorInfo } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import { checkExternalData } from '../onnx/externalData';
import { Wires } from '../onnx/graph';
import { inlined } from '../onnx/inline';
import { readModel, type OnnxModel } from '../onnx/model';
import { loadTokenizer } from '../text/huggingFaceTokenizer';
import type { LensTokenizer } from '../text/tokenizer';
import { companionFolder, onnxPath, readCompanion } from './modelFolder';

export interface Description {
  path: string;
  model: OnnxModel;
  info: ModelInfo;
  tokenizer: LensTokenizer | null;
  /** Why there is no tokenizer. */
  tokenizerError: LensError | null;
  config: Record<string, unknown>;
  /** The config says what kind of model it is; otherwise the kind is a guess. */
  kindIsStated: boolean;
  /** Name of the output with logits [B,T,V]; null without a language-model head. */
  logits: string | null;
  anatomy: Anatomy;
  tensors: readonly StoredTensor[];
  /** Name of the output with next-sentence logits [B,2]. */
  nextSentence: string | null;
}

/** Without a stated limit; larger inputs make attention matrices that no editor waits for. */
const DEFAULT_MAX_TOKENS = 512;
const LONGEST_MAX_TOKENS = 4096;
const UNLIMITED = 1e9;

/** Reads header, config and tokenizer. Throws `model-not-found`, `model-invalid`, `external-data`; never loads weights. */
export async function describeModel(ref: ModelRef): Promise<Description> {
  const path = onnxPath(ref);
  const stored = readModel(path);
  const bytes = checkExternalData(stored, path);
  const model = inlined(stored);
  const config = readCompanion(ref, 'config.json') ?? {};
  const { tokenizer, error } = await tryTokenizer(companionFolder(ref, 'tokenizer.json'));
  const { inputs, outputs, nodes } = model.graph;
  const vocab = number(config, 'vocab_size') ?? tokenizer?.vocabSize ?? null;
  const logits = findLogits(outputs, vocab, config);
  const anatomy = findAnatomy(model, logits);
  const tensors = storedTensors(new Wires(model.graph));
  const nextSentence = outputs.find((output) => isNextSentence(output, config))?.name ?? null;
  const notes = [...ownNotes(ref)];
  const quantised = nodes.some(({ opType }) =>
    /^(DequantizeLinear|MatMulInteger|QLinear|MatMulNBits|DynamicQuantize)/.test(opType),
  );
  if (quantised && notes.length === 0)
    notes.push('The weights are quantised; numbers differ from the float model they were made from.');
  const vocabSize = logits === null ? null : (fixedVocab(outputs, logits) ?? vocab);
  if (tokenizer !== null && vocabSize !== null && tokenizer.vocabSize < vocabSize)
    notes.push(`The head has ${vocabSize} rows, the tokenizer ${tokenizer.vocabSize} tokens; the rest are unused.`);
  const kind = kindOf(config, outputs, inputs, logits, tokenizer);
  const inside = summary(anatomy);
  // Where the mask cannot be read off the graph, what the config says.
  if (isStated(config, inputs) && (kind === 'masked' || kind === 'causal')) inside.causal ??= kind === 'causal';
  const info: ModelInfo = {
    id: ref.id,
    folder: ref.folder,
    file: relative(ref.folder, path),
    kind,
    architecture: typeof config.model_type === 'string' ? config.model_type : null,
    inputs: inputs.map(tensorInfo),
    outputs: outputs.map(tensorInfo),
    bytes,
    parameters: tensors.reduce((sum, { parameters }) => sum + parameters, 0),
    opset: Object.fromEntries(model.opset),
    irVersion: model.irVersion,
    producer: model.producer,
    layers:
      anatomy.layers > 0 ? anatomy.layers : number(config, 'num_hidden_layers', 'n_layer', 'n_layers', 'num_layers'),
    heads: anatomy.heads ?? number(config, 'num_attention_heads', 'n_head', 'n_heads'),
    hiddenSize: anatomy.width ?? number(config, 'hidden_size', 'n_embd', 'dim', 'd_model'),
    anatomy: inside,
    tokenizer:
      tokenizer === null
        ? null
        : {
            type: tokenizer.type,
            vocabSize: tokenizer.vocabSize,
            maskToken: tokenizer.maskToken,
            lowercase: tokenizer.lowercase,
          },
    vocabSize,
    maxTokens: maxTokens(inputs, config, readCompanion(ref, 'tokenizer_config.json') ?? {}),
    hasNextSentenceHead: nextSentence !== null,
    notes,
  };
  return {
    path,
    model,
    info,
    tokenizer,
    tokenizerError: error,
    config,
    kindIsStated: isStated(config, inputs),
    logits,
    anatomy,
    tensors,
    nextSentence,
  };
}

async function tryTokenizer(folder: string): Promise<{ tokenizer: LensTokenizer | null; error: LensError | null }> {
  try {
    return { tokenizer: await loadTokenizer(folder), error: null };
  } catch (thrown) {
    return { tokenizer: null, error: LensError.from(thrown) };
  }
}

const tensorInfo = ({ name, type, shape }: TensorInfo): TensorInfo => ({ name, type, shape });

/** The first positive whole number under one of these keys. */
function number(config: Record<string, unknown>, ...keys: string[]): number | null {
  for (const key of keys) {
    const value = config[key];
    if (typeof value === 'number' && Number.isInteger(value) && value > 0) return value;
  }
  return null;
}

/** Notes that came with the model: `lens.json` beside config.json. */
function ownNotes(ref: ModelRef): string[] {
  const notes = readCompanion(ref, 'lens.json')?.notes;
  return Array.isArray(notes) ? notes.filter((note) => typeof note === 'string') : [];
}

/** Scores of labels have at most this share of the vocabulary's size; a head may have some rows fewer than the tokenizer has tokens. */
const MOST_LABELS = 0.5;

/** `logits` [B,T,V], under whatever name: three dimensions, the last of which is the vocabulary or unknown. */
function findLogits(
  outputs: readonly TensorInfo[],
  vocab: number | null,
  config: Record<string, unknown>,
): string | null {
  // A token classifier has logits of the same rank, but they are of labels.
  if (/For(Token|Sequence)Classification|ForQuestionAnswering/.test(architectureOf(config))) return null;
  const isLabels = (last: number | string | null | undefined): boolean =>
    typeof last === 'number' && vocab !== null && last < MOST_LABELS * vocab;
  const candidates = outputs.filter(({ name, shape }) => {
    const last = shape.at(-1);
    if (shape.length !== 3 || isLabels(last)) return false;
    return /logits|scores|predictions/i.test(name) || (vocab !== null && last === vocab);
  });
  // An exporter may leave the shape out: then the name decides.
  const unshaped = outputs.filter(
    ({ name, shape }) => shape.length === 0 && /^(prediction_)?logits$|lm_logits/i.test(name),
  );
  return (candidates[0] ?? unshaped[0])?.name ?? null;
}

const architectureOf = ({ architectures }: Record<string, unknown>): string =>
  Array.isArray(architectures) ? String(architectures[0]) : '';

function fixedVocab(outputs: readonly TensorInfo[], logits: string): number | null {
  const last = outputs.find(({ name }) => name === logits)?.shape.at(-1);
  return typeof last === 'number' ? last : null;
}

function isNextSentence({ name, shape }: TensorInfo, config: Record<string, unknown>): boolean {
  const architecture = architectureOf(config);
  if (shape.length > 0 && (shape.length !== 2 || (typeof shape[1] === 'number' && shape[1] !== 2))) return false;
  return (
    /seq_relationship|next_sentence|nsp/i.test(name) ||
    (name === 'logits' && architecture.endsWith('ForNextSentencePrediction'))
  );
}

const isStated = (config: Record<string, unknown>, inputs: readonly TensorInfo[]): boolean =>
  Array.isArray(config.architectures) || config.is_decoder === true || inputs.some(({ name }) => name.includes('past'));

function kindOf(
  config: Record<string, unknown>,
  outputs: readonly TensorInfo[],
  inputs: readonly TensorInfo[],
  logits: string | null,
  tokenizer: LensTokenizer | null,
): ModelKind {
  const architecture = architectureOf(config);
  if (inputs.some(({ name }) => /^(decoder_input_ids|encoder_hidden_states)$/.test(name))) return 'seq2seq';
  if (logits !== null) {
    if (/ForMaskedLM|ForPreTraining/.test(architecture)) return 'masked';
    if (/ForCausalLM|LMHeadModel/.test(architecture) || config.is_decoder === true) return 'causal';
    if (inputs.some(({ name }) => name.includes('past'))) return 'causal';
    return tokenizer?.maskToken == null ? 'causal' : 'masked';
  }
  if (outputs.some(({ name }) => /hidden_state|pooler|embedding/i.test(name))) return 'encoder';
  if (outputs.some(({ name, shape }) => /logits/i.test(name) && shape.length >= 2)) return 'classifier';
  return 'unknown';
}

/** Exports for devices fix the number of tokens. */
function fixedLength(inputs: readonly TensorInfo[]): number | null {
  const length = inputs.find(({ name }) => name === 'input_ids')?.shape[1];
  return typeof length === 'number' ? length : null;
}

/** Their position tables begin with rows for padding that no token uses. */
const COUNT_FROM_PADDING = new Set([
  'camembert',
  'data2vec-text',
  'ibert',
  'longformer',
  'mpnet',
  'roberta',
  'roberta-prelayernorm',
  'xlm-roberta',
  'xlm-roberta-xl',
  'xmod',
]);

/** The padding id after which a model of RoBERTa's family counts positions; null for models that count from 0. */
export function positionPadding(config: Record<string, unknown>): number | null {
  if (!COUNT_FROM_PADDING.has(String(config.model_type))) return null;
  return number(config, 'pad_token_id') ?? 1;
}

/** Longest input in tokens: the least of what graph, config and tokenizer say. */
function maxTokens(
  inputs: readonly TensorInfo[],
  config: Record<string, unknown>,
  tokenizerConfig: Record<string, unknown>,
): number {
  const positions = number(config, 'max_position_embeddings', 'n_positions', 'n_ctx', 'max_sequence_length');
  const padding = positionPadding(config);
  const ofTokenizer = number(tokenizerConfig, 'model_max_length');
  const limits = [
    fixedLength(inputs),
    positions === null || padding === null ? positions : positions - padding - 1,
    // A tokenizer that was saved without a limit says 1e30.
    ofTokenizer !== null && ofTokenizer < UNLIMITED ? ofTokenizer : null,
  ].filter((limit) => limit !== null);
  return limits.length === 0 ? DEFAULT_MAX_TOKENS : Math.min(...limits, LONGEST_MAX_TOKENS);
}

/** The description as people and programs see it. */
export async function inspectModel(ref: ModelRef): Promise<ModelInfo> {
  return (await describeModel(ref)).info;
}

/** The model as its parts. */
export async function anatomyOf(ref: ModelRef): Promise<ModelAnatomy> {
  const { info, anatomy, tensors, logits } = await describeModel(ref);
  return { info, ...modelParts(anatomy, tensors, { logits, bytes: info.bytes }) };
}

/** The folder against which external weights are resolved. */
export const weightsFolder = (path: string): string => dirname(path);
