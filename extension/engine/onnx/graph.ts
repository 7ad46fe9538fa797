/** A graph with its wires: who makes a value, who reads it, and what is constant. Immutable; changed graphs are made anew. */
import { LensError } from '../../protocol/errors';
import { inlineElements } from './elements';
import { attributes, outerValues, type Graph, type GraphNode, type Initializer } from './model';

/** Longest chain of constants that is followed (weights behind Identity, Cast, DequantizeLinear, Transpose). */
const MAX_CONSTANT_STEPS = 32;

export class Wires {
  /** In an order in which every value is made before it is read. */
  readonly nodes: readonly GraphNode[];
  private readonly makers = new Map<string, GraphNode>();
  private readonly readersOf = new Map<string, GraphNode[]>();
  private readonly constant = new Map<string, boolean>();

  /** Throws `model-invalid` for graphs with cycles or with two makers of one value. */
  constructor(readonly graph: Graph) {
    for (const node of graph.nodes) {
      for (const name of node.outputs) {
        if (name === '') continue;
        if (this.makers.has(name) || graph.initializers.has(name))
          throw new LensError(
            'model-invalid',
            `This is not a valid ONNX file: “${name}” is made twice.`,
            'Export the model again.',
          );
        this.makers.set(name, node);
      }
      for (const name of inputsOf(node)) {
        const readers = this.readersOf.get(name);
        if (readers === undefined) this.readersOf.set(name, [node]);
        else readers.push(node);
      }
    }
    this.nodes = this.sorted();
  }

  /** The node that makes a value; none for inputs, initializers and absent values. */
  maker(name: string | undefined): GraphNode | undefined {
    return name === undefined ? undefined : this.makers.get(name);
  }

  readers(name: string): readonly GraphNode[] {
    return this.readersOf.get(name) ?? [];
  }

  initializer(name: string | undefined): Initializer | undefined {
    if (name === undefined) return undefined;
    const own = this.graph.initializers.get(name);
    if (own !== undefined) return own;
    const maker = this.maker(name);
    if (maker?.opType === 'Identity') return this.initializer(maker.inputs[0]);
    return maker?.opType === 'Constant' ? attributes(maker).get('value')?.tensor : undefined;
  }

  /** The same for every text: an initializer, or computed from such only. An absent input is constant. */
  isConstant(name: string | undefined, depth = 0): boolean {
    if (name === undefined || name === '' || this.graph.initializers.has(name)) return true;
    const known = this.constant.get(name);
    if (known !== undefined) return known;
    const maker = this.maker(name);
    const result =
      maker !== undefined &&
      depth < MAX_CONSTANT_STEPS &&
      !maker.opType.startsWith('Random') &&
      !attributes(maker).has('body') &&
      !attributes(maker).has('then_branch') &&
      maker.inputs.every((input) => this.isConstant(input, depth + 1));
    this.constant.set(name, result);
    return result;
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
    const order: GraphNode[] = [];
    const waiting = new Map<GraphNode, number>();
    const ready: GraphNode[] = [];
    for (const node of this.graph.nodes) {
      const missing = inputsOf(node).filter((input) => this.makers.has(input)).length;
      if (missing === 0) ready.push(node);
      else waiting.set(node, missing);
    }
    // A queue, not a stack: nodes that are in order already stay in it.
    for (let at = 0; at < ready.length; at++) {
      const node = ready[at] as GraphNode;
      order.push(node);
      const made = new Set(node.outputs);
      for (const reader of new Set(node.outputs.flatMap((output) => (output === '' ? [] : this.readers(output))))) {
        const left = (waiting.get(reader) ?? 0) - inputsOf(reader).filter((input) => made.has(input)).length;
        waiting.set(reader, left);
        if (left === 0) ready.push(reader);
      }
    }
    if (order.length < this.graph.nodes.length)
      throw new LensError(
        'model-invalid',
        'This is not a valid ONNX file: its nodes form a cycle.',
        'Export the model again.',
      );
    return order;
  }
}

/** Everything that a node reads, each once; values that its subgraphs read included. */
const inputsOf = (node: GraphNode): string[] => [...new Set([...node.inputs, ...outerValues(node)])];
