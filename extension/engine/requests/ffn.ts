/** What may be asked of a model's layers and memories, checked. */
import { MEMORY_MEASURES, type FfnEngineMethods } from '../../protocol/ffn';
import { inputOf, MOST_POSITIONS, MOST_PREDICTIONS, targetOf, whole } from './attention';
import { fields, flag, integer, list, modelOf, oneOf, optional, pathOf, textOf } from './fields';
import { MOST_LAYERS, neuronOf, scalesOf } from './interventions';
import type { Reader } from './requests';

const MOST_WATCHED = 100;
const MOST_MEMORIES = 10_000;

export const FFN_READERS: { [M in keyof FfnEngineMethods]: Reader<M> } = {
  logitLens: (params) => ({
    ...inputOf(params),
    ...optional(params, 'position', whole(0, MOST_POSITIONS)),
    topK: integer(params['topK'], 'topK', 1, MOST_PREDICTIONS),
    ...optional(params, 'watch', (value, name) =>
      list(value, name, MOST_WATCHED).map((id, index) => integer(id, `${name}[${index}]`, 0, MOST_POSITIONS)),
    ),
  }),
  logitLensTable: (params) => ({ ...inputOf(params), attention: flag(params['attention'], 'attention') }),
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
    ...optional(params, 'layers', (value, name) =>
      list(value, name, MOST_LAYERS).map((layer, index) => integer(layer, `${name}[${index}]`, 0, MOST_LAYERS)),
    ),
    topK: integer(params['topK'], 'topK', 1, MOST_MEMORIES),
    words: integer(params['words'], 'words', 0, MOST_PREDICTIONS),
    candidates: integer(params['candidates'], 'candidates', 0, MOST_MEMORIES),
  }),
};
