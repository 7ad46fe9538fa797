// Chooses the model that a tokenizer.json describes.
import { BpeModel } from './bpe';
import { asRecord, wrong, type Json, type JsonRecord } from './json';
import type { SubwordModel } from './subwordModel';
import { UnigramModel } from './unigram';
import { WordLevelModel, WordPieceModel } from './wordModels';

/** Builds the model that `config` (the `model` of tokenizer.json) describes. */
export function createModel(config: Json | undefined): SubwordModel {
  const record = asRecord(config, 'model');
  switch (modelType(record)) {
    case 'WordPiece':
      return new WordPieceModel(record);
    case 'Unigram':
      return new UnigramModel(record);
    case 'BPE':
      return new BpeModel(record);
    case 'WordLevel':
      return new WordLevelModel(record);
    default:
      throw wrong('model.type', '“WordPiece”, “BPE”, “Unigram” or “WordLevel”');
  }
}

/** Old files leave the type out; the parts tell it. */
function modelType(config: JsonRecord): string {
  if (typeof config['type'] === 'string') return config['type'];
  if (Array.isArray(config['vocab'])) return 'Unigram';
  if (config['merges'] !== undefined) return 'BPE';
  return config['continuing_subword_prefix'] === undefined ? 'WordLevel' : 'WordPiece';
}
