/** Places for the nodes of a small graph: rows in the order of computation, each row centred. Pure. */
import type { PartNode } from '../../extension/protocol/engine';

export interface PlacedNode {
  /** Index into `ModelAnatomy.nodes`. */
  index: number;
  row: number;
  /** Place in its row. */
  column: number;
  x: number;
  y: number;
  width: number;
  /** Indices of the nodes before and after it. */
  before: number[];
  after: number[];
}

export interface Layout {
  nodes: PlacedNode[];
  rows: PlacedNode[][];
  width: number;
  height: number;
}

export const NODE_HEIGHT = 22;
const ROW_HEIGHT = 40;
const GAP = 10;
const MARGIN = 6;
const CHARACTER = 6.8;

const widthOf = (opType: string): number => Math.max(36, Math.ceil(opType.length * CHARACTER) + 14);

/** `indices`: the nodes to draw, in the order of execution. */
export function layout(all: readonly PartNode[], indices: readonly number[]): Layout {
  const nodes = connected(all, indices);
  const at = new Map(nodes.map((node) => [node.index, node]));
  const placed = (each: number): PlacedNode => at.get(each) as PlacedNode;
  for (const node of nodes) node.row = Math.max(-1, ...node.before.map((each) => placed(each).row)) + 1;
  // As late as it is needed: small computations of shapes stand beside their reader, not all in the first row.
  for (const node of [...nodes].reverse())
    if (node.after.length > 0) node.row = Math.min(...node.after.map((each) => placed(each).row)) - 1;
  const first = Math.min(...nodes.map(({ row }) => row));
  const rows: PlacedNode[][] = [];
  for (const node of nodes) {
    node.row -= first;
    (rows[node.row] ??= []).push(node);
  }
  const width = Math.max(0, ...rows.map(widthOfRow));
  for (const row of [...rows].reverse()) {
    // Above what reads it, so that edges cross less.
    const middle = ({ after }: PlacedNode): number =>
      after.length === 0 ? width / 2 : after.reduce((sum, each) => sum + centre(placed(each)), 0) / after.length;
    row.sort((a, b) => middle(a) - middle(b));
    let x = MARGIN + (width - widthOfRow(row)) / 2;
    row.forEach((node, column) => {
      Object.assign(node, { column, x, y: MARGIN + node.row * ROW_HEIGHT });
      x += node.width + GAP;
    });
  }
  const height = Math.max(0, (rows.length - 1) * ROW_HEIGHT + NODE_HEIGHT);
  return { nodes, rows, width: width + 2 * MARGIN, height: height + 2 * MARGIN };
}

/** The nodes with what is before and after them, not placed yet. */
function connected(all: readonly PartNode[], indices: readonly number[]): PlacedNode[] {
  const makers = new Map<string, PlacedNode>();
  return indices.map((index) => {
    const { opType, inputs, outputs } = all[index] as PartNode;
    const before = [...new Set(inputs.flatMap(({ name }) => makers.get(name) ?? []))];
    const node: PlacedNode = {
      ...{ index, row: 0, column: 0, x: 0, y: 0, width: widthOf(opType) },
      ...{ before: before.map((each) => each.index), after: [] },
    };
    for (const each of before) each.after.push(index);
    for (const { name } of outputs) makers.set(name, node);
    return node;
  });
}

const widthOfRow = (row: readonly PlacedNode[]): number =>
  row.reduce((sum, { width }) => sum + width, 0) + GAP * (row.length - 1);

export const centre = ({ x, width }: PlacedNode): number => x + width / 2;
