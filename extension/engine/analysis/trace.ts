/** Named activations of a text. */
import type { TraceParams, TraceResult } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import type { Anatomy } from '../anatomy/anatomy';
import { canonicalDims, elementsPerRow, matchHooks } from '../anatomy/hooks';
import type { Activation, Internals, Part } from '../session/internals';
import { tokensOf } from '../text/encoding';
import { textsOfPair } from './pairs';

/** What may cross the pipe in one answer. */
const MOST_BYTES = 900 * 2 ** 20;

/** Throws `bad-input` for texts that the model cannot take whole, and for hooks that no pattern matches. */
export async function traceText(model: Internals, params: Omit<TraceParams, 'model'>): Promise<TraceResult> {
  const started = performance.now();
  const { text, pair, top } = params;
  const anatomy = await model.anatomy();
  const hooks = matchHooks(params.hooks, anatomy.hooks);
  const encoding = pair === undefined ? model.tokenizer.encode(text) : model.tokenizer.encodePair(text, pair);
  const { ids, segments } = encoding;
  if (ids.length === 0) throw new LensError('bad-input', 'The text is empty.', 'Give a text of at least one token.');
  if (ids.length > model.info.maxTokens)
    throw new LensError(
      'bad-input',
      `The text has ${ids.length} tokens; ${model.info.id} takes ${model.info.maxTokens} at most.`,
      'Trace a shorter part of it.',
    );
  const parts = new Map<string, Part>(
    top === undefined
      ? []
      : hooks.filter((hook) => widthOf(anatomy, hook, ids.length) !== null).map((hook) => [hook, { top }]),
  );
  const bytes = hooks.reduce((sum, hook) => {
    const width = parts.has(hook) ? widthOf(anatomy, hook, ids.length) : null;
    const share = width === null ? 1 : Math.min(1, (top as number) / width);
    return sum + 4 * share * elementsOf(anatomy, hook, ids.length);
  }, 0);
  if (bytes > MOST_BYTES)
    throw new LensError(
      'memory',
      `These hooks of ${ids.length} tokens have ${Math.round(bytes / 2 ** 20)} MB; at most ${MOST_BYTES / 2 ** 20} MB are taken at once.`,
      'Ask for fewer hooks, a shorter text, or only the largest numbers.',
    );
  const trace = await model.trace([{ ids, segments }], hooks, [], { parts });
  const texts = pair === undefined ? null : textsOfPair(encoding, model.tokenizer.encodeContent(text).ids.length);
  return {
    model: model.info.id,
    tokens: tokensOf(encoding).map((token) => ({ ...token, text: texts?.[token.index] ?? 0 })),
    activations: hooks.map((hook) => {
      const { dims, data, indices } = trace.get(hook) as Activation;
      return { hook, dims: [...dims], data, ...(indices === undefined ? {} : { indices }) };
    }),
    elapsed: performance.now() - started,
  };
}

/** Numbers along the last axis of a hook; null where only the graph knows its shape. */
function widthOf(anatomy: Anatomy, hook: string, length: number): number | null {
  const layout = anatomy.hooks.sites.get(hook)?.layout;
  return (layout === undefined ? null : canonicalDims(layout, 1, length)?.at(-1)) ?? null;
}

/** Numbers of a hook for one text of `length` tokens. */
export function elementsOf(anatomy: Anatomy, hook: string, length: number): number {
  const layout = anatomy.hooks.sites.get(hook)?.layout;
  const elements = layout === undefined ? null : elementsPerRow(layout, length);
  return elements ?? length * (anatomy.width ?? 1);
}
