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
  const maker = new Map(
    indices.flatMap((index) => (all[index]?.outputs ?? []).map(({ name }) => [name, index] as const)),
  );
  const placed = new Map<number, PlacedNode>();
  const rows: PlacedNode[][] = [];
  for (const index of indices) {
    const { opType, inputs } = all[index] as PartNode;
    const before = [...new Set(inputs.flatMap(({ name }) => maker.get(name) ?? []))].filter((each) => placed.has(each));
    const row = Math.max(-1, ...before.map((each) => placed.get(each)?.row ?? 0)) + 1;
    const node = { index, row, column: 0, x: 0, y: 0, width: widthOf(opType), before, after: [] };
    placed.set(index, node);
    (rows[row] ??= []).push(node);
    for (const each of before) placed.get(each)?.after.push(index);
  }
  const widthOfRow = (row: readonly PlacedNode[]): number =>
    row.reduce((sum, { width }) => sum + width, 0) + GAP * (row.length - 1);
  const width = Math.max(0, ...rows.map(widthOfRow));
  for (const row of rows) {
    // Under what it reads, so that edges cross less.
    const middle = ({ before }: PlacedNode): number =>
      before.reduce((sum, each) => sum + centre(placed.get(each) as PlacedNode), 0) / before.length || 0;
    row.sort((a, b) => middle(a) - middle(b));
    let x = MARGIN + (width - widthOfRow(row)) / 2;
    row.forEach((node, column) => {
      Object.assign(node, { column, x, y: MARGIN + node.row * ROW_HEIGHT });
      x += node.width + GAP;
    });
  }
  const height = Math.max(0, (rows.length - 1) * ROW_HEIGHT + NODE_HEIGHT);
  return { nodes: [...placed.values()], rows, width: width + 2 * MARGIN, height: height + 2 * MARGIN };
}

export const centre = ({ x, width }: PlacedNode): number => x + width / 2;
