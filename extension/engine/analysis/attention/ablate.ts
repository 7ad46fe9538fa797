/** What heads do for a prediction. */
import type { AblateParams, AblationResult } from '../../../protocol/attention';
import { LensError } from '../../../protocol/errors';
import type { Internals } from '../../session/internals';
import type { LanguageModel, RunContext } from '../../session/languageModel';

export async function ablate(
  _model: LanguageModel & Internals,
  _params: Omit<AblateParams, 'model'>,
  _context: RunContext,
): Promise<AblationResult> {
  throw new LensError('internal', 'not built yet');
}
