/** Long work in steps, so that a program can do something else meanwhile. */
import { setImmediate as otherWork } from 'node:timers/promises';

/** Long work that can be left and gone on with at each `yield`. */
export type Steps<T> = Generator<void, T, void>;

export function atOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

/** In turns of so many milliseconds, between which other work is done. */
const TURN_MS = 8;

export async function inTurns<T>(steps: Steps<T>): Promise<T> {
  for (;;) {
    for (const began = performance.now(); performance.now() - began < TURN_MS;) {
      const { done, value } = steps.next();
      if (done === true) return value;
    }
    await otherWork();
  }
}
