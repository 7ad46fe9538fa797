/** Tokens of the vocabulary that an option names. */
import type { PredictionTarget } from '../../extension/protocol/attention';
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

/** `8`, `8:2003` (id) or `8:word`. */
export async function targetOf(context: CommandContext): Promise<{ target?: PredictionTarget }> {
  const value = context.options['target'];
  if (value === undefined) return {};
  const [, place, token] = /^(\d+)(?::(.+))?$/su.exec(String(value)) ?? [];
  if (place === undefined)
    throw new LensError(
      'bad-input',
      `“${String(value)}” is no target.`,
      'Write POSITION or POSITION:TOKEN, for example --target 8:Paris.',
    );
  const position = Number(place);
  return { target: token === undefined ? { position } : { position, token: await oneToken(context, token) } };
}
