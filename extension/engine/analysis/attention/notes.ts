/** What stands beside a picture: what its numbers are, and what they do not show. */
import type { AttentionMethod, AttentionSelection, AttentionUnit } from '../../../protocol/attention';

const SHOWS: Record<AttentionMethod, string> = {
  weight:
    'How much of each key’s value goes into a query. It does not show how large that value is, nor what is made of it: weights alone explain no prediction (Jain & Wallace 2019).',
  value:
    'Weight times the length of the key’s value. It does not show what the output projection makes of the value, nor what the rest of the model makes of that.',
  norm: 'Length of what each key writes (Kobayashi et al. 2020): weight times the value through the output projection. It shows how much is written, not which way, nor whether a prediction depends on it.',
  'norm-residual':
    'Length of what each key writes, with the residual stream added where a token looks at itself (Kobayashi et al. 2021). It shows how much comes from where in this block, not whether a prediction depends on it.',
  'norm-layernorm':
    'Length of what each key writes and of the residual stream, as the LayerNorm after them passes it on (Kobayashi et al. 2021). It shows how much comes from where in this block, not whether a prediction depends on it.',
  rollout:
    'Weights of this block and all below it multiplied, half of each left to the residual stream (Abnar & Zuidema 2020). It takes heads as equal, and leaves out values and feed-forward networks.',
  flow: 'The most that can flow from each token of this block’s output down to each token of the input, with weights as widths, half of each left to the residual stream (Abnar & Zuidema 2020). It leaves out values and feed-forward networks; a row has no fixed sum.',
};

export function noteOf(
  { method, heads, combine, words, specials }: AttentionSelection,
  units: readonly AttentionUnit[],
): string {
  const isLayer = heads.length === 0;
  const isNorm = method.startsWith('norm');
  return [
    SHOWS[method],
    ...(method === 'rollout' || method === 'flow' ? ['The heads of the other layers are averaged.'] : []),
    ...(isLayer
      ? isNorm
        ? ['What all heads write is added before it is measured.']
        : ['Mean over the heads of this layer.']
      : heads.length > 1 && combine !== 'each'
        ? [combine === 'mean' ? 'Mean over these heads.' : 'The largest of these heads’ numbers.']
        : []),
    ...(words && units.some(({ tokens }) => tokens.length > 1)
      ? ['To a word: the sum over its pieces; from a word: their mean.']
      : []),
    ...(specials === 'hide' ? ['Special tokens are hidden; the other numbers are as they were.'] : []),
    ...(specials === 'renormalise'
      ? ['Special tokens are left out, and what is left of each row is divided by its sum.']
      : []),
  ].join(' ');
}
