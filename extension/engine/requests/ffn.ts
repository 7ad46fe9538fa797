/** What may be asked of a model's layers and memories, checked. */
import {
  MEMORY_MEASURES,
  type FfnEngineMethods,
  type MemoryStatsState,
  type TriggersState,
  type TuneSettings,
} from '../../protocol/ffn';
import { corpusOf, inputOf, MOST_POSITIONS, MOST_PREDICTIONS, sourcesOf, stateOf, targetOf, whole } from './attention';
import { fields, flag, integer, list, modelOf, numeric, oneOf, optional, pathOf, textOf, type Fields } from './fields';
import { MOST_LAYERS, neuronOf, scalesOf } from './interventions';
import type { Reader } from './requests';

const MOST_WATCHED = 100;
const MOST_MEMORIES = 10_000;
/** Whose activations are kept for each text. */
const MOST_SCANNED = 256;
const MOST_CLUSTERS = 10_000;
const MOST_GROUPS = 100;
/** Tokens, and those of a step, that maps are trained on. */
const MOST_TUNED = 1e9;
const MOST_BATCH = 4_096;
const LARGEST_ACTIVATION = 1e6;

const layersOf = (value: unknown, name: string): number[] =>
  list(value, name, MOST_LAYERS).map((layer, index) => integer(layer, `${name}[${index}]`, 0, MOST_LAYERS));

const thresholdOf = (params: Fields): number => numeric(params['threshold'], 'threshold', 0, LARGEST_ACTIVATION);
const seedOf = (params: Fields): number => integer(params['seed'], 'seed', 0, Number.MAX_SAFE_INTEGER);

const tuneSettingsOf = (value: unknown, name: string): TuneSettings => {
  const settings = fields(value, name);
  return {
    sources: sourcesOf(settings),
    tokens: integer(settings['tokens'], `${name}.tokens`, 1, MOST_TUNED),
    batch: integer(settings['batch'], `${name}.batch`, 1, MOST_BATCH),
    rate: numeric(settings['rate'], `${name}.rate`, 0, 1),
    seed: seedOf(settings),
  };
};

export const FFN_READERS: { [M in keyof FfnEngineMethods]: Reader<M> } = {
  logitLens: (params) => ({
    ...inputOf(params),
    ...optional(params, 'position', whole(0, MOST_POSITIONS)),
    ...optional(params, 'tuned', pathOf),
    topK: integer(params['topK'], 'topK', 1, MOST_PREDICTIONS),
    ...optional(params, 'watch', (value, name) =>
      list(value, name, MOST_WATCHED).map((id, index) => integer(id, `${name}[${index}]`, 0, MOST_POSITIONS)),
    ),
  }),
  logitLensTable: (params) => ({
    ...inputOf(params),
    attention: flag(params['attention'], 'attention'),
    ...optional(params, 'tuned', pathOf),
  }),
  tuneLens: (params) => ({
    ...{ model: modelOf(params), cache: pathOf(params['cache'], 'cache') },
    ...optional(params, 'begin', tuneSettingsOf),
  }),
  tunedLens: (params) => ({ model: modelOf(params), cache: pathOf(params['cache'], 'cache') }),
  intervene: (params) => ({
    ...inputOf(params),
    ...optional(params, 'target', targetOf),
    changes: scalesOf(params['changes'], 'changes'),
    topK: integer(params['topK'], 'topK', 1, MOST_PREDICTIONS),
  }),
  exportModel: (params) => {
    const { format, version, model, fingerprint, changes } = fields(params['recipe'], 'recipe');
    return {
      model: modelOf(params),
      recipe: {
        format: oneOf(format, 'recipe.format', ['onnx-lens-recipe']),
        version: integer(version, 'recipe.version', 1, 1) as 1,
        model: textOf(model, 'recipe.model'),
        fingerprint: textOf(fingerprint, 'recipe.fingerprint'),
        changes: scalesOf(changes, 'recipe.changes'),
      },
      folder: pathOf(params['folder'], 'folder'),
    };
  },
  value: (params) => ({
    model: modelOf(params),
    ...neuronOf(params, 'params'),
    words: integer(params['words'], 'words', 1, MOST_PREDICTIONS),
  }),
  valueIndex: (params) => ({ model: modelOf(params), cache: pathOf(params['cache'], 'cache') }),
  valueSearch: (params) => ({
    ...{ model: modelOf(params), cache: pathOf(params['cache'], 'cache') },
    words: list(params['words'], 'words', MOST_WATCHED).map((id, index) =>
      integer(id, `words[${index}]`, 0, MOST_POSITIONS),
    ),
    direction: oneOf(params['direction'], 'direction', ['promote', 'suppress']),
    topK: integer(params['topK'], 'topK', 1, MOST_MEMORIES),
  }),
  memories: (params) => ({
    ...inputOf(params),
    ...optional(params, 'position', whole(0, MOST_POSITIONS)),
    ...optional(params, 'token', whole(0, MOST_POSITIONS)),
    by: oneOf(params['by'], 'by', MEMORY_MEASURES),
    ...optional(params, 'layers', layersOf),
    topK: integer(params['topK'], 'topK', 1, MOST_MEMORIES),
    words: integer(params['words'], 'words', 0, MOST_PREDICTIONS),
    candidates: integer(params['candidates'], 'candidates', 0, MOST_MEMORIES),
  }),
  triggers: (params) => ({
    ...corpusOf(params),
    neurons: list(params['neurons'], 'neurons', MOST_SCANNED).map((each, index) => neuronOf(each, `neurons[${index}]`)),
    topK: integer(params['topK'], 'topK', 1, MOST_PREDICTIONS),
    threshold: thresholdOf(params),
    ...optional(params, 'resume', stateOf<TriggersState>),
  }),
  similarMemories: (params) => ({
    model: modelOf(params),
    ...neuronOf(params, 'params'),
    topK: integer(params['topK'], 'topK', 1, MOST_MEMORIES),
  }),
  memoryStats: (params) => ({
    ...corpusOf(params),
    threshold: thresholdOf(params),
    seed: seedOf(params),
    cache: pathOf(params['cache'], 'cache'),
    ...optional(params, 'resume', stateOf<MemoryStatsState>),
  }),
  valueClusters: (params) => ({
    model: modelOf(params),
    ...optional(params, 'layers', layersOf),
    clusters: integer(params['clusters'], 'clusters', 1, MOST_CLUSTERS),
    words: integer(params['words'], 'words', 0, MOST_PREDICTIONS),
    members: integer(params['members'], 'members', 0, MOST_MEMORIES),
    seed: seedOf(params),
  }),
  memoryGroups: (params) => ({
    ...inputOf(params),
    groups: integer(params['groups'], 'groups', 1, MOST_GROUPS),
    ...optional(params, 'layers', layersOf),
    members: integer(params['members'], 'members', 1, MOST_MEMORIES),
    seed: seedOf(params),
  }),
};
