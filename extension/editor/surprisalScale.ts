/** The steps by which surprisal is coloured. Pure. */
import { surprisalBits } from '../protocol/format';

/** Upper ends of the steps, in bits; the last step is open. */
export const SURPRISAL_BITS = [1, 2, 4, 6, 9, 12] as const;

/** 0…6 */
export function surprisalStep(logprob: number): number {
  const value = surprisalBits(logprob);
  const step = SURPRISAL_BITS.findIndex((end) => value < end);
  return step < 0 ? SURPRISAL_BITS.length : step;
}
