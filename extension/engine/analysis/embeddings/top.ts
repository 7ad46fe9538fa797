/** The largest of many numbers. */

/** Indices of the largest numbers, largest first, ties by lower index. */
export function topIds(values: Float32Array, count: number): number[] {
  const found: number[] = [];
  const isBefore = (a: number, b: number): boolean => (values[a] as number) > (values[b] as number);
  for (let id = 0; id < values.length; id++) {
    if (values[id] === -Infinity) continue;
    if (found.length === count && !isBefore(id, found.at(-1) as number)) continue;
    let at = found.length;
    while (at > 0 && isBefore(id, found[at - 1] as number)) at--;
    found.splice(at, 0, id);
    if (found.length > count) found.pop();
  }
  return found;
}
