/** Tokens of the vocabulary that an option names. */
import { LensError } from '../../extension/protocol/errors';
import type { CommandContext } from './commands';

/** An id, or a text that is one token of the model. Throws `bad-input`. */
export async function oneToken({ model, ask }: Pick<CommandContext, 'model' | 'ask'>, token: string): Promise<number> {
  if (/^\d+$/u.test(token)) return Number(token);
  const { tokens } = await ask('tokens', { model, text: token });
  const pieces = tokens.filter(({ range }) => range !== null);
  const [only] = pieces;
  if (only !== undefined && pieces.length === 1) return only.id;
  throw new LensError(
    'bad-input',
    `“${token}” is ${pieces.length === 0 ? 'no token' : `${pieces.length} tokens`} of this model: ${pieces.map((piece) => piece.token).join(' ')}`,
    'Name one token, or give its id.',
  );
}
