// The normalisers of tokenizer.json, done so that every character still knows where it came from.
// Behaviour follows the reference library (one character or one cluster at a time, not the whole text).
import { LensError } from '../../protocol/errors';
import { Charsmap } from './charsmap';
import { asArray, asRecord, asString, type Json, type JsonRecord } from './json';
import { compilePattern } from './pattern';
import { UNKNOWN_DECOMPOSITIONS, UNKNOWN_FORMATS, UNKNOWN_MARKS, UNKNOWN_NONSPACING } from './referenceUnicode';
import type { Edit, SourceText } from './sourceText';

export type Normalizer = (text: SourceText) => SourceText;

/**
 * A character with all that may compose with it: marks, conjoining Jamo (also the compatibility forms, which decompose
 * to them) and half-width voicing marks. Lone ASCII is left out, since no normalisation form changes it.
 */
const JOINING = `(?:(?!${UNKNOWN_MARKS})[\\p{M}\\u1160-\\u11ff\\u3131-\\u318e\\ud7b0-\\ud7ff\\uff9e-\\uffdc])`;
const CLUSTER = new RegExp(`(?!${UNKNOWN_DECOMPOSITIONS})(?:[^]${JOINING}+|[^\\x00-\\x7f])`, 'gu');
/** As above for the character map, where joiners belong to the cluster, and nothing joins a control. */
const GRAPHEME =
  /\r\n|(?![\u200d\p{Grapheme_Extend}])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]|[^][\p{M}\p{Grapheme_Extend}\p{Emoji_Modifier}\u200d]*/gu;
/** All marks, with those that are letters since. */
const MARKS = new RegExp(`(?!${UNKNOWN_MARKS})[\\p{M}\\u1cf2\\u1cf3]`, 'gu');
/** The marks that BERT strips, with those that are spacing marks since. */
const ACCENTS = new RegExp(`(?!${UNKNOWN_NONSPACING})[\\p{Mn}\\u1734\\u{1171e}]`, 'gu');
/** What BERT removes first; tabs and line ends are white space. */
const CONTROLS = new RegExp(`(?![\\t\\n\\r])(?!${UNKNOWN_FORMATS})[\\p{Cc}\\p{Cf}\\p{Co}\\p{Cs}\\ufffd]`, 'gu');
const LONGEST_CLUSTER = 64;
const EDGES = { left: /^\p{White_Space}+/u, right: /\p{White_Space}+$/u };

/** Builds the normaliser that `config` (the `normalizer` of tokenizer.json) describes. */
export function createNormalizer(config: Json | undefined): Normalizer {
  if (config === null || config === undefined) return (text) => text;
  const record = asRecord(config, 'normalizer');
  const type = asString(record['type'], 'normalizer.type');
  switch (type) {
    case 'Sequence': {
      const steps = asArray(record['normalizers'], 'normalizer.normalizers').map(createNormalizer);
      return (text) => steps.reduce((result, step) => step(result), text);
    }
    case 'BertNormalizer':
      return bertNormalizer(record);
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return (text) => unicodeForm(text, type);
    case 'Lowercase':
      return lowercase;
    case 'StripAccents':
      return (text) => removeAll(text, MARKS);
    case 'Strip':
      return (text) => strip(text, record['strip_left'] !== false, record['strip_right'] !== false);
    case 'Prepend': {
      const content = asString(record['prepend'], 'normalizer.prepend');
      return (text) => (text.text === '' ? text : text.replace([{ from: 0, to: 0, with: content }]));
    }
    case 'Replace': {
      const pattern = compilePattern(record['pattern'], 'normalizer.pattern');
      const content = asString(record['content'], 'normalizer.content');
      return (text) => mapMatches(text, pattern, () => content);
    }
    case 'Precompiled': {
      const encoded = record['precompiled_charsmap'];
      if (typeof encoded !== 'string' || encoded === '') return (text) => text;
      const map = new Charsmap(encoded);
      return (text) => text.replace(charsmapEdits(text.text, map));
    }
    default:
      throw new LensError(
        'tokenizer',
        `The tokenizer uses the normaliser “${type}”, which is not supported.`,
        'Choose another model, or export the tokenizer with a supported normaliser.',
      );
  }
}

function* matchEdits(text: string, pattern: RegExp, change: (match: string) => string): Generator<Edit> {
  for (const match of text.matchAll(pattern)) {
    const changed = change(match[0]);
    if (changed !== match[0]) yield { from: match.index, to: match.index + match[0].length, with: changed };
  }
}

function mapMatches(text: SourceText, pattern: RegExp, change: (match: string) => string): SourceText {
  return text.replace(matchEdits(text.text, pattern, change));
}

function removeAll(text: SourceText, pattern: RegExp): SourceText {
  return mapMatches(text, pattern, () => '');
}

/** One character at a time: the reference knows no final sigma. */
function lowercase(text: SourceText): SourceText {
  return mapMatches(text, /[A-Z\u0080-\u{10ffff}]/gu, (character) => character.toLowerCase());
}

function strip(text: SourceText, left: boolean, right: boolean): SourceText {
  const from = left ? (EDGES.left.exec(text.text)?.[0].length ?? 0) : 0;
  let to = text.text.length;
  // Backwards by hand: a pattern anchored at the end would be tried at every run of spaces.
  while (right && to > from && EDGES.right.test(text.text.charAt(to - 1))) to--;
  const edits = [
    { from: 0, to: from, with: '' },
    { from: to, to: text.text.length, with: '' },
  ];
  // Cut by edits: a slice would no longer begin where the text begins, which `Metaspace` asks for.
  return text.replace(edits.filter((edit) => edit.to > edit.from));
}

function unicodeForm(text: SourceText, form: 'NFC' | 'NFD' | 'NFKC' | 'NFKD'): SourceText {
  return text.text.normalize(form) === text.text ? text : text.replace(formEdits(text.text, form));
}

function* formEdits(text: string, form: string): Generator<Edit> {
  for (const { 0: cluster, index } of text.matchAll(CLUSTER)) {
    if (cluster.normalize(form) === cluster) continue;
    let from = index;
    for (const part of partsThatCompose(cluster, form)) {
      yield { from, to: from + part.length, with: part.normalize(form) };
      from += part.length;
    }
  }
}

/** The smallest parts of a cluster that can be normalised alone, so that only what became one character shares a range. */
function partsThatCompose(cluster: string, form: string): string[] {
  // Text of people has short clusters; this one's parts would cost its length squared.
  if (cluster.length > LONGEST_CLUSTER) return [cluster];
  const parts: string[] = [];
  let from = 0;
  for (let at = 0; at < cluster.length; at += (cluster.codePointAt(at) ?? 0) > 0xffff ? 2 : 1) {
    if (at === from) continue;
    const [before, after] = [cluster.slice(from, at), cluster.slice(at)];
    if (before.normalize(form) + after.normalize(form) !== (before + after).normalize(form)) continue;
    parts.push(before);
    from = at;
  }
  return [...parts, cluster.slice(from)];
}

function* charsmapEdits(text: string, map: Charsmap): Generator<Edit> {
  for (const { 0: grapheme, index } of text.matchAll(GRAPHEME)) {
    let from = index;
    for (const [part, replacement] of map.replace(grapheme)) {
      if (part !== replacement) yield { from, to: from + part.length, with: replacement };
      from += part.length;
    }
  }
}

/** BERT's: control characters out, all white space to spaces, spaces around ideographs, accents off, lower case. */
function bertNormalizer(config: JsonRecord): Normalizer {
  const lower = config['lowercase'] === true;
  const accents = config['strip_accents'] ?? lower;
  return (text) => {
    let result = text;
    if (config['clean_text'] === true) {
      result = removeAll(result, CONTROLS);
      result = mapMatches(result, /\p{White_Space}/gu, () => ' ');
    }
    if (config['handle_chinese_chars'] === true) result = result.replace(spacesAround(result.text));
    if (accents === true) result = removeAll(unicodeForm(result, 'NFD'), ACCENTS);
    return lower ? lowercase(result) : result;
  };
}

/** The blocks of ideographs that BERT's tokenizer separates; the reference begins extension E 256 characters late. */
const IDEOGRAPH =
  /[\u4e00-\u9fff\u3400-\u4dbf\uf900-\ufaff\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\u{2f800}-\u{2fa1f}]/gu;

function* spacesAround(text: string): Generator<Edit> {
  for (const { 0: character, index } of text.matchAll(IDEOGRAPH)) {
    yield { from: index, to: index, with: ' ' };
    yield { from: index + character.length, to: index + character.length, with: ' ' };
  }
}
