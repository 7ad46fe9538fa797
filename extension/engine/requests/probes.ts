/** Relation probes as they come in, checked. */
import type { ProbeEngineMethods, ProbeFact, ProbeOptions, ProbeRelation, ProbeTemplate } from '../../protocol/probes';
import { fields, flag, integer, list, modelOf, oneOf, optional, textOf, wrong, type Fields } from './fields';
import { interventionsOf } from './interventions';
import type { Reader } from './requests';

const MOST_RELATIONS = 10_000;
const MOST_FACTS = 1_000_000;
const MOST_TEMPLATES = 1_000;
const MOST_WORDS = 1_000_000;
const MOST_PREDICTIONS = 1_000;
const LONGEST_WORD = 10_000;
const LONGEST_TEXT = 100_000;

const wordsOf = (value: unknown, name: string): string[] =>
  list(value, name, MOST_WORDS).map((word, index) => {
    const text = textOf(word, `${name}[${index}]`, LONGEST_WORD).trim();
    if (text === '') throw wrong(`${name}[${index}]`, 'a text that is not empty');
    return text;
  });

const passage = (value: unknown, name: string): string => textOf(value, name, LONGEST_TEXT);

function factOf(value: unknown, name: string): ProbeFact {
  const fact = fields(value, name);
  const { subject } = fact;
  return {
    subject: subject === null ? null : passage(subject, `${name}.subject`),
    answers: wordsOf(fact['answers'], `${name}.answers`),
    ...optional(fact, 'sentence', (text, field) => {
      const sentence = passage(text, `${name}.${field}`);
      if (sentence.split('[Y]').length !== 2) throw wrong(`${name}.${field}`, 'a sentence with [Y] once');
      return sentence;
    }),
    ...optional(fact, 'context', (text, field) => passage(text, `${name}.${field}`)),
  };
}

function templateOf(value: unknown, name: string): ProbeTemplate {
  const template = fields(value, name);
  return {
    text: passage(template['text'], `${name}.text`),
    ...optional(template, 'negated', (text, field) => passage(text, `${name}.${field}`)),
  };
}

function relationOf(value: unknown, index: number): ProbeRelation {
  const name = `relations[${index}]`;
  const relation = fields(value, name);
  return {
    id: textOf(relation['id'], `${name}.id`, LONGEST_WORD),
    templates: list(relation['templates'], `${name}.templates`, MOST_TEMPLATES).map((template, place) =>
      templateOf(template, `${name}.templates[${place}]`),
    ),
    facts: list(relation['facts'], `${name}.facts`, MOST_FACTS).map((fact, place) =>
      factOf(fact, `${name}.facts[${place}]`),
    ),
    ...optional(relation, 'candidates', wordsOf),
    ...optional(relation, 'answers', wordsOf),
  };
}

function optionsOf(value: unknown): ProbeOptions {
  const options: Fields = fields(value, 'options');
  return {
    topK: integer(options['topK'], 'options.topK', 1, MOST_PREDICTIONS),
    variants: list(options['variants'], 'options.variants', 3).map((variant) =>
      oneOf(variant, 'options.variants', ['negated', 'misprimed', 'context']),
    ),
    uhn: flag(options['uhn'], 'options.uhn'),
    joint: oneOf(options['joint'], 'options.joint', ['pll', 'masks']),
    seed: integer(options['seed'], 'options.seed', 0, Number.MAX_SAFE_INTEGER),
    ...optional(options, 'vocabulary', wordsOf),
    ...optional(options, 'byLayer', flag),
    ...interventionsOf(options),
  };
}

export const PROBE_READERS: { [M in keyof ProbeEngineMethods]: Reader<M> } = {
  probe: (params) => ({
    model: modelOf(params),
    relations: list(params['relations'], 'relations', MOST_RELATIONS).map(relationOf),
    options: optionsOf(params['options']),
  }),
  probeAnswers: (params) => ({
    model: modelOf(params),
    groups: list(params['groups'], 'groups', MOST_WORDS).map((value, index) => {
      const group = fields(value, `groups[${index}]`);
      return {
        before: passage(group['before'], `groups[${index}].before`),
        answers: wordsOf(group['answers'], `groups[${index}].answers`),
      };
    }),
  }),
  fingerprint: (params) => ({ model: modelOf(params) }),
};
