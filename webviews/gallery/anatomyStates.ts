/** Made-up but plausible anatomies: the included BERT, a Llama with grouped keys, and a model that hides something. */
import type {
  AnatomySummary,
  ModelAnatomy,
  ModelPart,
  PartHook,
  PartNode,
  PartWeight,
} from '../../extension/protocol/engine';
import type { AnatomyState } from '../../extension/protocol/view';

const part = (id: string, label: string, more: Partial<ModelPart> = {}): ModelPart => {
  const children = more.children ?? [];
  const own = more.weights ?? [];
  const sum = (key: 'parameters' | 'bytes'): number =>
    [...own, ...children].reduce((total, each) => total + each[key], 0);
  const storage = [...new Set([...own.map((weight) => weight.storage), ...children.flatMap((each) => each.storage)])];
  return {
    ...{ id, label, parameters: sum('parameters'), bytes: sum('bytes'), storage, weights: [] },
    ...{ constants: { count: 0, bytes: 0 }, hooks: [], missing: [], notes: [], nodes: [], children },
    ...more,
  };
};

const BYTES: Record<string, number> = { float32: 4, 'int8 per channel': 1, '4-bit blocks of 32': 0.5 };
const weight = (name: string, shape: number[], storage: string, more: Partial<PartWeight> = {}): PartWeight => {
  const parameters = shape.reduce((product, size) => product * size, 1);
  const bytes = Math.ceil(parameters * (BYTES[storage] ?? 4));
  const role = name.endsWith('bias') ? 'bias' : 'weight';
  return { name, role, type: storage, shape, storage, parameters, bytes, sharedWith: null, ...more };
};

const hook = (name: string, ...shape: (number | string)[]): PartHook => ({ name, shape: ['B', 'T', ...shape] });

/** A chain of operators with a fork, as an attention has it. */
const OPERATORS: [opType: string, ...inputs: string[]][] = [
  ['MatMul', 'x'],
  ['MatMul', 'x'],
  ['MatMul', 'x'],
  ['Reshape', '0'],
  ['Reshape', '1'],
  ['Reshape', '2'],
  ['Transpose', '3'],
  ['Transpose', '4'],
  ['Transpose', '5'],
  ['MatMul', '6', '7'],
  ['Add', '9', 'mask'],
  ['Softmax', '10'],
  ['MatMul', '11', '8'],
  ['Transpose', '12'],
  ['Reshape', '13'],
  ['MatMul', '14'],
  ['Add', '15', 'x'],
  ['LayerNormalization', '16'],
];
const NODES: PartNode[] = [
  ...OPERATORS.map(([opType, ...inputs], index): PartNode => ({
    name: `/bert/encoder/layer.0/attention/self/${opType}_${index}`,
    ...{ opType, domain: '', constant: false },
    inputs: inputs.map((name) => ({ name, shape: ['B', 'T', 768] })),
    outputs: [{ name: String(index), shape: index === 9 || index === 11 ? ['B', 12, 'T', 'T'] : ['B', 'T', 768] }],
  })),
  { name: 'axes', opType: 'Constant', domain: '', constant: true, inputs: [], outputs: [{ name: 'c', shape: [1] }] },
];
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, index) => from + index);

function bertBlock(layer: number, storage: string, hides: boolean): ModelPart {
  const id = `blocks.${layer}`;
  const name = `bert.encoder.layer.${layer}`;
  const first = layer === 0;
  const linear = (
    at: string,
    label: string,
    path: string,
    shape: [number, number],
    more: Partial<ModelPart>,
  ): ModelPart =>
    part(`${id}.${at}`, label, {
      weights: [
        weight(`${name}.${path}.weight`, shape, storage),
        weight(`${name}.${path}.bias`, [shape[1]], 'float32'),
      ],
      ...more,
    });
  const norm = (at: string, label: string, path: string): ModelPart =>
    part(`${id}.${at}`, label, {
      weights: ['weight', 'bias'].map((each) => weight(`${name}.${path}.LayerNorm.${each}`, [768], 'float32')),
    });
  const self = (letter: 'q' | 'k' | 'v', label: string, node: number): ModelPart =>
    linear(`attn.${letter}`, label, `attention.self.${label.toLowerCase()}`, [768, 768], {
      hooks: hides && letter === 'q' ? [] : [hook(`${id}.attn.hook_${letter}`, 12, 64)],
      missing:
        hides && letter === 'q'
          ? [{ hook: `${id}.attn.hook_q`, why: 'the query could not be followed from its projection to the heads' }]
          : [],
      nodes: first ? [node, node + 3, node + 6] : [],
    });
  return part(id, `Block ${layer}`, {
    hooks: [hook(`${id}.hook_resid_pre`, 768), hook(`${id}.hook_resid_post`, 768)],
    nodes: first ? [16] : [],
    children: [
      part(`${id}.attn`, 'Attention', {
        hooks: [hook(`${id}.hook_attn_out`, 768)],
        children: [
          self('q', 'Query', 0),
          self('k', 'Key', 1),
          self('v', 'Value', 2),
          part(`${id}.attn.core`, 'Scores and mixing', {
            hooks: [{ name: `${id}.attn.hook_pattern`, shape: ['B', 12, 'T', 'T'] }, hook(`${id}.attn.hook_z`, 12, 64)],
            constants: { count: 4, bytes: 124 },
            nodes: first ? [...range(9, 15), 18] : [],
          }),
          linear('attn.o', 'Output projection', 'attention.output.dense', [768, 768], { nodes: first ? [15] : [] }),
        ],
      }),
      norm('ln1', 'Norm after attention', 'attention.output'),
      part(`${id}.mlp`, 'Feed-forward network', {
        children: [
          linear('mlp.up', 'Up projection', 'intermediate.dense', [768, 3072], {
            hooks: [hook(`${id}.mlp.hook_pre`, 3072)],
          }),
          part(`${id}.mlp.act`, 'Activation (gelu)', { hooks: [hook(`${id}.mlp.hook_post`, 3072)] }),
          linear('mlp.down', 'Down projection', 'output.dense', [3072, 768], {}),
        ],
      }),
      norm('ln2', 'Norm after feed-forward', 'output'),
    ],
  });
}

const GRAPH = part('graph', 'The graph itself', { bytes: 1_061_451 });

function anatomyOf(
  parts: ModelPart[],
  summary: Partial<AnatomySummary>,
  info: Partial<ModelAnatomy['info']>,
): ModelAnatomy {
  const parameters = parts.reduce((sum, each) => sum + each.parameters, 0);
  const bytes = parts.reduce((sum, each) => sum + each.bytes, 0);
  return {
    parts,
    nodes: NODES,
    info: {
      ...{ id: 'bert-base-cased', folder: '/models/bert-base-cased', file: 'model.onnx', kind: 'masked' },
      ...{ architecture: 'bert', inputs: [], outputs: [], bytes, parameters, opset: { '': 17 }, irVersion: 8 },
      ...{ producer: 'pytorch', layers: 12, heads: 12, hiddenSize: 768, tokenizer: null, vocabSize: 28996 },
      ...{ maxTokens: 512, hasNextSentenceHead: false, notes: [] },
      anatomy: {
        ...{ layers: 12, heads: 12, keyHeads: 12, headWidth: 64, width: 768, ffnWidth: 3072, activation: 'gelu' },
        ...{ gated: false, parallel: false, norm: 'post', positions: 'learned', causal: false, windows: [] },
        ...{ tiedLayers: false, tiedEmbeddings: true, hooks: [], missing: [], problems: [] },
        ...summary,
      },
      ...info,
    },
  };
}

const bert = (hides: boolean): ModelAnatomy =>
  anatomyOf(
    [
      part('embed', 'Embeddings', {
        hooks: [hook('hook_embed', 768)],
        children: [
          part('embed.word', 'Words', {
            weights: [weight('bert.embeddings.word_embeddings.weight', [28996, 768], 'int8 per channel')],
          }),
          part('embed.position', 'Positions', {
            weights: [weight('bert.embeddings.position_embeddings.weight', [512, 768], 'int8 per channel')],
          }),
        ],
      }),
      part('positions', 'Mask and positions', { constants: { count: 9, bytes: 224 } }),
      ...range(0, 12).map((layer) => bertBlock(layer, 'int8 per channel', hides && layer < 2)),
      part('unembed', 'Language-model head', {
        notes: ['Uses the table of the word embeddings.'],
        hooks: [hook('unembed.logits', 28996)],
        weights: [
          weight('bert.embeddings.word_embeddings.weight', [28996, 768], 'int8 per channel', {
            ...{ parameters: 0, bytes: 0, sharedWith: 'embed.word' },
          }),
          weight('cls.predictions.bias', [28996], 'float32'),
        ],
      }),
      GRAPH,
    ],
    {
      problems: hides
        ? ['MultiHeadAttention layer_11: this form of the fused operator is not known; its inside cannot be seen']
        : [],
    },
    { notes: ['Weights are int8 with one float32 scale per channel; computed exactly in float32.'] },
  );

function llamaBlock(layer: number): ModelPart {
  const id = `blocks.${layer}`;
  const storage = '4-bit blocks of 32';
  const linear = (at: string, label: string, path: string, shape: number[], ...hooks: PartHook[]): ModelPart =>
    part(`${id}.${at}`, label, { weights: [weight(`model.layers.${layer}.${path}.weight`, shape, storage)], hooks });
  return part(id, `Block ${layer}`, {
    nodes: layer === 0 ? range(0, NODES.length) : [],
    children: [
      part(`${id}.attn`, 'Attention', {
        children: [
          linear('attn.q', 'Query', 'self_attn.q_proj', [2048, 2048], hook(`${id}.attn.hook_q`, 32, 64)),
          linear('attn.k', 'Key', 'self_attn.k_proj', [2048, 512], hook(`${id}.attn.hook_k`, 8, 64)),
          linear('attn.v', 'Value', 'self_attn.v_proj', [2048, 512], hook(`${id}.attn.hook_v`, 8, 64)),
          linear('attn.o', 'Output projection', 'self_attn.o_proj', [2048, 2048]),
        ],
      }),
      part(`${id}.mlp`, 'Feed-forward network', {
        children: [
          linear('mlp.gate', 'Gate projection', 'mlp.gate_proj', [2048, 8192]),
          linear('mlp.up', 'Up projection', 'mlp.up_proj', [2048, 8192]),
          linear('mlp.down', 'Down projection', 'mlp.down_proj', [8192, 2048]),
        ],
      }),
    ],
  });
}

const LLAMA = anatomyOf(
  [
    part('embed', 'Embeddings', {
      weights: [weight('model.embed_tokens.weight', [128256, 2048], '4-bit blocks of 32')],
    }),
    ...range(0, 16).map(llamaBlock),
    part('unembed', 'Language-model head', { notes: ['Uses the table of the word embeddings.'] }),
    GRAPH,
  ],
  {
    ...{
      layers: 16,
      heads: 32,
      keyHeads: 8,
      width: 2048,
      ffnWidth: 8192,
      activation: 'silu',
      gated: true,
      norm: 'pre',
    },
    ...{ positions: 'rotary', causal: true, windows: [4096, null] },
  },
  { id: 'llama-3.2-1b', architecture: 'llama', kind: 'causal', vocabSize: 128256, producer: 'onnxruntime-genai' },
);

const READY: AnatomyState = {
  status: 'ready',
  model: { id: 'bert-base-cased', kind: 'masked', state: 'ready' },
  anatomy: bert(false),
  place: null,
};
const HOSTILE = '<img src=x onerror=alert(1)>\u202e';

export const ANATOMY_STATES: Record<string, AnatomyState> = {
  ready: READY,
  llama: {
    ...READY,
    model: { id: 'llama-3.2-1b', kind: 'causal', state: 'not-loaded' },
    anatomy: LLAMA,
    place: { selected: 'blocks.0.mlp', expanded: ['blocks.0', 'blocks.0.attn', 'blocks.0.mlp'] },
  },
  missing: { ...READY, anatomy: bert(true) },
  error: {
    ...READY,
    status: 'error',
    anatomy: null,
    error: {
      code: 'model-invalid',
      message: 'This is not a valid ONNX file: it has no graph or no version.',
      hint: 'Export or download the model again.',
    },
  },
  empty: { ...READY, status: 'empty', anatomy: null },
  loading: { ...READY, status: 'loading', anatomy: null, progress: { message: 'Reading the model…' } },
  hostile: {
    ...READY,
    model: { id: HOSTILE, kind: 'unknown', state: 'ready' },
    anatomy: {
      ...LLAMA,
      nodes: NODES.map((node) => ({ ...node, name: HOSTILE })),
      parts: [part(HOSTILE, HOSTILE, { weights: [weight(HOSTILE, [2], HOSTILE)], notes: [HOSTILE], nodes: [0, 1] })],
    },
  },
};
