/** One line of the JSONL files of LAMA, ParaRel, Google-RE, SQuAD and ConceptNet, by what is in it. */
import type { ProbeFact, ProbeTemplate } from '../protocol/probes';
import { ANSWER, templateProblems } from './template';

export type JsonlRecord =
  /** `relations.jsonl`. */
  | { kind: 'relation'; id: string; template: ProbeTemplate }
  /** A pattern file of ParaRel; the relation is the file's name. */
  | { kind: 'pattern'; template: ProbeTemplate }
  | { kind: 'fact'; fact: ProbeFact; /** Google-RE, ConceptNet: `place_of_birth`, `IsA`. */ predicate: string | null }
  | { kind: 'problem'; message: string };

/** LAMA leaves out longer sentences of ConceptNet and SQuAD. */
const MOST_WORDS = 100;
const MASK = '[MASK]';

type Json = Record<string, unknown>;

const problem = (message: string): JsonlRecord => ({ kind: 'problem', message });
const textOf = (json: Json, name: string): string | null => {
  const value = json[name];
  return typeof value === 'string' && value.trim() !== '' ? value : null;
};

export function readRecord(line: string): JsonlRecord {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    return problem('is no JSON');
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return problem('is no JSON object');
  const record = json as Json;
  if ('pattern' in record) return templateRecord(record, 'pattern');
  if ('template' in record && !('obj_label' in record)) return templateRecord(record, 'template');
  return factRecord(record);
}

const WORDS = {
  'no answer': 'has no [Y]',
  'two answers': 'has more than one [Y]',
  'no subject': 'has no [X]',
} as const;

function templateRecord(record: Json, field: 'pattern' | 'template'): JsonlRecord {
  const text = textOf(record, field);
  if (text === null) return problem(`has an empty ${field}`);
  const [wrong] = templateProblems(text);
  if (wrong !== undefined) return problem(`has a ${field} that ${WORDS[wrong]}: ${text}`);
  const negated = textOf(record, 'template_negated');
  const template: ProbeTemplate = {
    text,
    ...(negated !== null && templateProblems(negated).length === 0 ? { negated } : {}),
  };
  if (field === 'pattern') return { kind: 'pattern', template };
  const id = textOf(record, 'relation');
  return id === null ? problem('has a template, but no relation') : { kind: 'relation', id, template };
}

function factRecord(record: Json): JsonlRecord {
  const answer = textOf(record, 'obj_label');
  if (answer === null) return problem('has no obj_label');
  const subject = textOf(record, 'sub_label');
  const masked = record['masked_sentences'];
  const sentences = Array.isArray(masked) ? masked.filter((each): each is string => typeof each === 'string') : [];
  const sentence = sentences.join(' ');
  if (subject === null && sentence === '') return problem('has neither sub_label nor masked_sentences');
  if (sentence !== '' && !sentence.includes(MASK)) return problem('has masked_sentences without [MASK]');
  if (sentence.includes(ANSWER)) return problem('has masked_sentences with [Y] in them');
  if (sentence.split(/\s+/u).length > MOST_WORDS)
    return problem(`has more than ${MOST_WORDS} words, which LAMA leaves out`);
  const context = contextOf(record);
  const predicate = textOf(record, 'pred');
  return {
    kind: 'fact',
    predicate: predicate?.split('/').at(-1) ?? null,
    fact: {
      subject,
      answers: [answer.trim()],
      // Asked at the first mask, as LAMA does.
      ...(sentence === '' ? {} : { sentence: sentence.replace(MASK, ANSWER) }),
      ...(context === null ? {} : { context }),
    },
  };
}

/** The sentence from which the fact was taken, with the answer in it (T-REx and Google-RE in LAMA's release). */
function contextOf(record: Json): string | null {
  const [first] = Array.isArray(record['evidences']) ? (record['evidences'] as unknown[]) : [];
  if (typeof first !== 'object' || first === null) return null;
  const evidence = first as Json;
  const masked = textOf(evidence, 'masked_sentence');
  const surface = textOf(evidence, 'obj_surface') ?? textOf(record, 'obj_label');
  if (masked !== null && surface !== null) return masked.replaceAll(MASK, surface);
  const { considered_sentences: considered } = evidence;
  const [sentence] = Array.isArray(considered) ? (considered as unknown[]) : [];
  return typeof sentence === 'string' ? sentence : textOf(evidence, 'snippet');
}
