/** Sentences behind a cell of the table of relations. */
import type { RelationExample, RelationExamplesParams } from '../../../protocol/attention';
import { LensError } from '../../../protocol/errors';
import type { Internals } from '../../session/internals';
import type { LanguageModel, RunContext } from '../../session/languageModel';

export async function relationExamples(
  _model: LanguageModel & Internals,
  _params: Omit<RelationExamplesParams, 'model'>,
  _context: RunContext,
): Promise<{ examples: RelationExample[] }> {
  throw new LensError('internal', 'not built yet');
}
