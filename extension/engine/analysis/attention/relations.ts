/** Heads against annotated relations. */
import type { HeadRelationsParams, HeadRelationsResult } from '../../../protocol/attention';
import { LensError } from '../../../protocol/errors';
import type { Internals } from '../../session/internals';
import type { LanguageModel, RunContext } from '../../session/languageModel';

export async function headRelations(
  _model: LanguageModel & Internals,
  _params: Omit<HeadRelationsParams, 'model'>,
  _context: RunContext,
): Promise<HeadRelationsResult> {
  throw new LensError('internal', 'not built yet');
}
