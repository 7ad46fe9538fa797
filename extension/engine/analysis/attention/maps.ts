/** One picture, or several, of where attention goes. */
import type { AttentionInput, AttentionMaps, AttentionSelection } from '../../../protocol/attention';
import { LensError } from '../../../protocol/errors';
import type { Internals } from '../../session/internals';
import type { LanguageModel, RunContext } from '../../session/languageModel';

export async function attentionMaps(
  _model: LanguageModel & Internals,
  _params: Omit<AttentionInput & AttentionSelection, 'model'>,
  _context: RunContext,
): Promise<AttentionMaps> {
  throw new LensError('internal', 'not built yet');
}
