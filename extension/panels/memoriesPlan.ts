/** What to ask the engine for, so that the Memories view can show what is looked at. Pure. */
import type { InputTokens } from '../protocol/attention';
import type { TextRange, Token } from '../protocol/engine';
import { LensError } from '../protocol/errors';
import type { MemoriesLook, VocabularyWord } from '../protocol/memoriesView';

export const FIRST_LOOK: MemoriesLook = {
  ...{ page: 'memories', by: 'norm', layer: null, count: 30, mask: true, word: null },
  ...{ watch: [], chart: 'rank', steps: null, colour: 'probability', between: false, tuned: false, groups: 4 },
  ...{ search: [], direction: 'promote', memory: null, end: 'largest' },
};

/**
 * Which prediction is looked at: that at the target's token, which is masked first where the model has a mask. Without a target the first
 * mask in the text, or what comes after it; the engine knows.
 */
export function questionAt(
  { tokens, mask }: Pick<InputTokens, 'tokens' | 'mask'>,
  index: number | null,
  masks: boolean,
): { position: number | null; masked: TextRange[] } {
  const token = tokens[index ?? -1];
  if (token === undefined) return { position: null, masked: [] };
  // Only words of the first text can be masked; a mask that stands in the text is one already.
  const isWord = token.range !== null && !token.special && token.text === 0;
  if (mask === null || !masks || !isWord) return { position: token.index, masked: [] };
  const pieces = tokens.filter(({ word, range }) => word === token.word && range !== null);
  const [first, last] = [pieces[0], pieces.at(-1)];
  const range = { start: first?.range?.start ?? 0, end: last?.range?.end ?? 0 };
  return { position: token.index, masked: [range] };
}

/** The one token that a text is. Throws `bad-input`. */
export function wordIn(tokens: readonly Token[], text: string): VocabularyWord {
  const pieces = tokens.filter(({ range }) => range !== null);
  const [only] = pieces;
  if (only !== undefined && pieces.length === 1) return { id: only.id, token: only.token };
  throw new LensError(
    'bad-input',
    pieces.length === 0
      ? 'There is no word.'
      : `“${text}” is ${pieces.length} tokens of this model: ${pieces.map(({ token }) => token).join(' ')}.`,
    'Give a word that is one token of its vocabulary; the model says nothing of others by itself.',
  );
}
