/** Seeded random numbers, so that a corruption can be made again. */

/** mulberry32 (Tommy Ettinger, public domain): 32 bits of state, uniform in [0, 1). Takes any seed modulo 2³². */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** An integer in [0, limit). */
export function randomBelow(random: () => number, limit: number): number {
  return Math.floor(random() * limit);
}

/** Fisher–Yates, in place. */
export function shuffle<T>(items: T[], random: () => number): T[] {
  for (let last = items.length - 1; last > 0; last--) {
    const other = randomBelow(random, last + 1);
    [items[last], items[other]] = [items[other] as T, items[last] as T];
  }
  return items;
}
