/** Commands on vectors: the Embeddings view of a word, of its occurrences and of sentences. */
import type { EmbeddingsController } from '../panels/embeddingsController';
import type { ViewPlaces } from '../panels/lensView';
import type { SharedSubject } from '../panels/sharedSubject';
import { activeEditor } from './editors';
import { COMMANDS, type CommandHandler, type CommandId } from './ids';

export interface EmbeddingsParts {
  shared: SharedSubject;
  embeddings: EmbeddingsController;
  view: ViewPlaces;
}

export function embeddingCommands(parts: EmbeddingsParts) {
  const { shared, embeddings } = parts;
  // The view shows progress and errors, so it opens while the model still computes.
  const beside = async (work: Promise<void>): Promise<void> => {
    parts.view.reveal();
    await work;
  };
  return {
    [COMMANDS.showEmbeddings]: async () => {
      shared.showSelection(activeEditor());
      await beside(embeddings.show('word'));
    },
    [COMMANDS.findOccurrences]: async () => {
      shared.showSelection(activeEditor());
      await beside(embeddings.find('document'));
    },
    [COMMANDS.findNeighbours]: async () => {
      shared.showSelection(activeEditor());
      await beside(embeddings.show('neighbours'));
    },
    [COMMANDS.showLayerMix]: async () => {
      shared.showSelection(activeEditor());
      await beside(embeddings.show('mix'));
    },
    [COMMANDS.openWordVectors]: () => beside(embeddings.askForVectors()),
    [COMMANDS.compareSentences]: () => beside(embeddings.compareSentences(activeEditor())),
    [COMMANDS.findPassages]: () => beside(embeddings.findPassages(activeEditor())),
    [COMMANDS.openEmbeddingsInEditor]: () => parts.view.openInEditor(),
  } satisfies Partial<Record<CommandId, CommandHandler>>;
}
