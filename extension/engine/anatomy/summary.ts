import type { AnatomySummary } from '../../protocol/engine';
import type { Anatomy } from './anatomy';

/** The anatomy as people and programs see it. */
export function summary(anatomy: Anatomy): AnatomySummary {
  const { blocks, hooks, visibility, unembedding } = anatomy;
  const common = <T>(values: readonly T[]): T | null =>
    values.length > 0 && values.every((value) => value === values[0]) ? (values[0] as T) : null;
  const seen = visibility.filter((each) => each !== null);
  return {
    layers: anatomy.layers,
    heads: common(blocks.map(({ attention }) => attention.heads)),
    keyHeads: common(blocks.map(({ attention }) => attention.keyHeads)),
    headWidth: common(blocks.map(({ attention }) => attention.headWidth)),
    width: anatomy.width,
    ffnWidth: common(blocks.map(({ ffn }) => ffn?.width ?? null)),
    activation: common(blocks.map(({ ffn }) => ffn?.activation ?? null)),
    gated: blocks.some(({ ffn }) => ffn?.up != null),
    parallel: blocks.some(({ parallel }) => parallel),
    norm: anatomy.norm,
    positions: anatomy.positions,
    causal: seen.length < blocks.length ? null : common(seen.map(({ causal }) => causal)),
    windows: visibility.map((each) => each?.window ?? null),
    tiedLayers: anatomy.tiedLayers,
    tiedEmbeddings: unembedding?.tied ?? null,
    hooks: [...hooks.sites.keys()],
    missing: [...hooks.missing].map(([hook, why]) => ({ hook, why })),
    problems: [...anatomy.problems],
  };
}
