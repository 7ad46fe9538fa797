/** What of the model leads from the residual stream to logits, in words. */
import type { Anatomy } from '../../anatomy/anatomy';
import { valuesBetween } from '../../anatomy/columns';
import { activationOf } from '../../anatomy/ffn';
import { lastStream } from '../../anatomy/hooks';

const NORMS = { layer: 'LayerNorm', rms: 'RMSNorm' };

/** In the order of execution, for example `dense layer, gelu, LayerNorm, unembedding (the table of the word embeddings)`. */
export function headParts(anatomy: Anatomy): string {
  const { subject, norms, linears, unembedding, hooks } = anatomy;
  const [stream, logits] = [hooks.sites.get(lastStream(anatomy)), hooks.sites.get('unembed.logits')];
  const between = valuesBetween(subject, stream?.value ?? '', logits?.value ?? '');
  // Made by the last block.
  between.delete(stream?.value ?? '');
  const found: { at: number; name: string }[] = [];
  let unembedded = Infinity;
  for (const value of between) {
    const at = subject.wires.position(value);
    const norm = norms.byOutput.get(value);
    if (norm !== undefined) found.push({ at, name: NORMS[norm.kind] });
    const linear = linears.get(value);
    if (linear === undefined) continue;
    const isLast = linear === unembedding?.linear;
    if (isLast) unembedded = at;
    const name = isLast ? `unembedding${unembedding.tied ? ' (the table of the word embeddings)' : ''}` : 'dense layer';
    found.push({ at, name });
  }
  const active = activationOf(subject, between);
  if (active !== null) {
    const at = subject.wires.position(active.value);
    found.push({ at, name: at > unembedded ? `soft cap (${active.name})` : active.name });
  }
  return found
    .sort((a, b) => a.at - b.at)
    .map(({ name }) => name)
    .join(', ');
}
