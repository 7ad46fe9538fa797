/** What the weights of attention tell by themselves. */
import type { HeadWeights } from '../../../protocol/attention';
import { LensError } from '../../../protocol/errors';
import type { Internals } from '../../session/internals';
import type { LanguageModel, RunContext } from '../../session/languageModel';

export async function headWeights(
  _model: LanguageModel & Internals,

  _context: RunContext,
): Promise<HeadWeights> {
  throw new LensError('internal', 'not built yet');
}
