/** Text with targets → the input of a masked model, and where its masks are. */
import type { TargetResult, TextRange, Token, WindowInfo } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import type { LensTokenizer } from '../text/tokenizer';
import { countNote, cutNote, fitOf, hull, inTextOrder, isWhole, wordAround, type Fit, type Target } from './targets';
import { chooseWindow, windowInfo, type TextWindow } from './window';

export interface PlannedTarget {
  result: Omit<TargetResult, 'maskIndices'>;
  /** Token positions of its masks. */
  positions: number[];
  /** The ids that really stand there, one a mask; null when they are not comparable. */
  actual: number[] | null;
}

/** What goes into the model. Targets are in the order in which they were given. */
export interface Plan {
  ids: Int32Array;
  tokens: Token[];
  targets: PlannedTarget[];
  window: WindowInfo;
}

/** A target with its place in the text's window. */
interface Placed {
  target: Target;
  /** In the window's text. */
  range: TextRange;
  fit: Fit;
  masks: number;
  /** The range cuts tokens, or the tokens are not those of this model's mask: text is replaced, then tokenised. */
  asText: boolean;
}

/** A piece of the window's text that is replaced by mask tokens. */
interface Edit {
  placed: Placed;
  /** In the edited text. */
  range: TextRange;
}

/** The mask token of a model that predicts masks. Throws `no-mask-token`. */
export function requireMask(tokenizer: LensTokenizer): { id: number; token: string } {
  if (tokenizer.maskId === null || tokenizer.maskToken === null)
    throw new LensError('no-mask-token', 'The tokenizer has no mask token.', 'Choose a masked language model.');
  return { id: tokenizer.maskId, token: tokenizer.maskToken };
}

/** `reserve`: tokens that candidates need beside those of the text. Throws `LensError`. */
export type Planner = (
  text: string,
  targets: readonly Target[],
  tokenizer: LensTokenizer,
  maxTokens: number,
  reserve?: number,
) => Plan;

/** Masks can need more room than the text that they replace, which is only known once they are in place. */
export function planWithin(maxTokens: number, reserve: number, planWith: (needed: number) => Plan): Plan {
  let needed = reserve;
  for (;;) {
    const plan = planWith(needed);
    const excess = plan.ids.length + reserve - maxTokens;
    if (excess <= 0) return plan;
    needed += excess;
  }
}

export const planMasks: Planner = (text, targets, tokenizer, maxTokens, reserve = 0) =>
  planWithin(maxTokens, reserve, (needed) => {
    const window = chooseWindow(text, hull(targets), tokenizer, { maxTokens, reserve: needed });
    return planInWindow(text, window, targets, tokenizer);
  });

function planInWindow(text: string, window: TextWindow, targets: readonly Target[], tokenizer: LensTokenizer): Plan {
  const mask = requireMask(tokenizer);
  const placed = targets.map((target): Placed => {
    const range = { start: target.range.start - window.range.start, end: target.range.end - window.range.start };
    const fit = fitOf(window.encoding, range, target.text);
    const size = target.placeholder ? 1 : fit.last - fit.first + 1;
    return {
      target,
      range,
      fit,
      masks: target.masks === 'auto' ? size : target.masks,
      asText: !isWhole(fit) || (target.placeholder && target.text !== mask.token),
    };
  });
  const ordered = inTextOrder(placed);
  for (;;) {
    const edited = replaceText(window.text, ordered, mask.token);
    const encoding = edited.edits.length === 0 ? window.encoding : tokenizer.encode(edited.text);
    const toOriginal = (range: TextRange): TextRange => {
      const edit = edited.edits.find(({ range: { start, end } }) => range.start < end && range.end > start);
      return edit?.placed.target.range ?? shift(range, window.range.start - deltaAt(edited.edits, range.start, true));
    };
    // Where each target's tokens are now, or null for one whose neighbour's mask has changed them.
    const spans = ordered.map((place) => {
      const edit = edited.edits.find((candidate) => candidate.placed === place);
      const range = edit?.range ?? shift(place.range, deltaAt(edited.edits, place.range.start, false));
      const fit = fitOf(encoding, range, place.target.text);
      const same = edit !== undefined || (isWhole(fit) && fit.last - fit.first === place.fit.last - place.fit.first);
      return same ? { place, fit, edit } : null;
    });
    const changed = ordered.filter((_, index) => spans[index] === null);
    if (changed.length > 0) {
      for (const place of changed) place.asText = true;
      continue;
    }

    const ids: number[] = [];
    const tokens: Token[] = [];
    const positions = new Map<Placed, number[]>();
    const put = (id: number, token: string, range: TextRange | null, special: boolean): void => {
      tokens.push({ index: ids.length, id, token, range, special });
      ids.push(id);
    };
    for (let index = 0; index < encoding.ids.length; index++) {
      const span = spans.find((candidate) => candidate?.fit.first === index);
      if (span == null) {
        const range = encoding.ranges[index] ?? null;
        put(
          encoding.ids[index] as number,
          encoding.tokens[index] ?? '',
          range === null ? null : toOriginal(range),
          encoding.special[index] === 1,
        );
        continue;
      }
      const { place, fit, edit } = span;
      if (edit !== undefined) requireMasks(encoding.ids.subarray(fit.first, fit.last + 1), place.masks, mask);
      positions.set(
        place,
        Array.from({ length: place.masks }, (_, offset) => ids.length + offset),
      );
      for (let count = 0; count < place.masks; count++) put(mask.id, mask.token, place.target.range, false);
      index = fit.last;
    }
    return {
      ids: Int32Array.from(ids),
      tokens,
      targets: placed.map((place) => describe(place, positions.get(place) ?? [], window, edited, mask.id)),
      window: windowInfo(text, window.range, ids.length),
    };
  }
}

function shift({ start, end }: TextRange, by: number): TextRange {
  return { start: start + by, end: end + by };
}

function replaceText(text: string, ordered: readonly Placed[], maskToken: string): { text: string; edits: Edit[] } {
  let result = '';
  let done = 0;
  const edits: Edit[] = [];
  for (const placed of ordered) {
    if (!placed.asText) continue;
    result += text.slice(done, placed.range.start);
    const start = result.length;
    result += maskToken.repeat(placed.masks);
    edits.push({ placed, range: { start, end: result.length } });
    done = placed.range.end;
  }
  return { text: result + text.slice(done), edits };
}

/** How much further right a place of the window's text is in the edited text, or (`edited`) the other way round. */
function deltaAt(edits: readonly Edit[], place: number, edited: boolean): number {
  const last = edits.findLast(({ range, placed }) => (edited ? range : placed.range).end <= place);
  return last === undefined ? 0 : last.range.end - last.placed.range.end;
}

/** The tokenizer must read the mask tokens that were written into the text as such. */
function requireMasks(ids: Int32Array, masks: number, mask: { id: number; token: string }): void {
  if (ids.length === masks && ids.every((id) => id === mask.id)) return;
  throw new LensError(
    'tokenizer',
    `The tokenizer does not read “${mask.token}” in a text as its mask token.`,
    'Select whole words; parts of words cannot be masked with this model.',
  );
}

function describe(
  { target, fit, masks, asText }: Placed,
  positions: number[],
  window: TextWindow,
  edited: { text: string; edits: Edit[] },
  maskId: number,
): PlannedTarget {
  const ids = [...window.encoding.ids.subarray(fit.first, fit.last + 1)];
  const actual = !asText && !ids.includes(maskId) && ids.length === masks ? ids : null;
  const edit = edited.edits.find(({ placed }) => placed.target === target);
  const note =
    target.placeholder || actual !== null
      ? undefined
      : edit !== undefined
        ? cutOrChangedNote(window, fit, wordAround(edited.text, edit.range.start, edit.range.end))
        : ids.length === masks
          ? 'A mask stands there in the text.'
          : countNote(ids.length, masks);
  return {
    result: {
      range: target.range,
      text: target.text,
      masks,
      fit: asText && !target.placeholder ? 'text' : 'tokens',
      ...(note === undefined ? {} : { note }),
    },
    positions,
    actual,
  };
}

function cutOrChangedNote(window: TextWindow, fit: Fit, sees: string): string {
  return isWhole(fit)
    ? `The mask beside it changes how this text is cut into tokens; the model sees ${sees}.`
    : cutNote(window.encoding, fit, sees);
}
