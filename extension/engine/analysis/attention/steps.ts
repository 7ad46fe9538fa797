/** How one row of a pattern comes about. */
import type { AttentionSteps, AttentionStepsParams } from '../../../protocol/attention';
import { LensError } from '../../../protocol/errors';
import type { Internals } from '../../session/internals';
import type { LanguageModel, RunContext } from '../../session/languageModel';

export async function attentionSteps(
  _model: LanguageModel & Internals,
  _params: Omit<AttentionStepsParams, 'model'>,
  _context: RunContext,
): Promise<AttentionSteps> {
  throw new LensError('internal', 'not built yet');
}
