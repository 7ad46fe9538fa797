/** Numbers and tokens as people read them in the views. Pure. */

const MINUS = '\u2212';

/** .391, 1.000: three places, no leading zero; tiny ones as 2e−7. */
export function probability(value: number): string {
  if (value > 0 && value < 0.0005) return value.toExponential(0).replace('-', MINUS);
  return value.toFixed(3).replace(/^0\./, '.');
}

/** A log-probability or difference with two places and a true minus sign. */
export const signed = (value: number, digits = 2): string =>
  value
    .toFixed(digits)
    .replace(/^-(?=[0.]+$)/, '')
    .replace('-', MINUS);

/** A difference, always with its sign. */
export const difference = (value: number): string => {
  const text = signed(value);
  return text.startsWith(MINUS) ? text : `+${text}`;
};

/** Natural log-probability → surprisal in bits. */
export const bits = (logprob: number): string => Math.abs(logprob / Math.LN2).toFixed(2);

/** 28996 → 28,996 */
export const count = (value: number): string => value.toLocaleString('en-US');

/** The bytes that GPT-2's alphabet writes as printable characters. */
const BYTE_OF = new Map<string, number>();
{
  let next = 256;
  for (let byte = 0; byte < 256; byte++) {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
    BYTE_OF.set(String.fromCharCode(printable ? byte : next++), byte);
  }
}

/** A piece of the vocabulary without the marks of its tokenizer: `##ius` → ius, `Ġthe` → the, `▁the` → the, `Ã©` → é. */
export function readable(token: string): string {
  const bare = token
    .replace(/^##(?=.)/, '')
    .replace(/<\/w>$/, '')
    .replace(/^[Ġ▁](?=.)/, '');
  if (!/[^\x20-\x7e]/.test(bare)) return bare;
  const bytes = Array.from(bare, (character) => BYTE_OF.get(character));
  if (bytes.includes(undefined)) return visible(bare);
  try {
    return visible(new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(bytes as number[])));
  } catch {
    return bare; // a letter such as é as it is, or a part of a character
  }
}

/** White space and control characters as something that can be seen. */
export function visible(text: string): string {
  return text
    .replace(/\r?\n|\r/g, '⏎')
    .replaceAll('\t', '⇥')
    .replace(/^ +$/, (spaces) => '␣'.repeat(spaces.length))
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '·');
}
