/** What to ask the engine for, so that the Attention view can show what is looked at. Pure. */
import type { AblateParams, AttentionMaps, AttentionSelection, AttentionToken, HeadRef } from '../protocol/attention';
import type { AttentionLook, AttentionState, CompareKind } from '../protocol/attentionView';
import type { ModelInfo, TextRange } from '../protocol/engine';
import { LensError } from '../protocol/errors';
import { changesText, headName } from '../protocol/format';
import type { Scale } from '../protocol/interventions';

/** A place in the text that is looked at, or in the second one of a pair; offsets are those of that text. */
export interface Target {
  text: 0 | 1;
  range: TextRange;
}

export const FIRST_LOOK: AttentionLook = {
  page: 'heads',
  layer: 0,
  heads: [],
  method: 'weight',
  combine: 'each',
  words: true,
  specials: 'show',
  drawing: 'lines',
  threshold: { kind: 'weight', value: 0 },
  direction: 'from',
  filter: 'all',
  target: null,
  sort: 'layer',
  type: null,
};

export const sameHead = (one: HeadRef, other: HeadRef): boolean => one.layer === other.layer && one.head === other.head;

/** Without what only the drawing needs: two looks with the same selection have the same picture. */
export const selectionOf = ({ layer, heads, method, combine, words, specials }: AttentionLook): AttentionSelection => ({
  layer,
  heads,
  method,
  combine,
  words,
  specials,
});

/** The picture for colours in a text: one, by words. */
export const colorSelection = (look: AttentionLook): AttentionSelection => ({
  ...selectionOf(look),
  combine: look.combine === 'each' ? 'mean' : look.combine,
  words: true,
});

/** The same look at a model of other size: what it does not have is left out. */
export function fitLook(look: AttentionLook, { layers, heads }: { layers: number; heads: number }): AttentionLook {
  const layer = Math.min(Math.max(look.layer, 0), Math.max(layers - 1, 0));
  const present = look.heads.filter((each) => each.layer < layers && each.head < heads);
  return layer === look.layer && present.length === look.heads.length ? look : { ...look, layer, heads: present };
}

/** The head behind (or before) the one that is looked at; from a whole layer its first (or last) one. */
export function nextHead(
  look: AttentionLook,
  { layers, heads }: { layers: number; heads: number },
  step: 1 | -1,
): HeadRef {
  const count = layers * heads;
  const present = look.heads[0];
  const at =
    present === undefined
      ? look.layer * heads + (step === 1 ? 0 : heads - 1)
      : (present.layer * heads + present.head + step + count) % count;
  return { layer: Math.floor(at / heads), head: at % heads };
}

const touches = (one: TextRange, { start, end }: TextRange): boolean =>
  start === end ? one.start <= start && start <= one.end : one.start < end && start < one.end;

/** Index of the first token of a place; null when the model did not read it. */
export function tokenAt(tokens: readonly AttentionToken[], { text, range }: Target): number | null {
  return (
    tokens.find((token) => token.text === text && token.range !== null && touches(token.range, range))?.index ?? null
  );
}

/** The place of a token with the pieces of its word, where words are looked at. Null for a token that stands in no text. */
export function placeOf(tokens: readonly AttentionToken[], index: number, words: boolean): Target | null {
  const token = tokens[index];
  if (token?.range == null) return null;
  let { start, end } = token.range;
  if (words)
    for (const { word, text, range } of tokens) {
      if (word !== token.word || text !== token.text || range === null) continue;
      start = Math.min(start, range.start);
      end = Math.max(end, range.end);
    }
  return { text: token.text, range: { start, end } };
}

/** What “which heads matter here” measures; null: what the model is asked by default. Throws `bad-input` where nothing is predicted. */
export function ablationOf(
  kind: ModelInfo['kind'],
  tokens: readonly AttentionToken[],
  index: number | null,
): Pick<AblateParams, 'target' | 'masked'> {
  if (index === null) return {};
  const token = tokens[index];
  if (token === undefined) throw noTarget();
  const target = { position: index, token: token.id };
  if (kind === 'causal') return { target };
  if (token.range === null) throw noTarget();
  // A mask that stands in the text: what the model says first is all that there is to measure.
  if (token.special) return { target: { position: index } };
  // Unmasked, the model would only have to copy the word.
  if (token.text === 1) throw noTarget();
  return { target, masked: [token.range] };
}

const noTarget = (): LensError =>
  new LensError(
    'bad-input',
    'There is no word whose prediction could change.',
    'Put the caret on a word of the first text, or click a token, and try again.',
  );

/** Whether cell by cell the same is meant, so that a difference can be drawn. `labels`: the words must be the same too. */
export function aligned(one: AttentionMaps, other: AttentionMaps, labels: boolean): boolean {
  if (one.units.length !== other.units.length || one.maps.length !== other.maps.length) return false;
  return one.units.every((unit, index) => {
    const against = other.units[index];
    return against?.text === unit.text && (!labels || against.label === unit.label);
  });
}

/** Throws `bad-input` unless both models read the text as the same tokens. */
export function requireSameTokens(one: AttentionMaps, other: AttentionMaps): void {
  const count = Math.max(one.tokens.length, other.tokens.length);
  for (let index = 0; index < count; index += 1) {
    const [a, b] = [one.tokens[index]?.token, other.tokens[index]?.token];
    if (a === b) continue;
    const name = (token: string | undefined): string => (token === undefined ? 'nothing more' : `“${token}”`);
    throw new LensError(
      'bad-input',
      `${one.model} and ${other.model} do not read the text as the same tokens: at position ${index} one has ${name(a)}, the other ${name(b)}.`,
      'Choose two models with the same tokenizer.',
    );
  }
}

/** What could stand beside the present picture. */
export function comparable(facts: {
  look: AttentionLook;
  /** Name of the text that was kept. */
  kept: string | null;
  target: Target | null;
  masks: boolean;
  interventions: readonly Scale[];
  others: readonly string[];
}): AttentionState['comparable'] {
  const { look, kept, target, masks, interventions, others } = facts;
  const entry = (
    kind: CompareKind,
    label: string,
    why: string | null,
    detail: string,
  ): AttentionState['comparable'][number] => ({ kind, label, detail: why ?? detail, enabled: why === null });
  const one = look.heads.length === 1 ? look.heads[0] : undefined;
  return [
    entry(
      'heads',
      'Another Head',
      one === undefined ? 'Look at one head first.' : null,
      one === undefined ? '' : headName(one),
    ),
    entry(
      'texts',
      'The Other Text',
      kept === null ? 'Keep a text with “Keep for Comparison” first.' : null,
      kept ?? '',
    ),
    entry(
      'masked',
      'With the Target Masked',
      !masks
        ? 'The model has no mask token.'
        : target === null || target.text === 1
          ? 'Choose a word of the first text first.'
          : null,
      '',
    ),
    entry(
      'interventions',
      'Without the Changes',
      interventions.length === 0 ? 'Switch a head off first.' : null,
      changesText(interventions),
    ),
    ...others.map((id) => entry('models', id, null, 'Another model with the same tokens')),
  ];
}
