/** What the Anatomy view shows of a model, from what the engine says. Pure. */
import type { ModelAnatomy, ModelPart, PartHook, PartNode, PartWeight } from '../../extension/protocol/engine';
import { count, fileSize } from '../../extension/protocol/format';

export interface TreeRow {
  part: ModelPart;
  level: number;
  open: boolean;
  parent: string | undefined;
  /** Something is missing in a part inside it. */
  missing: boolean;
}

/** The rows of the tree as it is opened. */
export function visibleParts(
  parts: readonly ModelPart[],
  expanded: ReadonlySet<string>,
  level = 1,
  parent?: string,
): TreeRow[] {
  return parts.flatMap((part) => {
    const open = expanded.has(part.id) && part.children.length > 0;
    const missing = flat(part.children).some((inner) => inner.missing.length > 0);
    const row = { part, level, open, parent, missing };
    return [row, ...(open ? visibleParts(part.children, expanded, level + 1, part.id) : [])];
  });
}

export const flat = (parts: readonly ModelPart[]): ModelPart[] =>
  parts.flatMap((part) => [part, ...flat(part.children)]);

/** All that is in a part and in the parts inside it, in the order of execution. */
export interface Contents {
  weights: PartWeight[];
  hooks: PartHook[];
  missing: ModelPart['missing'];
  nodes: number[];
}

export function contentsOf(part: ModelPart): Contents {
  const all = flat([part]);
  return {
    weights: all.flatMap(({ weights }) => weights),
    hooks: all.flatMap(({ hooks }) => hooks),
    missing: all.flatMap(({ missing }) => missing),
    nodes: [...new Set(all.flatMap(({ nodes }) => nodes))].sort((a, b) => a - b),
  };
}

export const percentOf = (value: number, whole: number): string =>
  whole === 0 ? '' : `${((100 * value) / whole).toFixed(1)} %`;

export const shapeText = (shape: readonly (number | string)[] | null): string =>
  shape === null ? '?' : `[${shape.join(', ')}]`;

/** Nodes of exporters have long names of paths; without one it is known by what it makes. */
export const nodeName = ({ name, outputs }: PartNode): string => (name === '' ? (outputs[0]?.name ?? '') : name);

/** The model in a few facts. What is not known is left out. */
export function facts({ info }: ModelAnatomy): { label: string; value: string }[] {
  const { anatomy } = info;
  const { heads, keyHeads } = anatomy;
  const rows: [string, string | number | null][] = [
    ['Architecture', [info.architecture, info.kind].filter(Boolean).join(', ')],
    ['Parameters', count(info.parameters)],
    ['Files', fileSize(info.bytes)],
    ['Layers', anatomy.layers === 0 ? null : `${anatomy.layers}${anatomy.tiedLayers ? ', same weights' : ''}`],
    ['Heads', heads === null || keyHeads === heads ? heads : `${heads}, ${keyHeads ?? '?'} for keys and values`],
    ['d_head', anatomy.headWidth],
    ['d_model', anatomy.width],
    ['d_ffn', anatomy.ffnWidth],
    ['Vocabulary', info.vocabSize === null ? null : count(info.vocabSize)],
    ['Activation', anatomy.activation === null ? null : `${anatomy.activation}${anatomy.gated ? ', gated' : ''}`],
    ['Norm', anatomy.norm === null ? null : `${anatomy.norm}-norm${anatomy.parallel ? ', parallel' : ''}`],
    ['Positions', anatomy.layers === 0 ? null : anatomy.positions],
    ['Attention', attentionText(anatomy)],
    ['Head', anatomy.tiedEmbeddings === null ? null : anatomy.tiedEmbeddings ? 'tied to embeddings' : 'own matrix'],
    ['Exporter', info.producer],
    [
      'Opset',
      Object.entries(info.opset)
        .map(([domain, version]) => `${domain} ${version}`.trim())
        .join(', '),
    ],
  ];
  return rows.flatMap(([label, value]) => (value === null || value === '' ? [] : [{ label, value: String(value) }]));
}

function attentionText({ causal, windows }: ModelAnatomy['info']['anatomy']): string | null {
  if (causal === null) return null;
  const near = [...new Set(windows.filter((window) => window !== null))];
  return `${causal ? 'left side' : 'both sides'}${near.length === 0 ? '' : `, some layers ${near.join(', ')} tokens`}`;
}

/** For the screen reader. */
export const summary = ({ info, parts }: ModelAnatomy): string =>
  `${parts.length} parts, ${info.anatomy.layers} blocks, ${count(info.parameters)} parameters.`;
