// Which special tokens go around a text or a pair, and the segment of each part: the `post_processor` of tokenizer.json.
import { LensError } from '../../protocol/errors';
import { asArray, asId, asRecord, asString, wrong, type Json, type JsonRecord } from './json';

export type TemplateItem =
  { kind: 'special'; id: number; segment: number } | { kind: 'text'; part: 'A' | 'B'; segment: number };

export interface Template {
  single: readonly TemplateItem[];
  pair: readonly TemplateItem[];
}

const A = { kind: 'text', part: 'A', segment: 0 } as const;
const PLAIN: Template = { single: [A], pair: [A, { kind: 'text', part: 'B', segment: 1 }] };

/** Reads a post-processor. In a sequence, the last one that adds tokens counts. */
export function createTemplate(config: Json | undefined): Template {
  if (config === null || config === undefined) return PLAIN;
  const record = asRecord(config, 'post_processor');
  const type = asString(record['type'], 'post_processor.type');
  switch (type) {
    case 'ByteLevel':
      return PLAIN;
    case 'Sequence': {
      const templates = asArray(record['processors'], 'post_processor.processors').map(createTemplate);
      return templates.findLast((template) => template !== PLAIN) ?? PLAIN;
    }
    case 'TemplateProcessing': {
      const specials = asRecord(record['special_tokens'], 'post_processor.special_tokens');
      return {
        single: readItems(record['single'], specials, 'post_processor.single'),
        pair: readItems(record['pair'], specials, 'post_processor.pair'),
      };
    }
    case 'BertProcessing': {
      const special = specialReader(record);
      return {
        single: [special('cls', 0), A, special('sep', 0)],
        pair: [special('cls', 0), A, special('sep', 0), { kind: 'text', part: 'B', segment: 1 }, special('sep', 1)],
      };
    }
    case 'RobertaProcessing': {
      const special = specialReader(record);
      const [cls, sep] = [special('cls', 0), special('sep', 0)];
      // RoBERTa has two separators in the middle, and no second segment.
      return { single: [cls, A, sep], pair: [cls, A, sep, sep, { kind: 'text', part: 'B', segment: 0 }, sep] };
    }
    default:
      throw new LensError(
        'tokenizer',
        `The tokenizer uses the post-processor “${type}”, which is not supported.`,
        'Choose another model, or export the tokenizer with a template.',
      );
  }
}

function specialReader(record: JsonRecord): (name: 'cls' | 'sep', segment: number) => TemplateItem {
  return (name, segment) => {
    const place = `post_processor.${name}`;
    return { kind: 'special', id: asId(asArray(record[name], place)[1], place), segment };
  };
}

function readItems(items: Json | undefined, specials: JsonRecord, place: string): TemplateItem[] {
  return asArray(items, place).flatMap((entry): TemplateItem[] => {
    const item = asRecord(entry, place);
    if (item['Sequence'] !== undefined) {
      const sequence = asRecord(item['Sequence'], place);
      const part = sequence['id'];
      if (part !== 'A' && part !== 'B') throw wrong(place, 'a sequence “A” or “B”');
      return [{ kind: 'text', part, segment: asId(sequence['type_id'] ?? 0, place) }];
    }
    const special = asRecord(item['SpecialToken'], place);
    const segment = asId(special['type_id'] ?? 0, place);
    const name = asString(special['id'], place);
    const { ids } = asRecord(specials[name], `post_processor.special_tokens.${name.slice(0, 40)}`);
    return asArray(ids, place).map((id) => ({ kind: 'special', id: asId(id, place), segment }));
  });
}
