/** One row or column of a picture of attention, as colours of words. Pure; nothing here looks at the whole picture. */
import type { AttentionMaps, AttentionUnit } from '../protocol/attention';
import type { AttentionLook } from '../protocol/attentionView';

export const ATTENTION_STEPS = 7;
/** Small weights are many, and should be seen. */
const GAMMA = 0.6;

export interface ColoredWord {
  unit: AttentionUnit;
  weight: number;
  /** 1…7; 0: too little to be coloured. */
  step: number;
}

/** What the word attends to (its row), or what attends to it (its column), in the first picture. */
export function weightsOf(maps: AttentionMaps, unit: number, direction: AttentionLook['direction']): Float32Array {
  const size = maps.units.length;
  if (direction === 'from') return maps.data.slice(unit * size, (unit + 1) * size);
  return Float32Array.from({ length: size }, (_, row) => maps.data[row * size + unit] ?? Number.NaN);
}

/** The strongest has the last step; the others by their part of it. */
export function attentionStep(weight: number, strongest: number): number {
  if (!(weight > 0) || !(strongest > 0)) return 0;
  return Math.round(ATTENTION_STEPS * Math.min(weight / strongest, 1) ** GAMMA);
}

/** The weight from which on a step is given. */
export const stepFrom = (step: number, strongest: number): number =>
  strongest * ((step - 0.5) / ATTENTION_STEPS) ** (1 / GAMMA);

/** The words of the texts; what stands in none of them (special tokens) is the rest. */
export function coloredWords(
  maps: AttentionMaps,
  unit: number,
  direction: AttentionLook['direction'],
): { words: ColoredWord[]; strongest: number; elsewhere: number } {
  const weights = weightsOf(maps, unit, direction);
  let strongest = 0;
  let elsewhere = 0;
  maps.units.forEach(({ range }, index) => {
    const weight = weights[index] ?? Number.NaN;
    if (range === null) elsewhere += weight;
    else strongest = Math.max(strongest, weight);
  });
  const words = maps.units.flatMap((each, index) => {
    const weight = weights[index] ?? Number.NaN;
    return each.range === null ? [] : [{ unit: each, weight, step: attentionStep(weight, strongest) }];
  });
  return { words, strongest, elsewhere };
}

/** Index of the unit at a place of a text, or of the one that ends there. */
export function unitAt(
  units: readonly AttentionUnit[],
  text: 0 | 1,
  { start, end }: { start: number; end: number },
): number {
  return units.findIndex(
    (unit) =>
      unit.text === text &&
      unit.range !== null &&
      (start === end
        ? unit.range.start <= start && start <= unit.range.end
        : unit.range.start < end && start < unit.range.end),
  );
}
