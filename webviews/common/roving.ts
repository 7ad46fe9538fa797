/** One tab stop for many things: the arrow keys, Home and End lead from one to the next and stop at the ends. Pure. */

/** The index to which a key leads; undefined for other keys. */
export function destination(key: string, from: number, length: number): number | undefined {
  const last = length - 1;
  const to = {
    ArrowRight: from + 1,
    ArrowDown: from + 1,
    ArrowLeft: from - 1,
    ArrowUp: from - 1,
    Home: 0,
    End: last,
  }[key];
  return to === undefined ? undefined : Math.max(0, Math.min(last, to));
}
