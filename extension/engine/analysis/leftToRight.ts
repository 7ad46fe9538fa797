/** Text with targets → the input of a causal model, which sees only what stands to the left of a target. */
import type { Token } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import type { LensTokenizer } from '../text/tokenizer';
import { planWithin, type Plan, type PlannedTarget, type Planner } from './masking';
import { countNote, cutNote, fitOf, hull, inTextOrder, isWhole, type Fit, type Target } from './targets';
import { chooseWindow, windowInfo } from './window';

/** Stands for a token that is to be predicted: a causal vocabulary has no mask. */
export const HOLE_ID = -1;
const HOLE = '[MASK]';

interface Placed {
  target: Target;
  fit: Fit;
  masks: number;
  /** The target is made of whole tokens; otherwise the text is cut there and each side tokenised alone. */
  whole: boolean;
}

/** The number of special tokens that the tokenizer puts before a text. */
export function startTokens(tokenizer: LensTokenizer): number {
  return tokenizer.wrap(new Int32Array(0)).offset;
}

/**
 * The input up to the last target's end; `HOLE_ID` where tokens are to be predicted. Tokens to the right of a target are
 * those that really stand there. Throws `bad-input` when there is nothing to predict from.
 */
export const planHoles: Planner = (text, targets, tokenizer, maxTokens, reserve = 0) =>
  planWithin(maxTokens, reserve, (needed) => planOnce(text, targets, tokenizer, maxTokens, needed));

function planOnce(
  text: string,
  targets: readonly Target[],
  tokenizer: LensTokenizer,
  maxTokens: number,
  reserve: number,
): Plan {
  const window = chooseWindow(text, hull(targets), tokenizer, { maxTokens, reserve, side: 'left' });
  const offset = window.range.start;
  const placed = targets.map((target): Placed => {
    const fit = fitOf(
      window.encoding,
      { start: target.range.start - offset, end: target.range.end - offset },
      target.text,
    );
    const size = target.placeholder ? 1 : fit.last - fit.first + 1;
    return {
      target,
      fit,
      masks: target.masks === 'auto' ? size : target.masks,
      whole: isWhole(fit) && !target.placeholder,
    };
  });
  const ordered = inTextOrder(placed.map((place) => ({ ...place, place, range: place.target.range })));
  for (;;) {
    const attempt = assemble(
      text,
      window.range,
      ordered.map(({ place }) => place),
      tokenizer,
    );
    if (attempt.changed !== undefined) {
      attempt.changed.whole = false;
      continue;
    }
    const { tokens, positions } = attempt;
    const last = ordered.at(-1)?.range.end ?? window.range.end;
    return {
      ids: Int32Array.from(tokens, ({ id }) => id),
      tokens,
      targets: placed.map((place): PlannedTarget => {
        const ids = [...window.encoding.ids.subarray(place.fit.first, place.fit.last + 1)];
        const actual = place.whole && ids.length === place.masks ? ids : null;
        const note = noteOf(place, actual, ids.length, () => {
          const before = text.slice(Math.max(offset, place.target.range.start - 24), place.target.range.start);
          return cutNote(window.encoding, place.fit, `only “…${before}”`);
        });
        return {
          result: {
            range: place.target.range,
            text: place.target.text,
            masks: place.masks,
            fit: place.whole || place.target.placeholder ? 'tokens' : 'text',
            ...(note === undefined ? {} : { note }),
          },
          positions: positions.get(place) ?? [],
          actual,
        };
      }),
      // The right side is not seen by such a model at all; that is no truncation.
      window: { ...windowInfo(text, { start: offset, end: last }, tokens.length), truncatedEnd: false },
    };
  }
}

function noteOf(place: Placed, actual: number[] | null, size: number, cut: () => string): string | undefined {
  const notes: string[] = [];
  if (!place.whole && !place.target.placeholder) notes.push(cut());
  else if (actual === null && !place.target.placeholder) notes.push(countNote(size, place.masks));
  if (actual === null && place.masks > 1)
    notes.push('Each later mask is predicted after the most likely tokens of the masks before it.');
  return notes.length === 0 ? undefined : notes.join(' ');
}

interface Assembled {
  tokens: Token[];
  positions: Map<Placed, number[]>;
  /** A target whose tokens are others once the text is cut at another target. */
  changed?: Placed;
}

function assemble(
  text: string,
  range: { start: number; end: number },
  ordered: readonly Placed[],
  tokenizer: LensTokenizer,
): Assembled {
  const tokens: Token[] = [];
  const positions = new Map<Placed, number[]>();
  const put = (id: number, token: string, where: Token['range'], special: boolean): void => {
    tokens.push({ index: tokens.length, id, token, range: where, special });
  };
  const putHoles = (place: Placed): void => {
    positions.set(
      place,
      Array.from({ length: place.masks }, (_, index) => tokens.length + index),
    );
    for (let index = 0; index < place.masks; index++) put(HOLE_ID, HOLE, place.target.range, false);
  };
  const start = tokenizer.wrap(new Int32Array(0));
  for (let index = 0; index < start.offset; index++) {
    const id = start.ids[index] as number;
    put(id, tokenizer.token(id), null, true);
  }

  let cursor = range.start;
  const waiting = [...ordered];
  while (waiting.length > 0) {
    // Whole targets up to the next cut share one encoding with the text around them.
    const cutAt = waiting.findIndex(({ whole }) => !whole);
    const cut = cutAt < 0 ? undefined : waiting[cutAt];
    const inside = waiting.splice(0, cutAt < 0 ? waiting.length : cutAt);
    if (cut !== undefined) waiting.shift();
    const end = cut?.target.range.start ?? range.end;
    // The space before a word belongs to its token in most vocabularies, so the token to be predicted brings it.
    const segment = cut === undefined ? text.slice(cursor, end) : text.slice(cursor, end).replace(/ +$/u, '');
    const encoding = tokenizer.encodeContent(segment);
    const spans = inside.map((place) => {
      const local = { start: place.target.range.start - cursor, end: place.target.range.end - cursor };
      return { place, fit: fitOf(encoding, local, place.target.text) };
    });
    const changed = spans.find(
      ({ place, fit }) => !isWhole(fit) || fit.last - fit.first !== place.fit.last - place.fit.first,
    );
    if (changed !== undefined) return { tokens, positions, changed: changed.place };
    const stop = cut === undefined ? (spans.at(-1)?.fit.last ?? -1) + 1 : encoding.ids.length;
    for (let index = 0; index < stop; index++) {
      const span = spans.find(({ fit }) => fit.first === index);
      if (span === undefined) {
        const local = encoding.ranges[index] ?? null;
        const where = local === null ? null : { start: local.start + cursor, end: local.end + cursor };
        put(encoding.ids[index] as number, encoding.tokens[index] ?? '', where, false);
      } else {
        putHoles(span.place);
        index = span.fit.last;
      }
    }
    if (cut !== undefined) {
      putHoles(cut);
      cursor = cut.target.range.end;
    }
  }
  if (tokens[0]?.id === HOLE_ID)
    throw new LensError(
      'bad-input',
      'There is no text to the left of the selection, and this model has no token for the begin of a text.',
      'Select a word further right, or choose a masked language model.',
    );
  return { tokens, positions };
}
