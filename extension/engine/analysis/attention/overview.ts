/** All heads of a text at a glance. */
import type { AttentionInput, AttentionOverview } from '../../../protocol/attention';
import { LensError } from '../../../protocol/errors';
import type { Internals } from '../../session/internals';
import type { LanguageModel, RunContext } from '../../session/languageModel';

export async function attentionOverview(
  _model: LanguageModel & Internals,
  _params: Omit<AttentionInput, 'model'>,
  _context: RunContext,
): Promise<AttentionOverview> {
  throw new LensError('internal', 'not built yet');
}
