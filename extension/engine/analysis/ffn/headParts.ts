/** What of the model leads from the residual stream to logits, in words. */
import type { Anatomy } from '../../anatomy/anatomy';
import { headOf } from '../../anatomy/head';

const NORMS = { layer: 'LayerNorm', rms: 'RMSNorm' };

/** In the order of execution, for example `dense layer, gelu, LayerNorm, unembedding (the table of the word embeddings)`. */
export function headParts(anatomy: Anatomy): string {
  const parts = headOf(anatomy);
  const unembedded = parts.findIndex((part) => part.kind === 'linear' && part.unembedding);
  return parts
    .map((part, index) => {
      if (part.kind === 'norm') return NORMS[part.norm.kind];
      if (part.kind === 'activation')
        return unembedded >= 0 && index > unembedded ? `soft cap (${part.name})` : part.name;
      if (!part.unembedding) return 'dense layer';
      return `unembedding${anatomy.unembedding?.tied === true ? ' (the table of the word embeddings)' : ''}`;
    })
    .join(', ');
}
