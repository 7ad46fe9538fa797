/**
 * How numbers and tokens are written, in the views as in hovers, the status bar and the command line: what two places say
 * of one thing must look the same. Pure. Full precision is for tooltips and exports.
 */
import { isNeuronScale, type HeadRef, type NeuronRef, type Scale } from './interventions';

const MINUS = '\u2212';

/** L7H9: layer and head, from 0. */
export const headName = ({ layer, head }: HeadRef): string => `L${layer}H${head}`;

/** L9N1234: layer and neuron, from 0. */
export const neuronName = ({ layer, neuron }: NeuronRef): string => `L${layer}N${neuron}`;

/** L7H9, L9N1234. */
export const partName = (part: Scale): string => (isNeuronScale(part) ? neuronName(part) : headName(part));

/** off, ×2. */
export const scaleText = (scale: number): string => (scale === 0 ? 'off' : `×${trueMinus(String(scale))}`);

/** L7H9 off, L9N1234 @6 Paris ×2: `token` is what stands at the place where it holds, if that is known. */
export const changeText = (change: Scale, token?: string): string =>
  [
    partName(change),
    ...(change.position === undefined ? [] : [`@${change.position}`, ...(token === undefined ? [] : [visible(token)])]),
    scaleText(change.scale),
  ].join(' ');

/** Of so many changes as a line of text can take. */
export function changesText(changes: readonly Scale[], most = 3): string {
  const shown = changes.slice(0, most).map((change) => changeText(change));
  const more = changes.length - shown.length;
  return [...shown, ...(more > 0 ? [`${count(more)} more`] : [])].join(', ');
}

/** The model's name where numbers are told: never alone when they are those of a changed one. */
export const modelName = (id: string, changes: readonly Scale[] = []): string =>
  changes.length === 0 ? id : `${id} with ${changesText(changes)}`;

/** `-0.94` → `−0.94`, whatever the number is written as. */
const trueMinus = (text: string): string => text.replaceAll('-', MINUS);

/** .391, 1.000: three places, no leading zero; tiny ones as 2e−7. */
export function probability(value: number): string {
  if (value > 0 && value < 0.0005) return trueMinus(value.toExponential(0));
  return value.toFixed(3).replace(/^0\./, '.');
}

/** A log-probability or difference with two places and a true minus sign. */
export const signed = (value: number, digits = 2): string =>
  trueMinus(value.toFixed(digits).replace(/^-(?=[0.]+$)/, ''));

/** A difference, always with its sign. */
export const difference = (value: number): string => {
  const text = signed(value);
  return text.startsWith(MINUS) ? text : `+${text}`;
};

/** Every digit, with a true minus sign. */
export const precise = (value: number): string => trueMinus(String(value));

/** Natural log-probability → surprisal. */
export const surprisalBits = (logprob: number): number => Math.abs(logprob / Math.LN2);
export const bits = (logprob: number): string => surprisalBits(logprob).toFixed(2);

export const nats = (value: number): string => value.toFixed(2);

/** 28996 → 28,996. Whole numbers; the first use of a locale's own way would cost 20 ms. */
export const count = (value: number): string => String(value).replace(/\B(?=(?:\d{3})+$)/g, ',');

/** A quantity with its noun: `1 token`, `2 tokens`. */
export const counted = (value: number, noun: string): string => `${count(value)} ${noun}${value === 1 ? '' : 's'}`;

/** Decimal units, as file managers show them. */
export function fileSize(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1_000 && unit < units.length - 1) {
    value /= 1_000;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toPrecision(3)} ${units[unit] ?? ''}`;
}

/** Two places, whole numbers from a thousand on; hardly a text has more than a million. */
export function perplexity(value: number): string {
  if (value < 1_000) return value.toFixed(2);
  return value < 1e6 ? count(Math.round(value)) : trueMinus(value.toExponential(2)).replace('+', '');
}

/** How much of a whole is done, in whole percent: 100 % only when all of it is. */
export const share = (fraction: number): string => `${Math.floor(100 * fraction)} %`;

/** 0.4231 → 42.3 % */
export const percent = (fraction: number, digits = 1): string => `${(100 * fraction).toFixed(digits)} %`;

/** A bar of `width` characters in eighths of one, for text of fixed width. */
export function textBar(fraction: number, width: number): string {
  const eighths = Math.round(Math.min(Math.max(fraction, 0), 1) * width * 8);
  const partial = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'][eighths % 8] ?? '';
  return `${'█'.repeat(Math.floor(eighths / 8))}${partial}`.padEnd(width);
}

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

/** The same, cut to `limit` characters. */
export function shortened(text: string, limit: number): string {
  const characters = Array.from(visible(text));
  return characters.length <= limit ? characters.join('') : `${characters.slice(0, limit - 1).join('')}…`;
}
