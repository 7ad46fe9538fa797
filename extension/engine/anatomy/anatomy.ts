/** The anatomy of a model: its blocks, its dimensions, and where each named activation is. */
import type { OnnxModel } from '../onnx/model';
import { findParts, type Parts } from './blocks';
import {
  findEmbeddings,
  findFinalNorm,
  findPooled,
  findPositions,
  findUnembedding,
  rootWeight,
  type Embeddings,
  type Positions,
  type Unembedding,
} from './ends';
import { findVisibility, type Visibility } from './mask';
import { blockHooks, tokenSite, type Hooks, type Site } from './hooks';
import { prepare, type Subject } from './subject';

export interface Anatomy extends Parts {
  subject: Subject;
  hooks: Hooks;
  layers: number;
  heads: number | null;
  keyHeads: number | null;
  headWidth: number | null;
  /** D, F. */
  width: number | null;
  ffnWidth: number | null;
  norm: 'pre' | 'post' | null;
  /** Per block; null where the mask could not be read off the graph. */
  visibility: readonly (Visibility | null)[];
  positions: Positions;
  embeddings: Embeddings;
  unembedding: Unembedding | null;
  finalNorm: string | null;
  /** All blocks run the same weights. */
  tiedLayers: boolean;
}

/** `logits`: the output [B,T,V] of a language-model head, where there is one. Throws `model-invalid` for impossible graphs. */
export function findAnatomy(model: OnnxModel, logits: string | null): Anatomy {
  const subject = prepare(model);
  const parts = findParts(subject);
  const [first] = parts.blocks;
  const width = first === undefined ? null : (subject.values.get(first.residPre)?.dims.at(-1) ?? null);
  const found = blockHooks(subject, parts.blocks, width ?? 0);
  const sites = new Map(found.sites);
  const missing = new Map(found.missing);
  if (parts.blocks.length === 0)
    missing.set('blocks.*', parts.problems[0] ?? 'no attention was found: there is no softmax between two products');
  for (const { name } of model.graph.outputs)
    if (name === logits) sites.set('unembed.logits', outputSite(subject, name));
    else sites.set(name, { value: name, layout: { kind: 'plain' } });
  const pooled = findPooled(subject, parts.linears, width);
  if (pooled !== null && !sites.has('pooler_output'))
    sites.set('pooler_output', { value: pooled, layout: { kind: 'plain' } });
  const finalNorm = findFinalNorm(subject, parts.norms, parts.blocks);
  if (finalNorm !== null && width !== null)
    sites.set('ln_final.hook_normalized', tokenSite(subject, finalNorm, [width]));
  const embeddings = findEmbeddings(subject, first?.residPre ?? '');
  // Exporters may fold one matrix into several transposed ones; a bias stays itself.
  const weights = parts.blocks.map(({ attention: { output } }) =>
    rootWeight(subject.wires, output.bias ?? output.weight),
  );
  return {
    ...parts,
    subject,
    visibility: findVisibility(
      subject,
      parts.blocks.map(({ attention }) => attention),
    ),
    positions: findPositions(subject, parts.blocks, embeddings),
    embeddings,
    unembedding: logits === null ? null : findUnembedding(subject, parts.linears, logits, embeddings.word),
    finalNorm,
    tiedLayers: weights.length > 1 && new Set(weights).size < weights.length,
    hooks: { sites, missing },
    layers: parts.blocks.length,
    heads: first?.attention.heads ?? null,
    keyHeads: first?.attention.keyHeads ?? null,
    headWidth: first?.attention.headWidth ?? null,
    width,
    ffnWidth: first?.ffn?.width ?? null,
    norm: first === undefined || first.norm === 'none' ? null : first.norm,
  };
}

function outputSite(subject: Subject, name: string): Site {
  const vocab = subject.values.get(name)?.dims.at(-1);
  if (vocab === undefined) return { value: name, layout: { kind: 'plain' } };
  return tokenSite(subject, name, [vocab]);
}
