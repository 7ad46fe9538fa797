/**
 * Calls of model-local functions and branches that are always taken, put in place: one flat graph of operators. Exporters write
 * functions for modules that repeat, and merged decoders choose by an input whether there is a cache; we always give a cache, which
 * may be empty.
 */
import { LensError } from '../../protocol/errors';
import {
  attributeFields,
  hasSubgraph,
  newNode,
  readFunction,
  renamed,
  subgraph,
  type FunctionBody,
  type GraphNode,
  type Initializer,
  type OnnxModel,
} from './model';

/** Functions may call functions. */
const MAX_DEPTH = 32;
/** More than any real model has, calls counted; and more bytes of nodes. */
const MAX_NODES = 500_000;
const MAX_BYTES = 512 * 2 ** 20;

/** The input by which merged decoders choose. */
const CACHE_SWITCH = /^use_cache_branch$/;

/** The model with its calls put in place. Throws `model-invalid` for calls without an end. */
export function inlined(model: OnnxModel): OnnxModel {
  const functions = new Map<string, FunctionBody>();
  for (const field of model.rest) {
    const body = readFunction(field);
    if (body !== null) functions.set(`${body.domain}/${body.name}`, body);
  }
  const initializers = new Map(model.graph.initializers);
  const nodes: GraphNode[] = [];
  let put = 0;
  let bytes = 0;
  const push = (node: GraphNode, depth: number): void => {
    // Functions that call each other make much out of little, or call without end and do nothing.
    bytes += node.bytes.length;
    if (++put > MAX_NODES || bytes > MAX_BYTES)
      throw new LensError(
        'model-invalid',
        `This model has more than ${MAX_NODES} operators, or more than ${MAX_BYTES / 2 ** 20} MB of them.`,
        'Export the model again.',
      );
    const body = functions.get(`${node.domain}/${node.opType}`);
    const isCall = body !== undefined && sameOpsets(model, body) && !body.nodes.some(hasSubgraph);
    if (isCall && depth >= MAX_DEPTH)
      throw new LensError(
        'model-invalid',
        `The function ${body.name} of this model calls itself.`,
        'Export the model again.',
      );
    if (isCall) for (const inner of bodyOf(node, body)) push(inner, depth + 1);
    else if (isSwitch(model, node)) for (const inner of takenBranch(node, initializers)) push(inner, depth + 1);
    else nodes.push(node);
  };
  for (const node of model.graph.nodes) push(node, 0);
  if (nodes.length === model.graph.nodes.length && functions.size === 0) return model;
  return { ...model, graph: { ...model.graph, nodes, initializers } };
}

/** A body that means other versions of operators cannot be put among ours. */
const sameOpsets = (model: OnnxModel, body: FunctionBody): boolean =>
  [...body.opset].every(([domain, version]) => {
    const own = model.opset.get(domain);
    return own === undefined || own === version;
  });

/** The nodes of a call: inputs and outputs under the caller's names, inner values under names of their own. */
function bodyOf(call: GraphNode, body: FunctionBody): GraphNode[] {
  const prefix = `${call.outputs.find((name) => name !== '') ?? body.name}/`;
  const names = new Map<string, string>();
  const inputs = new Map(body.inputs.map((name, index) => [name, call.inputs[index] ?? '']));
  for (const [name, given] of inputs) names.set(name, given);
  body.outputs.forEach((name, index) => names.set(name, orOwn(call.outputs[index], `${prefix}${name}`)));
  const given = new Map([...body.defaults, ...callAttributes(call)]);
  // An output that is an input needs a node to carry it.
  const carried = body.outputs.flatMap((name, index) => {
    const input = inputs.get(name);
    if (input === undefined) return [];
    names.set(name, input);
    const output = call.outputs[index];
    return output === undefined || output === '' ? [] : [newNode('Identity', [input], [output])];
  });
  const nameOf = (name: string): string => (name === '' ? '' : (names.get(name) ?? `${prefix}${name}`));
  return [...body.nodes.map((node) => renamed(node, nameOf, given)), ...carried];
}

/** Outputs that a call leaves out still have a name inside. */
const orOwn = (given: string | undefined, own: string): string => (given === undefined || given === '' ? own : given);

/** Encoded attributes of a call, by name. */
const callAttributes = (call: GraphNode): Map<string, Uint8Array> => new Map(attributeFields(call));

const isSwitch = (model: OnnxModel, node: GraphNode): boolean =>
  node.opType === 'If' &&
  node.inputs[0] !== undefined &&
  CACHE_SWITCH.test(node.inputs[0]) &&
  model.graph.inputs.some(({ name }) => name === node.inputs[0]);

/** The branch with a cache; its weights are added to those of the graph. */
function takenBranch(node: GraphNode, initializers: Map<string, Initializer>): GraphNode[] {
  const graph = subgraph(node, 'then_branch');
  for (const [name, initializer] of graph.initializers) initializers.set(name, initializer);
  const outputs = graph.outputs.map(({ name }, index) => newNode('Identity', [name], [node.outputs[index] ?? '']));
  return [...graph.nodes, ...outputs];
}
