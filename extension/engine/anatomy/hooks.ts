/**
 * Names of activations and where they are. The names are TransformerLens's; for post-norm models also `hook_mlp_in` and
 * `hook_normalized_resid_post`, since there `resid_mid` and `resid_post` are the sums before the norms. `ln_final.hook_normalized` is what a
 * pre-norm model's last norm gives.
 */
import { LensError } from '../../protocol/errors';
import { sizeOf } from '../onnx/model';
import type { HeadColumns } from './attention';
import type { Block } from './blocks';
import type { Factor } from './scoring';
import { rowWidth, type Subject } from './subject';

/** Symbols of canonical shapes: B batch, T tokens, H heads, K key/value heads, d head width, D model width, F FFN width, V vocabulary. */
export type Layout =
  /** [B,T,…rest] from a tensor of B·T rows of W = `width` elements, [B,T,W], [B·T,W] or [B,T,N,d]: `columns` of it in the order of the rest; null: all in order. */
  | { kind: 'tokens'; rest: readonly number[]; columns: Int32Array | null; width: number }
  /** [B,T,N,d] from a factor of the product of queries and keys, [B,N,T,d] or [B·N,T,d], or with its last axes exchanged. */
  | { kind: 'factor'; heads: number; width: number; transposed: boolean }
  /** [B,H,T,T] from a tensor of the same elements in the same order. */
  | { kind: 'pairs'; heads: number }
  /** As the graph gives it. */
  | { kind: 'plain' };

/** A hook's canonical shape for a batch of rows of `length` tokens; null where the graph alone knows. */
export function canonicalDims(layout: Layout, batch: number, length: number): number[] | null {
  switch (layout.kind) {
    case 'plain':
      return null;
    case 'pairs':
      return [batch, layout.heads, length, length];
    case 'factor':
      return [batch, length, layout.heads, layout.width];
    case 'tokens':
      return [batch, length, ...layout.rest];
  }
}

/** How many numbers a hook has for one row of `length` tokens; null where the graph alone knows. */
export function elementsPerRow(layout: Layout, length: number): number | null {
  const dims = canonicalDims(layout, 1, length);
  return dims === null ? null : sizeOf(dims);
}

export interface Site {
  /** Name of a value in the graph with fused operators taken apart. */
  value: string;
  layout: Layout;
}

export interface Hooks {
  sites: ReadonlyMap<string, Site>;
  /** Hook → why it is not there. */
  missing: ReadonlyMap<string, string>;
}

/**
 * Hooks of a block, without its prefix. `attn.hook_rot_q` and `attn.hook_rot_k`: as they enter their product, after rotary positions,
 * norms and scales of their own (each head of queries may have its own copy of the keys). `mlp.hook_pre_linear` is the other factor of a gated
 * network.
 */
export const BLOCK_HOOKS = [
  'hook_resid_pre',
  'attn.hook_q',
  'attn.hook_k',
  'attn.hook_v',
  'attn.hook_rot_q',
  'attn.hook_rot_k',
  'attn.hook_attn_scores',
  'attn.hook_pattern',
  'attn.hook_z',
  'hook_attn_out',
  'hook_resid_mid',
  'hook_mlp_in',
  'mlp.hook_pre',
  'mlp.hook_pre_linear',
  'mlp.hook_post',
  'hook_mlp_out',
  'hook_resid_post',
  'hook_normalized_resid_post',
] as const;

export const blockHook = (layer: number, hook: (typeof BLOCK_HOOKS)[number]): string => `blocks.${layer}.${hook}`;

/**
 * What the head reads: the stream after the last block. Of post-norm blocks it is behind their last norm, as it is between blocks, so
 * that whatever stands between two blocks can be given to the head.
 */
export function lastStream({ layers, hooks: { sites } }: { layers: number; hooks: Hooks }): string {
  const normed = blockHook(layers - 1, 'hook_normalized_resid_post');
  return sites.has(normed) ? normed : blockHook(layers - 1, 'hook_resid_post');
}

/** A site of [B,T,…rest] in a value. */
export function tokenSite(
  subject: Subject,
  value: string,
  rest: readonly number[],
  columns: Int32Array | null = null,
): Site {
  const width = rowWidth(subject, value) ?? sizeOf(rest);
  return { value, layout: { kind: 'tokens', rest, columns, width } };
}

const factorSite = (factor: Factor | string): Site | string => {
  if (typeof factor === 'string') return factor;
  const { value, ...layout } = factor;
  return { value, layout: { kind: 'factor', ...layout } };
};

/** Sites of all hooks of the blocks, or why they are missing. `width` is D. */
export function blockHooks(subject: Subject, blocks: readonly Block[], width: number): Hooks {
  const sites = new Map<string, Site>();
  const missing = new Map<string, string>();
  const stream = (value: string): Site => tokenSite(subject, value, [width]);
  const projected = (part: HeadColumns | string): Site | string => {
    if (typeof part === 'string') return part;
    const { linear, heads, columns } = part;
    // Heads of queries and keys may have another width than those of values.
    const each = (columns?.length ?? rowWidth(subject, linear.output) ?? 0) / heads;
    if (!Number.isInteger(each) || each === 0) return 'its projection is not as wide as its heads';
    return tokenSite(subject, linear.output, [heads, each], columns);
  };
  blocks.forEach((block, layer) => {
    const { attention, ffn } = block;
    const put = (hook: (typeof BLOCK_HOOKS)[number], site: Site | string): void => {
      if (typeof site === 'string') missing.set(blockHook(layer, hook), site);
      else sites.set(blockHook(layer, hook), site);
    };
    const pairs = { kind: 'pairs', heads: attention.heads } as const;
    put('hook_resid_pre', stream(block.residPre));
    put('attn.hook_q', projected(attention.query));
    put('attn.hook_k', projected(attention.key));
    put('attn.hook_v', projected(attention.value));
    put('attn.hook_rot_q', factorSite(attention.queryFactor));
    put('attn.hook_rot_k', factorSite(attention.keyFactor));
    put('attn.hook_attn_scores', { value: attention.scores, layout: pairs });
    put('attn.hook_pattern', { value: attention.pattern, layout: pairs });
    put('attn.hook_z', tokenSite(subject, attention.z, [attention.heads, attention.headWidth], attention.zColumns));
    put('hook_attn_out', stream(block.attnOut));
    if (block.residMid !== null) put('hook_resid_mid', stream(block.residMid));
    if (block.mlpIn !== null) put('hook_mlp_in', stream(block.mlpIn));
    if (block.norm === 'post')
      put(
        'hook_normalized_resid_post',
        block.normalizedResidPost === null
          ? 'the norm after the block was not found'
          : stream(block.normalizedResidPost),
      );
    if (ffn === null || block.mlpOut === null || block.residPost === null) {
      for (const hook of ['mlp.hook_pre', 'mlp.hook_post', 'hook_mlp_out', 'hook_resid_post'] as const)
        put(hook, 'the feed-forward network was not found');
      return;
    }
    const { pre } = ffn;
    put(
      'mlp.hook_pre',
      typeof pre === 'string' ? pre : tokenSite(subject, pre.linear.output, [ffn.width], pre.columns),
    );
    if (ffn.up !== null)
      put('mlp.hook_pre_linear', tokenSite(subject, ffn.up.linear.output, [ffn.width], ffn.up.columns));
    put('mlp.hook_post', tokenSite(subject, ffn.post, [ffn.width]));
    put('hook_mlp_out', stream(block.mlpOut));
    put('hook_resid_post', stream(block.residPost));
  });
  const [first] = blocks;
  if (first !== undefined) sites.set('hook_embed', stream(first.residPre));
  return { sites, missing };
}

/** Hooks whose names match one of the patterns, in the order of the graph. Throws `bad-input` for a pattern without any. */
export function matchHooks(patterns: readonly string[], { sites, missing }: Hooks): string[] {
  const found = new Set<string>();
  for (const pattern of patterns) {
    const test = pattern === '*' ? /^/ : wildcard(pattern);
    const matches = [...sites.keys()].filter((hook) => test.test(hook));
    if (matches.length === 0) {
      const why = [...missing].find(([hook]) => test.test(hook) || hook === 'blocks.*')?.[1];
      throw new LensError(
        'bad-input',
        why === undefined
          ? `There is no hook “${pattern}” in this model.`
          : `There is no hook “${pattern}” in this model: ${why}.`,
        'Names are those of TransformerLens, for example blocks.0.attn.hook_pattern or blocks.*.mlp.hook_post; “lens inspect” lists them.',
      );
    }
    for (const hook of matches) found.add(hook);
  }
  return [...sites.keys()].filter((hook) => found.has(hook));
}

/** `*` stands for anything without a dot. */
const wildcard = (pattern: string): RegExp =>
  new RegExp(`^${pattern.replace(/[\\^$.+?()[\]{}|]/g, '\\$&').replaceAll('*', '[^.]*')}$`);
