/** What is said of heads. Pure. */
import type {
  AttentionOverview,
  AttentionUnit,
  HeadRef,
  HeadStatisticsColumns,
  HeadType,
} from '../../extension/protocol/attention';
import { samePart, type Scale } from '../../extension/protocol/interventions';
import { nats, probability } from '../../extension/protocol/format';
import type { AttentionLook } from '../../extension/protocol/attentionView';

/** In the order of their marks and hues. */
export const TYPES: readonly HeadType[] = [
  'previous token',
  'next token',
  'same token',
  'local block',
  'punctuation',
  'special tokens',
  'broad',
  'mixed',
];
export const typeIndex = (type: HeadType): number => Math.max(0, TYPES.indexOf(type));

const SHORT: Record<HeadType, string> = {
  'previous token': 'prev',
  'next token': 'next',
  'same token': 'same',
  'local block': 'local',
  punctuation: 'punct',
  'special tokens': 'special',
  broad: 'broad',
  mixed: 'mixed',
};

export const sameHead = (a: HeadRef, b: HeadRef): boolean => a.layer === b.layer && a.head === b.head;

/** The number that a type is about. */
export function typeValue(statistics: HeadStatisticsColumns, index: number): string {
  const type = statistics.types[index];
  const column = {
    'previous token': statistics.previous,
    'next token': statistics.next,
    'same token': statistics.same,
    'local block': statistics.local,
    punctuation: statistics.punctuation,
    'special tokens': statistics.special,
    broad: statistics.entropy,
    mixed: statistics.entropy,
  }[type ?? 'mixed'];
  const value = column[index] ?? NaN;
  // Two places are enough for a label; entropies are in nats.
  return column === statistics.entropy ? nats(value) : value.toFixed(2).replace(/^0\./, '.');
}

/** previous token .93 */
export const typeText = (statistics: HeadStatisticsColumns, index: number): string => {
  const type = statistics.types[index] ?? 'mixed';
  const unit =
    type === 'broad' || type === 'mixed'
      ? `, entropy ${typeValue(statistics, index)}`
      : ` ${typeValue(statistics, index)}`;
  return `${type}${unit}`;
};

/** prev .93 */
export const shortType = (statistics: HeadStatisticsColumns, index: number): string =>
  `${SHORT[statistics.types[index] ?? 'mixed']} ${typeValue(statistics, index)}`;

export interface Statistic {
  label: string;
  value: (statistics: HeadStatisticsColumns, index: number) => string;
  exact: (statistics: HeadStatisticsColumns, index: number) => number;
}
const column = (label: string, name: Exclude<keyof HeadStatisticsColumns, 'types'>): Statistic => ({
  label,
  value: (statistics, index) =>
    name === 'entropy' ? nats(statistics[name][index] ?? NaN) : probability(statistics[name][index] ?? NaN),
  exact: (statistics, index) => statistics[name][index] ?? NaN,
});
export const STATISTICS: readonly Statistic[] = [
  column('previous', 'previous'),
  column('next', 'next'),
  column('same', 'same'),
  column('special', 'special'),
  column('punctuation', 'punctuation'),
  column('local', 'local'),
  column('entropy', 'entropy'),
];

/** By what the head is multiplied at every token. */
export const scaleOf = (interventions: readonly Scale[], ref: HeadRef): number =>
  interventions.find((each) => samePart(each, { ...ref, scale: 1 }))?.scale ?? 1;

/** Indices layer·H + head in the order that is asked for. */
export function sortedHeads(
  { layers, heads, statistics }: Pick<AttentionOverview, 'layers' | 'heads' | 'statistics'>,
  sort: AttentionLook['sort'],
  importance: Float32Array | null,
): number[] {
  const all = Array.from({ length: layers * heads }, (_, index) => index);
  const by = (value: (index: number) => number): number[] => all.sort((a, b) => value(a) - value(b) || a - b);
  if (sort === 'type') return by((index) => typeIndex(statistics.types[index] ?? 'mixed'));
  if (sort === 'entropy') return by((index) => statistics.entropy[index] ?? 0);
  if (sort === 'importance' && importance !== null) return by((index) => -(importance[index] ?? 0));
  return all;
}

/** Where the second text begins; none without a pair. */
export const dividers = (units: readonly Pick<AttentionUnit, 'text'>[]): number[] => {
  const at = units.findIndex(({ text }) => text === 1);
  return at > 0 ? [at] : [];
};
