/** What leads from the end of the residual stream to the logits, part by part. */
import type { Anatomy } from './anatomy';
import { valuesBetween } from './columns';
import { activationOf } from './ffn';
import { lastStream } from './hooks';
import type { Linear } from './linears';
import type { Norm } from './norms';

export type HeadPart =
  | { kind: 'norm'; norm: Norm }
  | { kind: 'linear'; linear: Linear; unembedding: boolean }
  | { kind: 'activation'; name: string };

/** In the order of execution. */
export function headOf(anatomy: Anatomy): HeadPart[] {
  const { subject, norms, linears, unembedding, hooks } = anatomy;
  const [stream, logits] = [hooks.sites.get(lastStream(anatomy)), hooks.sites.get('unembed.logits')];
  const between = valuesBetween(subject, stream?.value ?? '', logits?.value ?? '');
  // Made by the last block.
  between.delete(stream?.value ?? '');
  const found: { at: number; part: HeadPart }[] = [];
  for (const value of between) {
    const at = subject.wires.position(value);
    const norm = norms.byOutput.get(value);
    if (norm !== undefined) found.push({ at, part: { kind: 'norm', norm } });
    const linear = linears.get(value);
    if (linear !== undefined)
      found.push({ at, part: { kind: 'linear', linear, unembedding: linear === unembedding?.linear } });
  }
  const active = activationOf(subject, between);
  if (active !== null)
    found.push({ at: subject.wires.position(active.value), part: { kind: 'activation', name: active.name } });
  return found.sort((a, b) => a.at - b.at).map(({ part }) => part);
}
