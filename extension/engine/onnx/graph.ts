/** A graph with its wires: who makes a value, who reads it, and what is constant. Immutable; changed graphs are made anew. */
import { LensError } from '../../protocol/errors';
import { inlineElements } from './elements';
import { attributes, hasSubgraph, outerValues, type Graph, type GraphNode, type Initializer } from './model';

/**
 * How often the wires may be looked at, at least and for each node: many times what the search of a real graph needs, and an end for
 * graphs that were tangled on purpose, whatever the search that meets them.
 */
const MIN_LOOKS = 5_000_000;
const LOOKS_PER_NODE = 2_000;

const invalid = (what: string): LensError =>
  new LensError('model-invalid', `This is not a valid ONNX file: ${what}.`, 'Export the model again.');

export class Wires {
  /** In an order in which every value is made before it is read. */
  readonly nodes: readonly GraphNode[];
  private readonly makers = new Map<string, GraphNode>();
  private readonly readersOf = new Map<string, GraphNode[]>();
  /** Made by nodes, and the same for every text. */
  private readonly constants = new Set<string>();
  private readonly positions = new Map<GraphNode, number>();
  private looksLeft: number;

  /** Throws `model-invalid` for graphs with cycles or with two makers of one value. */
  constructor(readonly graph: Graph) {
    this.looksLeft = MIN_LOOKS + LOOKS_PER_NODE * graph.nodes.length;
    const given = new Set([...graph.inputs.map(({ name }) => name), ...graph.initializers.keys()]);
    for (const node of graph.nodes) {
      for (const name of node.outputs) {
        if (name === '') continue;
        if (this.makers.has(name) || given.has(name)) throw invalid(`“${name}” is made twice`);
        this.makers.set(name, node);
      }
      for (const name of inputsOf(node)) {
        const readers = this.readersOf.get(name);
        if (readers === undefined) this.readersOf.set(name, [node]);
        else readers.push(node);
      }
    }
    this.nodes = this.sorted();
    this.nodes.forEach((node, position) => {
      this.positions.set(node, position);
      if (isDetermined(node) && node.inputs.every((input) => this.isConstant(input)))
        for (const output of node.outputs) this.constants.add(output);
    });
  }

  /** The node that makes a value; none for inputs, initializers and absent values. Throws `model-unsupported` for tangled graphs. */
  maker(name: string | undefined): GraphNode | undefined {
    this.look(1);
    return name === undefined ? undefined : this.makers.get(name);
  }

  /** Throws `model-unsupported` for tangled graphs. */
  readers(name: string): readonly GraphNode[] {
    const readers = this.readersOf.get(name) ?? [];
    this.look(1 + readers.length);
    return readers;
  }

  /** Where a value is made in the order of `nodes`; -1 for those that no node makes. */
  position(name: string): number {
    const maker = this.makers.get(name);
    return maker === undefined ? -1 : (this.positions.get(maker) ?? -1);
  }

  private look(times: number): void {
    this.looksLeft -= times;
    if (this.looksLeft < 0)
      throw new LensError(
        'model-unsupported',
        'The graph of this model is more tangled than that of any transformer.',
        'Export the model again, without optimisations.',
      );
  }

  initializer(name: string | undefined): Initializer | undefined {
    const root = this.origin(name ?? '', (maker) => maker.opType === 'Identity');
    const own = this.graph.initializers.get(root);
    if (own !== undefined) return own;
    const maker = this.maker(root);
    return maker?.opType === 'Constant' ? attributes(maker).get('value')?.tensor : undefined;
  }

  /** Back through the first inputs of nodes that `passes` lets through, to what they were made from. */
  origin(name: string, passes: (maker: GraphNode) => boolean): string {
    for (;;) {
      const maker = this.maker(name);
      const [input] = maker?.inputs ?? [];
      if (maker === undefined || input === undefined || !passes(maker)) return name;
      name = input;
    }
  }

  /** The same for every text: an initializer, or computed from such only. An absent input is constant. */
  isConstant(name: string | undefined): boolean {
    return name === undefined || name === '' || this.graph.initializers.has(name) || this.constants.has(name);
  }

  /** Elements of a small constant that stands in the graph. */
  elements(name: string | undefined): Float64Array | null {
    const maker = this.maker(name);
    if (maker?.opType === 'Constant') {
      const options = attributes(maker);
      const single = options.get('value_int')?.int ?? options.get('value_float')?.float;
      if (single !== undefined) return Float64Array.of(single);
      const list = options.get('value_ints')?.ints ?? options.get('value_floats')?.floats;
      if (list !== undefined) return Float64Array.from(list);
    }
    const tensor = this.initializer(name);
    return tensor === undefined ? null : inlineElements(tensor);
  }

  private sorted(): GraphNode[] {
    const waiting = new Map<GraphNode, number>();
    for (const readers of [...this.makers.keys()].map((name) => this.readersOf.get(name) ?? []))
      for (const reader of readers) waiting.set(reader, (waiting.get(reader) ?? 0) + 1);
    const order = this.graph.nodes.filter((node) => !waiting.has(node));
    // A queue, not a stack: nodes that are in order already stay in it.
    for (const node of order)
      for (const output of node.outputs)
        for (const reader of output === '' ? [] : (this.readersOf.get(output) ?? [])) {
          const left = (waiting.get(reader) ?? 0) - 1;
          waiting.set(reader, left);
          if (left === 0) order.push(reader);
        }
    if (order.length < this.graph.nodes.length) throw invalid('its nodes form a cycle');
    return order;
  }
}

/** Everything that a node reads, each once; values that its subgraphs read included, absent inputs not. */
const inputsOf = (node: GraphNode): string[] =>
  [...new Set([...node.inputs, ...outerValues(node)])].filter((name) => name !== '');

/** Gives the same for the same inputs. */
const isDetermined = (node: GraphNode): boolean => !node.opType.startsWith('Random') && !hasSubgraph(node);

/** Values from `start` on, each once, nearest first; `next` gives those one step farther. */
export function* nearestFirst(
  start: string,
  next: (name: string) => Iterable<string>,
  steps = Infinity,
): Generator<string> {
  const seen = new Set([start]);
  let frontier = [start];
  for (let step = 0; step <= steps && frontier.length > 0; step++) {
    yield* frontier;
    const farther = frontier;
    frontier = [];
    if (step === steps) break;
    for (const name of farther)
      for (const each of next(name))
        if (!seen.has(each)) {
          seen.add(each);
          frontier.push(each);
        }
  }
}
