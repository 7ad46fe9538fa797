/** How alike texts are. */
import type { SentencesParams, SentencesResult } from '../../../protocol/embeddings';
import { LensError } from '../../../protocol/errors';
import type { RunContext } from '../../session/languageModel';
import { embed, type Embedder } from './embed';
import { centred, cosineMatrix, type Rows } from './maths';

/** A matrix of more is not looked at. */
const MOST_TEXTS = 500;

export async function sentenceSimilarity(
  model: Embedder,
  { texts, layer, pool, centre }: Omit<SentencesParams, 'model'>,
  context: RunContext,
): Promise<SentencesResult> {
  const started = performance.now();
  if (texts.length > MOST_TEXTS)
    throw new LensError(
      'bad-input',
      `There are ${texts.length} texts; at most ${MOST_TEXTS} are compared at once.`,
      'Select fewer.',
    );
  const { vectors, pooling, notes } = await embed(
    model,
    { texts, pool, layers: layer === undefined || pool === 'pooler' ? [] : [layer] },
    context,
  );
  const [first] = vectors as [(typeof vectors)[number]];
  const rows: Rows = { width: first.dims[1], data: first.data };
  return {
    model: model.info.id,
    cosines: cosineMatrix(centre ? centred(rows) : rows),
    pooling,
    layer: first.name,
    notes,
    elapsed: performance.now() - started,
  };
}
