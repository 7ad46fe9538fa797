/** Mentions of entities and their clusters, from the Entity annotations of GUM and CorefUD in the last column of CoNLL-U. */
import type { TreebankSentence } from './conllu';

export interface Mention {
  cluster: string;
  /** Index of its syntactic head among the words of the sentence. */
  head: number;
}

const PART = /\(([^()]*)(\))?|([^()]+)\)/g;
/** The field with the number of the cluster, as GUM and CorefUD call it; the first one where nothing is declared. */
const CLUSTER = ['GRP', 'eid'];

/**
 * `(7-abstract-new-…` begins a mention of cluster 7, `7)` ends it, `(7-…)` is one word; the order of the fields is declared at the
 * begin of a document. A mention's head is its first word whose own head is outside of it. Mentions in parts (`7[1/2]`) are left out.
 */
export function mentionsOf({ words }: Pick<TreebankSentence, 'words'>, fields: readonly string[]): Mention[] {
  const place = Math.max(
    0,
    fields.findIndex((field) => CLUSTER.includes(field)),
  );
  const open: { cluster: string; first: number }[] = [];
  const mentions: Mention[] = [];
  const close = (cluster: string, first: number, last: number): void => {
    if (cluster.includes('[')) return;
    for (let index = first; index <= last; index++) {
      const head = words[index]?.head ?? null;
      if (head !== null && (head < first || head > last)) {
        mentions.push({ cluster, head: index });
        return;
      }
    }
  };
  words.forEach(({ misc }, index) => {
    const entity = misc.split('|').find((field) => field.startsWith('Entity='));
    for (const [, opened, closed, ended] of (entity?.slice('Entity='.length) ?? '').matchAll(PART)) {
      if (opened !== undefined) {
        const cluster = opened.split('-')[place] ?? '';
        if (closed === undefined) open.push({ cluster, first: index });
        else close(cluster, index, index);
        continue;
      }
      const last = open.findLastIndex(({ cluster }) => cluster === ended);
      if (last < 0) continue;
      const [{ cluster, first }] = open.splice(last, 1) as [{ cluster: string; first: number }];
      close(cluster, first, index);
    }
  });
  return mentions;
}
