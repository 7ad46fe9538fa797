/** What a model says with heads and neurons scaled, beside what it says without. */
import type { InterveneParams, InterveneResult } from '../../../protocol/ffn';
import type { Activation, Internals } from '../../session/internals';
import { checkFinite, requireHead, type LanguageModel, type RunContext } from '../../session/languageModel';
import { LOGITS, logitsAt } from '../attention/changedRuns';
import { prepareInput } from '../attention/input';
import { LensError } from '../../../protocol/errors';
import { Distribution } from '../distribution';
import { throwIfCancelled } from '../forward';
import { scaleInterventions } from '../interventions';
import { predictedAt, predictedByDefault } from '../predicted';
import { describePrediction, topPredictions } from '../predictions';

/** Throws `no-lm-head`, `bad-input`, `model-unsupported` for what cannot be changed. */
export async function intervene(
  model: LanguageModel & Internals,
  { interventions = [], changes, topK, ...params }: Omit<InterveneParams, 'model'>,
  { signal }: RunContext,
): Promise<InterveneResult> {
  const started = performance.now();
  requireHead(model.info);
  const { row, tokens, notes } = prepareInput(model, params);
  const anatomy = await model.anatomy();
  const length = row.ids.length;
  const target = params.target?.position ?? predictedByDefault(model, row.ids);
  const position = predictedAt(model, target, length);
  const said = async (scales: typeof changes): Promise<Distribution> => {
    const trace = await model.trace([row], [LOGITS], scaleInterventions(anatomy, scales, length), logitsAt(position));
    throwIfCancelled(signal);
    const { dims, data } = trace.get(LOGITS) as Activation;
    checkFinite(data, dims.at(-1) as number, model.info.id);
    return new Distribution(data);
  };
  const [before, after] = [await said(interventions), await said([...interventions, ...changes])];
  const [likeliest = 0] = before.top(1);
  const id = params.target?.token ?? likeliest;
  if (!Number.isFinite(before.logprob(id)))
    throw new LensError('bad-input', `The model never predicts the token with the id ${id}.`, 'Ask for another one.');
  const told = (distribution: Distribution): InterveneResult['before'] => ({
    logprob: distribution.logprob(id),
    predictions: topPredictions(model.tokenizer, distribution, topK),
  });
  return {
    model: model.info.id,
    tokens,
    target: { position: target, id, token: describePrediction(model.tokenizer, id, 0).token },
    before: told(before),
    after: told(after),
    notes,
    elapsed: performance.now() - started,
  };
}
