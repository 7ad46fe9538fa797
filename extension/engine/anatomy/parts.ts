/**
 * The model as its parts, with every node and every stored tensor of the file in one of them.
 *
 * Parts take nodes in the order of execution: each takes all that its output needs and no part before it took. Nodes are taken in
 * the graph with fused operators taken apart, and shown as the nodes of the file that they came from.
 */
import type { ModelAnatomy, ModelPart, PartHook, PartNode, PartWeight } from '../../protocol/engine';
import { evaluate } from '../onnx/evaluate';
import { Wires } from '../onnx/graph';
import type { GraphNode } from '../onnx/model';
import type { Anatomy } from './anatomy';
import { dataOf, type Block } from './blocks';
import { valuesBetween } from './columns';
import { rootWeight } from './ends';
import type { Linear } from './linears';
import type { Norm } from './norms';
import { imaginedInputs } from './subject';
import { roleAt, type StoredTensor } from './tensors';

/** A part before it is known what is in it. */
interface Plan {
  id: string;
  label: string;
  /** Values that it makes, besides those of its children. */
  makes: readonly string[];
  /** Values that it reads from others, besides the places of the residual stream. */
  reads?: readonly string[];
  children?: readonly Plan[];
  /** Takes nothing when there is an attention in it, which then was not understood. */
  simple?: boolean;
  notes?: readonly string[];
}

const MASK = 'positions';
const REST = 'rest';
const GRAPH = 'graph';

export function modelParts(
  anatomy: Anatomy,
  tensors: readonly StoredTensor[],
  { logits, bytes }: { logits: string | null; bytes: number },
): Pick<ModelAnatomy, 'parts' | 'nodes'> {
  const { wires, lowerings, model } = anatomy.subject;
  const stored = new Wires(model.graph);
  const indexOf = new Map(stored.nodes.map((node, index) => [node, index]));
  const origin = new Map([...lowerings].flatMap(([node, parts]) => parts.map((part) => [part, node] as const)));
  const hookParts = new Map<string, string>();
  const plans = [
    ...embeddingPlans(anatomy),
    { id: MASK, label: 'Mask and positions', makes: [] },
    ...anatomy.blocks.map((block, layer) => blockPlan(anatomy, block, layer, hookParts)),
    ...headPlans(anatomy, logits, hookParts),
    { id: REST, label: 'Not in any part', makes: [], notes: anatomy.problems },
  ];
  const owners = ownersOf(anatomy, plans);
  const weights = weightsOf(anatomy, tensors, plans, owners);
  const nodesOf = new Map<string, Set<number>>();
  for (const node of wires.nodes) {
    const index = indexOf.get(origin.get(node) ?? node);
    const id = owners.get(node) ?? REST;
    if (index !== undefined) nodesOf.set(id, (nodesOf.get(id) ?? new Set()).add(index));
  }
  // A fused node that some part computes is not lost because another of its outputs is.
  const rest = nodesOf.get(REST);
  for (const [id, indices] of nodesOf) if (id !== REST) for (const index of indices) rest?.delete(index);
  const shapes = symbolicShapes(anatomy, stored);
  const hooks = hooksOf(anatomy, hookParts, plans, shapes);
  const build = (plan: Plan): ModelPart => {
    const children = (plan.children ?? []).map(build).filter((part) => !isEmpty(part));
    const own = weights.get(plan.id) ?? { weights: [], constants: { count: 0, bytes: 0 } };
    const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
    return {
      id: plan.id,
      label: plan.label,
      parameters: sum([...own.weights, ...children].map(({ parameters }) => parameters)),
      bytes: sum([...own.weights, own.constants, ...children].map((each) => each.bytes)),
      storage: storageOf([...own.weights, ...children.flatMap(allWeights)]),
      ...own,
      hooks: hooks.present.get(plan.id) ?? [],
      missing: hooks.missing.get(plan.id) ?? [],
      notes: [...(plan.notes ?? [])],
      nodes: [...(nodesOf.get(plan.id) ?? [])].sort((a, b) => a - b),
      children,
    };
  };
  const parts = plans.map(build).filter((part) => !isEmpty(part));
  const remaining = bytes - parts.reduce((sum, part) => sum + part.bytes, 0);
  return { parts: [...parts, graphPart(remaining)], nodes: stored.nodes.map((node) => partNode(stored, node, shapes)) };
}

/** What of the files is no tensor. */
const graphPart = (bytes: number): ModelPart => ({
  ...{ id: GRAPH, label: 'The graph itself', parameters: 0, bytes, storage: [], weights: [], hooks: [], missing: [] },
  constants: { count: 0, bytes: 0 },
  notes: ['What the files hold besides tensors: nodes, names, shapes and padding.'],
  ...{ nodes: [], children: [] },
});

const isEmpty = ({ nodes, weights, hooks, missing, constants, children, notes }: ModelPart): boolean =>
  [nodes, weights, hooks, missing, children, notes].every(({ length }) => length === 0) && constants.count === 0;

const allWeights = ({ weights, children }: ModelPart): PartWeight[] => [...weights, ...children.flatMap(allWeights)];

/** Most bytes first; scales and zero points go without saying. */
function storageOf(weights: readonly PartWeight[]): string[] {
  const bytes = new Map<string, number>();
  for (const { role, storage, bytes: size } of weights)
    if (role === 'weight' || role === 'bias') bytes.set(storage, (bytes.get(storage) ?? 0) + size);
  return [...bytes].sort(([, a], [, b]) => b - a).map(([storage]) => storage);
}

// Plans

function embeddingPlans({ embeddings, blocks, norms, subject: { wires } }: Anatomy): Plan[] {
  const [first] = blocks;
  if (first === undefined) return [];
  const lookups = (table: string): string[] =>
    wires
      .readers(table)
      .filter(({ opType }) => opType.startsWith('Gather'))
      .flatMap(({ outputs }) => outputs);
  const table = (id: string, label: string, name: string | null): Plan[] =>
    name === null ? [] : [{ id: `embed.${id}`, label, makes: lookups(name) }];
  const norm = norms.byOutput.get(first.residPre);
  return [
    {
      id: 'embed',
      label: 'Embeddings',
      makes: [first.residPre, ...(norm === undefined ? [] : [norm.input])],
      children: [
        ...table('word', 'Words', embeddings.word),
        ...table('position', 'Positions', embeddings.position),
        ...table('type', 'Token types', embeddings.type),
        ...(norm === undefined ? [] : [{ id: 'embed.ln', label: 'Norm', makes: [norm.output], reads: [norm.input] }]),
      ],
    },
  ];
}

const LETTERS = { q: 'query', k: 'key', v: 'value' } as const;

function blockPlan(anatomy: Anatomy, block: Block, layer: number, hookParts: Map<string, string>): Plan {
  const id = `blocks.${layer}`;
  const { norms, subject } = anatomy;
  const { attention, ffn } = block;
  const place = (part: string, ...hooks: string[]): void => {
    for (const hook of hooks) hookParts.set(`${id}.${hook}`, `${id}.${part}`);
  };
  const linear = (part: string, label: string, { output, data }: Linear): Plan => ({
    id: `${id}.${part}`,
    label,
    makes: [output],
    reads: [data],
  });
  const norm = (part: string, label: string, found: Norm | undefined): Plan[] =>
    found === undefined ? [] : [{ id: `${id}.${part}`, label, makes: [found.output], reads: [found.input] }];
  const after = (value: string | null): Norm | undefined =>
    value === null ? undefined : norms.byInput.get(value)?.[0];
  const before = (each: Linear | undefined): Norm | undefined =>
    each === undefined ? undefined : norms.byOutput.get(dataOf(subject, each));
  // One matrix may make queries, keys and values.
  const projections = new Map<Linear, (keyof typeof LETTERS)[]>();
  for (const [letter, part] of [
    ['q', attention.query],
    ['k', attention.key],
    ['v', attention.value],
  ] as const)
    if (typeof part !== 'string') projections.set(part.linear, [...(projections.get(part.linear) ?? []), letter]);
    else place('attn', `attn.hook_${letter}`);
  const projected = [...projections].map(([each, letters]): Plan => {
    const part = `attn.${letters.join('')}`;
    place(part, ...letters.map((letter) => `attn.hook_${letter}`));
    const names = letters.map((letter) => LETTERS[letter]).join(', ');
    const label = `${names[0]?.toUpperCase() ?? ''}${names.slice(1)}`;
    return linear(part, letters.length === 1 ? label : `${label} (one matrix)`, each);
  });
  place('attn.core', 'attn.hook_rot_q', 'attn.hook_rot_k', 'attn.hook_attn_scores', 'attn.hook_pattern', 'attn.hook_z');
  place('attn', 'hook_attn_out');
  const headNorm = (part: string, label: string, letter: 'query' | 'key'): Plan[] => {
    const factor = attention[letter];
    const scoring = subject.wires.maker(attention.scoring)?.inputs[letter === 'query' ? 0 : 1];
    if (typeof factor === 'string' || scoring === undefined) return [];
    const between = valuesBetween(subject, factor.linear.output, scoring);
    const found = [...between].map((value) => norms.byOutput.get(value)).find((each) => each !== undefined);
    return found === undefined ? [] : [{ id: `${id}.attn.${part}`, label, makes: [found.output] }];
  };
  const post = block.norm === 'post';
  return {
    id,
    label: `Block ${layer}`,
    // The sums too: a norm takes only what comes after its input.
    makes: streamOf(block),
    notes:
      anatomy.tiedLayers && layer > 0
        ? ['Has the weights of block 0. Where the export stored them again, they are counted again.']
        : [],
    children: [
      ...(post ? [] : norm('ln1', 'Norm before attention', before([...projections.keys()][0]))),
      {
        id: `${id}.attn`,
        label: 'Attention',
        // Where rows are flattened before a product, that belongs here.
        makes: [block.attnOut, ...[...projections.keys()].map(({ data }) => data)],
        children: [
          ...projected,
          ...headNorm('q_norm', 'Norm of queries', 'query'),
          ...headNorm('k_norm', 'Norm of keys', 'key'),
          { id: `${id}.attn.core`, label: 'Scores and mixing', makes: [attention.z] },
          linear('attn.o', 'Output projection', attention.output),
          ...norm('ln1_post', 'Norm of its output', post ? undefined : after(attention.output.output)),
        ],
      },
      ...(post
        ? norm('ln1', 'Norm after attention', after(block.residMid))
        : norm('ln2', 'Norm before feed-forward', typeof ffn?.pre === 'object' ? before(ffn.pre.linear) : undefined)),
      ...(ffn === null
        ? []
        : [
            ffnPlan(
              id,
              block,
              ffn,
              linear,
              norm('ln2_post', 'Norm of its output', post ? undefined : after(ffn.out.output)),
              place,
            ),
          ]),
      ...(post
        ? norm('ln2', 'Norm after feed-forward', block.residPost === null ? undefined : after(block.residPost))
        : []),
    ],
  };
}

function ffnPlan(
  id: string,
  block: Block,
  ffn: NonNullable<Block['ffn']>,
  linear: (part: string, label: string, of: Linear) => Plan,
  norms: readonly Plan[],
  place: (part: string, ...hooks: string[]) => void,
): Plan {
  const { pre, up } = ffn;
  const first: Plan[] = [];
  if (typeof pre === 'string') place('mlp', 'mlp.hook_pre');
  else if (up === null) {
    first.push(linear('mlp.up', 'Up projection', pre.linear));
    place('mlp.up', 'mlp.hook_pre');
  } else if (up.linear === pre.linear) {
    first.push(linear('mlp.gate_up', 'Gate and up (one matrix)', pre.linear));
    place('mlp.gate_up', 'mlp.hook_pre', 'mlp.hook_pre_linear');
  } else {
    first.push(linear('mlp.gate', 'Gate projection', pre.linear), linear('mlp.up', 'Up projection', up.linear));
    place('mlp.gate', 'mlp.hook_pre');
    place('mlp.up', 'mlp.hook_pre_linear');
  }
  place('mlp.act', 'mlp.hook_post');
  place('mlp', 'hook_mlp_out');
  return {
    id: `${id}.mlp`,
    label: 'Feed-forward network',
    makes: [block.mlpOut, typeof pre === 'string' ? null : pre.linear.data, up?.linear.data ?? null].filter(
      (value) => value !== null,
    ),
    children: [
      ...first,
      { id: `${id}.mlp.act`, label: `Activation (${ffn.activation})`, makes: [ffn.post] },
      linear('mlp.down', 'Down projection', ffn.out),
      ...norms,
    ],
  };
}

function headPlans(anatomy: Anatomy, logits: string | null, hookParts: Map<string, string>): Plan[] {
  const { finalNorm, norms, unembedding, subject } = anatomy;
  const plans: Plan[] = [];
  if (finalNorm !== null)
    plans.push({
      id: 'ln_final',
      label: 'Final norm',
      makes: [finalNorm],
      reads: [norms.byOutput.get(finalNorm)?.input ?? ''],
    });
  if (logits !== null) {
    hookParts.set('unembed.logits', 'unembed');
    const matrix = unembedding?.linear;
    plans.push({
      id: 'unembed',
      label: 'Language-model head',
      makes: [logits],
      simple: true,
      notes: unembedding?.tied === true ? ['Uses the table of the word embeddings.'] : [],
      children:
        matrix === undefined
          ? []
          : [
              { id: 'unembed.transform', label: 'Transform', makes: [matrix.data], simple: true },
              { id: 'unembed.matrix', label: 'Unembedding', makes: [matrix.output], reads: [matrix.data] },
            ],
    });
  }
  for (const { name } of subject.model.graph.outputs) {
    if (name === logits) continue;
    hookParts.set(name, `output.${name}`);
    plans.push({ id: `output.${name}`, label: `Output ${name}`, makes: [name], simple: true });
  }
  return plans;
}

// Nodes

function ownersOf(anatomy: Anatomy, plans: readonly Plan[]): Map<GraphNode, string> {
  const { wires } = anatomy.subject;
  const owners = new Map<GraphNode, string>();
  const stream = new Set(anatomy.blocks.flatMap(streamOf));
  if (anatomy.finalNorm !== null) stream.add(anatomy.finalNorm);
  const side = sideNodes(anatomy, stream).flatMap(({ outputs }) => outputs);
  const take = ({ id, makes: own, reads = [], children = [], simple }: Plan): void => {
    children.forEach(take);
    const makes = id === MASK ? side : own;
    const ends = new Set([...stream, ...reads]);
    const taken = nodesBehind(
      wires,
      makes,
      (value) => ends.has(value),
      (node) => owners.has(node),
    );
    if (simple === true && [...taken].some(({ opType }) => opType === 'Softmax')) return;
    for (const node of taken) owners.set(node, id);
  };
  plans.forEach(take);
  return owners;
}

const streamOf = (block: Block): string[] =>
  [block.residPre, block.residMid, block.residPost, block.mlpIn, block.normalizedResidPost].filter(
    (value) => value !== null,
  );

/** All nodes that values need, up to given values and nodes. What the values themselves are is no end. */
function nodesBehind(
  wires: Wires,
  values: readonly string[],
  isEnd: (value: string) => boolean,
  isTaken: (node: GraphNode) => boolean,
): Set<GraphNode> {
  const nodes = new Set<GraphNode>();
  const seen = new Set(values);
  for (const value of seen) {
    const maker = wires.maker(value);
    if (maker === undefined || isTaken(maker)) continue;
    nodes.add(maker);
    for (const input of maker.inputs) if (!isEnd(input)) seen.add(input);
  }
  return nodes;
}

/** What blocks read besides the residual stream (masks, angles of rotary positions): needed by several, or not made from the stream. */
function sideNodes({ blocks, subject: { wires } }: Anatomy, stream: ReadonlySet<string>): GraphNode[] {
  const [first] = blocks;
  if (first === undefined) return [];
  const fromStream = new Set([first.residPre]);
  for (const value of fromStream)
    for (const { outputs } of wires.readers(value)) for (const output of outputs) fromStream.add(output);
  const blockOf = new Map(blocks.flatMap((block, layer) => linearsOf(block).map(({ output }) => [output, layer])));
  const uses = new Map<GraphNode, number>();
  blocks.forEach((block, layer) => {
    const ends = (value: string): boolean => stream.has(value) || (blockOf.get(value) ?? layer) !== layer;
    const targets = streamOf(block).slice(1);
    for (const node of nodesBehind(wires, targets, ends, () => false)) uses.set(node, (uses.get(node) ?? 0) + 1);
  });
  return [...uses]
    .filter(([{ outputs }, count]) => {
      const [output = ''] = outputs;
      return !wires.isConstant(output) && (count > 1 || !fromStream.has(output));
    })
    .map(([node]) => node);
}

function linearsOf({ attention: { query, key, value, output }, ffn }: Block): Linear[] {
  const factors = [query, key, value, ffn?.pre, ffn?.up].flatMap((part) =>
    part == null || typeof part === 'string' ? [] : [part.linear],
  );
  return [...factors, output, ...(ffn === null ? [] : [ffn.out])];
}

// Tensors

type OwnTensors = Pick<ModelPart, 'weights' | 'constants'>;

/** The tensors that the nodes of each part read; each is counted in the first part that does. */
function weightsOf(
  { embeddings, subject: { wires } }: Anatomy,
  tensors: readonly StoredTensor[],
  plans: readonly Plan[],
  owners: ReadonlyMap<GraphNode, string>,
): Map<string, OwnTensors> {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const order = plans.flatMap(idsOf);
  const reads = new Map(order.map((id) => [id, new Map<string, PartWeight['role']>()]));
  // A fused lookup reads all tables in one node.
  const tables = new Map<string, string>();
  for (const kind of ['word', 'position', 'type'] as const) {
    const table = embeddings[kind];
    if (table === null) continue;
    const root = rootWeight(wires, table);
    tables.set(root, `embed.${kind}`);
    reads.get(`embed.${kind}`)?.set(root, 'weight');
  }
  for (const node of wires.nodes) {
    if (node.outputs.every((output) => wires.isConstant(output))) continue;
    const id = owners.get(node) ?? REST;
    const found = reads.get(id);
    node.inputs.forEach((input, at) => {
      for (const [name, role] of constantsBehind(wires, byName, input, roleAt({ node, at })))
        if (!(tables.has(name) && id.startsWith('embed'))) found?.set(name, found.get(name) ?? role);
    });
  }
  const counted = new Map<string, string>();
  for (const id of order) for (const name of reads.get(id)?.keys() ?? []) counted.set(name, counted.get(name) ?? id);
  const unread = tensors.filter(({ name }) => !counted.has(name)).map(({ name }) => name);
  for (const name of unread) {
    reads.get(REST)?.set(name, 'weight');
    counted.set(name, REST);
  }
  const result = new Map<string, OwnTensors>();
  for (const [id, names] of reads) {
    const own: OwnTensors = { weights: [], constants: { count: 0, bytes: 0 } };
    for (const [name, role] of names) {
      const tensor = byName.get(name) as StoredTensor;
      const owner = counted.get(tensor.alias ?? name) ?? id;
      if (tensor.kind !== 'constant') own.weights.push(partWeight(tensor, role, owner === id ? null : owner));
      else if (owner === id) {
        own.constants.count += 1;
        own.constants.bytes += tensor.bytes;
      }
    }
    result.set(id, own);
  }
  return result;
}

const idsOf = ({ id, children = [] }: Plan): string[] => [...children.flatMap(idsOf), id];

function partWeight(
  { name, type, shape, storage, kind, parameters, bytes }: StoredTensor,
  role: PartWeight['role'],
  sharedWith: string | null,
): PartWeight {
  const counted = sharedWith === null;
  return {
    ...{ name, role: kind === 'weight' || kind === 'constant' ? role : kind, type, shape, storage, sharedWith },
    parameters: counted ? parameters : 0,
    bytes: counted ? bytes : 0,
  };
}

/** Stored tensors from which a constant is computed, with their roles. */
function constantsBehind(
  wires: Wires,
  tensors: ReadonlyMap<string, StoredTensor>,
  value: string,
  role: PartWeight['role'],
): Map<string, PartWeight['role']> {
  const found = new Map<string, PartWeight['role']>();
  const seen = new Map([[value, role]]);
  for (const [name, as] of seen) {
    if (tensors.has(name)) found.set(name, as);
    if (!wires.isConstant(name)) continue;
    const maker = wires.maker(name);
    maker?.inputs.forEach((input, at) => {
      const own = roleAt({ node: maker, at });
      if (!seen.has(input)) seen.set(input, own === 'scale' || own === 'zero point' ? own : as);
    });
  }
  return found;
}

// Hooks and shapes

function hooksOf(
  { hooks, blocks }: Anatomy,
  hookParts: ReadonlyMap<string, string>,
  plans: readonly Plan[],
  shapes: Shapes,
): { present: Map<string, PartHook[]>; missing: Map<string, ModelPart['missing']> } {
  const ids = new Set(plans.flatMap(idsOf));
  const partOf = (hook: string): string => {
    if (hook === 'hook_embed') return ids.has('embed') ? 'embed' : REST;
    const block = /^blocks\.\d+/.exec(hook)?.[0] ?? REST;
    return hookParts.get(hook) ?? (ids.has(block) ? block : REST);
  };
  const grouped = <T>(entries: readonly (readonly [string, T])[]): Map<string, T[]> => {
    const groups = new Map<string, T[]>();
    for (const [id, entry] of entries) groups.set(id, [...(groups.get(id) ?? []), entry]);
    return groups;
  };
  return {
    present: grouped(
      [...hooks.sites].map(([name, { value, layout }]) => {
        const shape =
          layout.kind === 'tokens'
            ? ['B', 'T', ...layout.rest]
            : layout.kind === 'pairs'
              ? ['B', layout.heads, 'T', 'T']
              : layout.kind === 'factor'
                ? ['B', 'T', layout.heads, layout.width]
                : (shapes(value) ?? []);
        return [partOf(name), { name, shape }] as const;
      }),
    ),
    missing: grouped([
      ...[...hooks.missing].map(([hook, why]) => [partOf(hook), { hook, why }] as const),
      ...blocks.flatMap(({ parallel }, layer) =>
        parallel
          ? [
              [
                `blocks.${layer}`,
                {
                  hook: `blocks.${layer}.hook_resid_mid`,
                  why: 'attention and feed-forward network read the same stream, so there is nothing between them',
                },
              ] as const,
            ]
          : [],
      ),
    ]),
  };
}

type Shapes = (value: string) => (number | string)[] | null;

/** Two imagined runs; a dimension that differs between them moves with the input. */
const RUNS = [
  { B: 2, T: 3 },
  { B: 5, T: 7 },
] as const;

function symbolicShapes({ subject: { model, opset } }: Anatomy, wires: Wires): Shapes {
  const [small, large] = RUNS.map(({ B, T }) => evaluate(wires, imaginedInputs(model.graph.inputs, B, T), opset));
  return (value) => {
    const [a, b] = [small?.get(value)?.dims, large?.get(value)?.dims];
    if (a === undefined || b?.length !== a.length) return null;
    return a.map((size, axis) => symbol(size, b[axis] as number));
  };
}

/** `T`, `12·B`, `B·T` …; `?` for what is none of these. */
function symbol(small: number, large: number): number | string {
  if (small === large) return small;
  const [a, b] = RUNS;
  for (const [name, inSmall, inLarge] of [
    ['B', a.B, b.B],
    ['T', a.T, b.T],
    ['B·T', a.B * a.T, b.B * b.T],
    ['T·T', a.T * a.T, b.T * b.T],
  ] as const) {
    const factor = small / inSmall;
    if (Number.isInteger(factor) && factor * inLarge === large) return factor === 1 ? name : `${factor}·${name}`;
  }
  return '?';
}

function partNode(wires: Wires, { name, opType, domain, inputs, outputs }: GraphNode, shapes: Shapes): PartNode {
  const value = (each: string): { name: string; shape: (number | string)[] | null } => ({
    name: each,
    shape: shapes(each),
  });
  const named = (names: readonly string[]): string[] => names.filter((each) => each !== '');
  return {
    ...{ name, opType, domain },
    inputs: named(inputs).map(value),
    outputs: named(outputs).map(value),
    constant: outputs.every((output) => wires.isConstant(output)),
  };
}
