/** Numbers and tokens as a person reads them. Pure. */

const MINUS = '\u2212';

/** 0.1734 → `17.3 %`, tiny ones as `< 0.1 %`. */
export function percent(probability: number): string {
  const value = probability * 100;
  if (value > 0 && value < 0.1) return '< 0.1 %';
  return `${value.toFixed(1)} %`;
}

export const signed = (value: number, digits = 2): string => value.toFixed(digits).replace('-', MINUS);

/** Natural logarithm of a probability → surprisal in bits. */
export const bits = (logprob: number): number => Math.abs(logprob / Math.LN2);

/** A bar of `width` cells in eighths of a cell. */
export function bar(fraction: number, width: number): string {
  const eighths = Math.round(Math.min(Math.max(fraction, 0), 1) * width * 8);
  const partial = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'][eighths % 8] ?? '';
  return `${'█'.repeat(Math.floor(eighths / 8))}${partial}`.padEnd(width);
}

/** On one line, with nothing invisible in it, cut to `limit` characters. */
export function oneLine(text: string, limit = 40): string {
  const line = text
    .replace(/[\r\n]+/g, '⏎')
    .replaceAll('\t', '⇥')
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '·');
  const characters = Array.from(line);
  return characters.length <= limit ? line : `${characters.slice(0, limit - 1).join('')}…`;
}

/** Upper ends of the steps of the surprisal scale, in bits; the last step is open. */
export const SURPRISAL_BITS = [1, 2, 4, 6, 9, 12] as const;

/** 0…6 */
export function surprisalStep(logprob: number): number {
  const value = bits(logprob);
  const step = SURPRISAL_BITS.findIndex((end) => value < end);
  return step < 0 ? SURPRISAL_BITS.length : step;
}
