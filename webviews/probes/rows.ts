/** Which facts are shown, and in which order. Pure. */
import type { ProbeRow, RowStatus } from '../../extension/protocol/probesView';

export type Column = 'relation' | 'query' | 'answer' | 'rank' | 'logprob' | 'top';
export interface Order {
  /** Null: as they stand in their files. */
  column: Column | null;
  descending: boolean;
}
export interface Filter {
  /** Every word of it stands somewhere in the row, in any case. */
  text: string;
  relation: string;
  status: RowStatus | 'all';
}

/** Indices into `rows`. What has no such value comes last in both directions. */
export function visibleRows(rows: readonly ProbeRow[], { text, relation, status }: Filter, order: Order): number[] {
  const words = text
    .toLocaleLowerCase()
    .split(/\s+/u)
    .filter((word) => word !== '');
  const placeOf = (index: number): number => rows[index]?.place ?? rows.length;
  const inFiles = [...rows.keys()].sort((a, b) => placeOf(a) - placeOf(b));
  const shown = inFiles.filter((index) => {
    const row = rows[index] as ProbeRow;
    if (relation !== '' && row.relation !== relation) return false;
    if (status !== 'all' && row.status !== status) return false;
    if (words.length === 0) return true;
    const all = [row.relation, row.query, row.answer, ...row.top.map((each) => each.text)]
      .join(' ')
      .toLocaleLowerCase();
    return words.every((word) => all.includes(word));
  });
  const { column, descending } = order;
  if (column === null) return shown;
  const values = rows.map((row) => valueOf(row, column));
  return shown.sort((a, b) => {
    const [x, y] = [values[a] ?? null, values[b] ?? null];
    if (x === null || y === null) return Number(x === null) - Number(y === null);
    const order = typeof x === 'string' ? x.localeCompare(String(y)) : x - (y as number);
    return descending ? -order : order;
  });
}

function valueOf(row: ProbeRow, column: Column): string | number | null {
  if (column === 'top') return row.top[0]?.text.trim() ?? null;
  return row[column];
}
