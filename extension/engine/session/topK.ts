/** The largest of many numbers. */

/** Orders (value, index) pairs: larger value first, ties by lower index. */
export function isBefore(values: Float32Array, a: number, b: number): boolean {
  const difference = (values[a] as number) - (values[b] as number);
  return difference > 0 || (difference === 0 && a < b);
}

/** Indices of the k largest values, largest first, ties by lower index. `accept` leaves indices out. */
export function topK(values: Float32Array, k: number, accept?: (index: number) => boolean): number[] {
  // A heap with the worst kept index on top: one comparison for almost every entry of a large vocabulary.
  const heap: number[] = [];
  const worse = (a: number, b: number): boolean => isBefore(values, heap[b] as number, heap[a] as number);
  const swap = (a: number, b: number): void => {
    [heap[a], heap[b]] = [heap[b] as number, heap[a] as number];
  };
  const sinkRoot = (): void => {
    for (let parent = 0; ;) {
      let child = 2 * parent + 1;
      if (child >= heap.length) return;
      if (child + 1 < heap.length && worse(child + 1, child)) child++;
      if (!worse(child, parent)) return;
      swap(child, parent);
      parent = child;
    }
  };
  if (k <= 0) return [];
  // The least that is kept, once there are k. Indices rise, so one that equals it comes after it.
  let least = -Infinity;
  for (let index = 0; index < values.length; index++) {
    if (heap.length === k) {
      if (!((values[index] as number) > least) || accept?.(index) === false) continue;
      heap[0] = index;
      sinkRoot();
      least = values[heap[0]] as number;
    } else if (accept?.(index) !== false) {
      heap.push(index);
      for (let child = heap.length - 1; child > 0;) {
        const parent = (child - 1) >> 1;
        if (!worse(child, parent)) break;
        swap(child, parent);
        child = parent;
      }
      least = values[heap[0] as number] as number;
    }
  }
  return heap.sort((a, b) => (isBefore(values, a, b) ? -1 : 1));
}
