// What the models of tokenizer.json have in common: they cut one word into pieces of the vocabulary.
// Every model says how much of the word each piece covers, also for unknown pieces.
import { asId, asRecord, asString, wrong, type JsonRecord } from './json';

/** A piece of the word, units [from, to) of it; pieces are in order, and several may share a place (bytes). */
export interface Piece {
  id: number;
  from: number;
  to: number;
}

export interface SubwordModel {
  readonly type: string;
  readonly vocabulary: ReadonlyMap<string, number>;
  /** In front of pieces that continue a word (`##`), or empty. */
  readonly continuingPrefix: string;
  /** At the end of pieces that end a word (`</w>`), or empty. */
  readonly endOfWord: string;
  split(word: string): Piece[];
}

export function readVocabulary(config: JsonRecord): Map<string, number> {
  const entries = Object.entries(asRecord(config['vocab'], 'model.vocab'));
  if (entries.length === 0) throw wrong('model.vocab', 'at least one entry');
  return new Map(entries.map(([token, id]) => [token, asId(id, `model.vocab.${token.slice(0, 40)}`)]));
}

export function unknownId(config: JsonRecord, vocabulary: ReadonlyMap<string, number>): number | null {
  const token = config['unk_token'];
  if (token === null || token === undefined) return null;
  return vocabulary.get(asString(token, 'model.unk_token')) ?? null;
}

/** The ids of `<0x00>` … `<0xFF>`, when the vocabulary has all of them. */
export function byteIds(vocabulary: ReadonlyMap<string, number>): number[] | null {
  const ids: number[] = [];
  for (let byte = 0; byte < 256; byte++) {
    const id = vocabulary.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`);
    if (id === undefined) return null;
    ids.push(id);
  }
  return ids;
}

const encoder = new TextEncoder();

export function bytePieces(text: string, from: number, ids: readonly number[]): Piece[] {
  return Array.from(encoder.encode(text), (byte) => ({ id: ids[byte] ?? 0, from, to: from + text.length }));
}
