/** What a view looks at, in words. */
import { counted } from '../../extension/protocol/format';
import type { ContextKind, SubjectSummary } from '../../extension/protocol/view';

const CONTEXT: Record<ContextKind, string> = { sentence: 'Sentence', paragraph: 'Paragraph', window: 'Window' };

/** Sentence · 12 tokens · line 14 */
export const placeText = (subject: SubjectSummary | null, tokens: readonly { text: 0 | 1 }[]): string =>
  [
    ...(subject === null ? [] : [CONTEXT[subject.context]]),
    ...(tokens.some(({ text }) => text === 1) ? ['pair'] : []),
    counted(tokens.length, 'token'),
    ...(subject === null ? [] : [`line ${subject.line}`]),
  ].join(' · ');
