/** What may be asked of a model's attention, checked. */
import {
  ATTENTION_METHODS,
  COMBINATIONS,
  SPECIALS,
  type AblateParams,
  type AttentionEngineMethods,
  type AttentionInput,
  type CorpusSource,
  type HeadCorpusParams,
  type HeadRef,
  type HeadRelationsParams,
  type PredictionTarget,
} from '../../protocol/attention';
import { fields, flag, integer, list, modelOf, oneOf, optional, pathOf, rangeOf, textOf, type Fields } from './fields';
import { headOf, interventionsOf, MOST_LAYERS, scalesOf } from './interventions';
import type { Reader } from './requests';

const MOST_PICTURES = 4_096;
export const MOST_POSITIONS = 10 * 2 ** 20;
export const MOST_SOURCES = 1_000_000;
export const MOST_PREDICTIONS = 1_000;
const MOST_MASKED = 512;

const headsOf = (value: unknown, name: string): HeadRef[] =>
  list(value, name, MOST_PICTURES).map((head, index) => headOf(head, `${name}[${index}]`));
export const inputOf = (params: Fields): AttentionInput => ({
  model: modelOf(params),
  text: textOf(params['text'], 'text'),
  ...optional(params, 'pair', textOf),
  ...optional(params, 'around', rangeOf),
  ...optional(params, 'masked', (value, name) =>
    list(value, name, MOST_MASKED).map((range, index) => rangeOf(range, `${name}[${index}]`)),
  ),
  ...interventionsOf(params),
});

const sourceOf = (value: unknown, index: number): CorpusSource => {
  const at = `sources[${index}]`;
  const { name, file, text } = fields(value, at);
  const title = textOf(name, `${at}.name`);
  if (file === undefined) return { name: title, text: textOf(text, `${at}.text`) };
  return { name: title, file: pathOf(file, `${at}.file`) };
};

export const sourcesOf = (params: Fields): CorpusSource[] =>
  list(params['sources'], 'sources', MOST_SOURCES).map(sourceOf);

export const shardOf = (value: unknown, name: string): { index: number; of: number } => {
  const { index, of } = fields(value, name);
  const shards = integer(of, `${name}.of`, 1, MOST_SOURCES);
  return { index: integer(index, `${name}.index`, 0, shards - 1), of: shards };
};

const packingOf = (value: unknown): HeadCorpusParams['packing'] => {
  const { kind, tokens } = fields(value, 'packing');
  return oneOf(kind, 'packing.kind', ['text', 'pairs']) === 'text'
    ? { kind: 'text' }
    : { kind: 'pairs', tokens: integer(tokens, 'packing.tokens', 8, MOST_POSITIONS) };
};

export const whole =
  (least: number, most: number) =>
  (value: unknown, name: string): number =>
    integer(value, name, least, most);

/** A state was written by this program; whether it fits the request is for the analysis to say. */
export const stateOf = <T>(value: unknown, name: string): T => fields(value, name) as T;

export const corpusOf = (params: Fields) => ({
  model: modelOf(params),
  sources: sourcesOf(params),
  ...optional(params, 'limit', whole(1, MOST_SOURCES)),
  ...optional(params, 'shard', shardOf),
});

const relationsOf = (params: Fields): HeadRelationsParams => ({
  ...corpusOf(params),
  ...optional(params, 'resume', stateOf<NonNullable<HeadRelationsParams['resume']>>),
});

export const targetOf = (value: unknown, name: string): PredictionTarget => {
  const target = fields(value, name);
  return {
    position: integer(target['position'], `${name}.position`, 0, MOST_POSITIONS),
    ...optional(target, 'token', whole(0, MOST_POSITIONS)),
  };
};

function ablateOf(params: Fields): AblateParams {
  const ablate = fields(params['ablate'], 'ablate');
  return {
    ...inputOf(params),
    ...optional(params, 'target', targetOf),
    ablate:
      ablate['together'] !== undefined
        ? { together: scalesOf(ablate['together'], 'ablate.together') }
        : { each: ablate['each'] === 'all' ? 'all' : headsOf(ablate['each'], 'ablate.each') },
    mean: flag(params['mean'], 'mean'),
    importance: flag(params['importance'], 'importance'),
    topK: integer(params['topK'], 'topK', 1, MOST_PREDICTIONS),
  };
}

export const ATTENTION_READERS: { [M in keyof AttentionEngineMethods]: Reader<M> } = {
  inputTokens: inputOf,
  attention: inputOf,
  attentionMaps: (params) => ({
    ...inputOf(params),
    layer: integer(params['layer'], 'layer', 0, MOST_LAYERS),
    heads: headsOf(params['heads'], 'heads'),
    method: oneOf(params['method'], 'method', ATTENTION_METHODS),
    combine: oneOf(params['combine'], 'combine', COMBINATIONS),
    words: flag(params['words'], 'words'),
    specials: oneOf(params['specials'], 'specials', SPECIALS),
  }),
  attentionSteps: (params) => ({
    ...inputOf(params),
    ...headOf(params, 'params'),
    query: integer(params['query'], 'query', 0, MOST_POSITIONS),
  }),
  ablate: ablateOf,
  headCorpus: (params) => ({
    ...corpusOf(params),
    packing: packingOf(params['packing']),
    ...optional(params, 'distances', whole(0, MOST_SOURCES)),
    ...optional(params, 'resume', stateOf<NonNullable<HeadCorpusParams['resume']>>),
  }),
  headRelations: relationsOf,
  relationExamples: (params) => ({
    ...relationsOf(params),
    ...headOf(params, 'params'),
    relation: textOf(params['relation'], 'relation'),
    direction: oneOf(params['direction'], 'direction', ['dependent→head', 'head→dependent']),
    most: integer(params['most'], 'most', 1, MOST_PREDICTIONS),
  }),
  headWeights: (params) => ({ model: modelOf(params) }),
};
