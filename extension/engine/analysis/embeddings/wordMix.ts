/** One word in its context, its layers mixed (ELMo): from hidden states that are kept, so that another mix costs no run. */
import type { WordMixParams, WordMixResult } from '../../../protocol/embeddings';
import type { Internals } from '../../session/internals';
import type { RunContext } from '../../session/languageModel';
import { throwIfCancelled } from '../forward';
import { checkVectors, hiddenStates, hooksOf, layerVectors, readableLayers } from './layers';
import { centred, cosine, meanRow, norm, type Rows } from './maths';
import { joinRows } from './occurrences';
import { principalComponents } from './pca';
import { meanOf } from './pooling';
import { nearestTokens, tableRows, wordInput } from './word';

export async function mixedWord(
  model: Pick<Internals, 'info' | 'tokenizer' | 'anatomy' | 'trace' | 'weight'>,
  { text, range, mix, topK, centre }: Omit<WordMixParams, 'model'>,
  { signal, progress }: RunContext,
): Promise<WordMixResult> {
  const started = performance.now();
  const { row, word, own, window, notes, words } = wordInput(model, { text, range });
  const states = await hiddenStates(model);
  hooksOf(model, states, [mix]);
  progress({ message: 'Running the text' });
  // All layers, whatever their weights: the next mix may want them.
  const trace = await model.trace([row], hooksOf(model, states, readableLayers(model, states)));
  const { embeddings } = await model.anatomy();
  const table = embeddings.word === null ? null : await model.weight('embed.W_E');
  throwIfCancelled(signal);
  const vectors: Rows = layerVectors(trace, states, 0, row.ids.length, mix);
  checkVectors(vectors, model.info.id, mix);
  const compared = centre ? centred(vectors) : vectors;
  const mine = meanOf(
    compared,
    own.map(({ index }) => index),
  );
  const rows = words.map(({ tokens }) => meanOf(compared, tokens));
  const { scores, explained } = principalComponents(joinRows(rows), 2);
  const comparable = table !== null && table.dims[1] === vectors.width;
  return {
    model: model.info.id,
    ...{ word, window, mix },
    norm: norm(
      meanOf(
        vectors,
        own.map(({ index }) => index),
      ),
    ),
    ...(comparable
      ? nearestTokens(
          table,
          centre ? meanRow(tableRows(table)) : null,
          mine,
          new Set(own.map(({ id }) => id)),
          topK,
          model.tokenizer,
        )
      : { neighbours: [], rank: null }),
    words: words.map(({ tokens: _, ...rest }) => rest),
    cosines: Float32Array.from(rows, (other) => cosine(mine, other)),
    ...{ places: scores, explained, notes, elapsed: performance.now() - started },
  };
}
