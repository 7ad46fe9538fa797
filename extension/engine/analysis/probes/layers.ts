/**
 * Where in the model an answer appears: its rank at the blank after each layer, read through the model's own head (logit lens, see
 * ffn/lensStates.ts). Post-norm models are read behind each layer's last norm.
 */
import type { LayerAnswer } from '../../../protocol/probes';
import type { Activation, Internals } from '../../session/internals';
import type { LanguageModel, RunContext } from '../../session/languageModel';
import { quantisesActivations } from '../attention/changedRuns';
import { Distribution } from '../distribution';
import { readHead, readStates } from '../ffn/lensStates';
import { checkHead } from '../ffn/logitLens';
import type { Question } from '../forward';
import type { RankingSets } from './rankings';

/** What is said at the first place of a text, layer by layer: before the first one, then after each. */
export type LayerReader = (text: Question, read: (distribution: Distribution, layer: number) => void) => Promise<void>;

/** Throws, with its first text, `model-unsupported` for models whose layers cannot be read. */
export function layerReader(model: LanguageModel & Internals, { signal }: Pick<RunContext, 'signal'>): LayerReader {
  let isChecked = false;
  return async ({ ids, positions }, read) => {
    const [position = 0] = positions;
    const anatomy = await model.anatomy();
    // Quantised activations share a scale with all tokens of their run.
    const all = quantisesActivations(anatomy) ? [...ids.keys()] : [position];
    const own = all.indexOf(position);
    const { numbers, logits } = await readStates(model, { ids }, all, [], { attention: false, verify: !isChecked });
    const width = (numbers[0]?.length ?? 0) / all.length;
    await readHead(
      model,
      numbers,
      width,
      (row, index) => {
        if (index % all.length !== own) return;
        const layer = Math.floor(index / all.length);
        if (!isChecked && layer === numbers.length - 1) {
          const { dims, data } = logits as Activation;
          const vocab = dims.at(-1) as number;
          checkHead(anatomy, model.info.id, row, data.subarray(own * vocab, (own + 1) * vocab));
          isChecked = true;
        }
        read(new Distribution(row), layer);
      },
      { signal, progress: () => undefined },
    );
  };
}

export const layerAnswer = (
  distribution: Distribution,
  id: number,
  { vocabulary, candidates }: RankingSets,
): LayerAnswer => ({
  logprob: distribution.logprob(id),
  rank: vocabulary === null ? distribution.rank(id) : distribution.rankAmong(vocabulary, id),
  candidateRank: candidates?.texts.has(id) === true ? distribution.rankAmong(candidates.ids, id) : null,
});
