/** Statistics of heads over a corpus. */
import type { HeadCorpusParams, HeadCorpusResult } from '../../../protocol/attention';
import { LensError } from '../../../protocol/errors';
import type { Internals } from '../../session/internals';
import type { LanguageModel, RunContext } from '../../session/languageModel';

export async function headCorpus(
  _model: LanguageModel & Internals,
  _params: Omit<HeadCorpusParams, 'model'>,
  _context: RunContext,
): Promise<HeadCorpusResult> {
  throw new LensError('internal', 'not built yet');
}
