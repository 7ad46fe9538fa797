/** Commands on memories of feed-forward networks, and on what the model would say after each layer. */
import * as vscode from 'vscode';
import type { MemoryColors } from '../editor/memoryColors';
import type { ViewPlaces } from '../panels/lensView';
import type { MemoriesController } from '../panels/memoriesController';
import type { SharedSubject } from '../panels/sharedSubject';
import { LensError } from '../protocol/errors';
import { neuronName } from '../protocol/format';
import type { NeuronRef } from '../protocol/interventions';
import type { MemoriesPage } from '../protocol/memoriesView';
import { activeEditor } from './editors';
import { COMMANDS, type CommandHandler, type CommandId } from './ids';

export interface MemoryParts {
  shared: SharedSubject;
  memories: MemoriesController;
  colors: MemoryColors;
  view: ViewPlaces;
}

export function memoryCommands({ shared, memories, colors, view }: MemoryParts) {
  // The view shows progress and errors, so it opens while the model still computes.
  const show = async (page: MemoriesPage): Promise<void> => {
    shared.showSelection(activeEditor());
    view.reveal();
    await memories.show(page);
  };
  return {
    [COMMANDS.showMemories]: () => show('memories'),
    [COMMANDS.showLogitLens]: () => show('lens'),
    [COMMANDS.trainTunedLens]: async () => {
      view.reveal();
      await memories.show('lens');
      await memories.trainLens();
    },
    [COMMANDS.findMemories]: async (argument) => {
      const text = typeof argument === 'string' ? argument : await askWord();
      if (text === undefined || text.trim() === '') return;
      view.reveal();
      await memories.find(text.trim().split(/\s+/u));
    },
    [COMMANDS.nameMemory]: async () => {
      const memory = await askMemory(memories.memory, vscode.l10n.t('Name Memory'));
      if (memory !== undefined) await memories.askName(memory);
    },
    [COMMANDS.showMemory]: async () => {
      const memory = await askMemory(memories.memory, vscode.l10n.t('Show Memory'));
      if (memory === undefined) return;
      view.reveal();
      await memories.showMemory(memory);
    },
    [COMMANDS.showMemoryInDocument]: () => memories.showInDocument(true),
    [COMMANDS.hideMemoryInDocument]: () => colors.hide(),
    [COMMANDS.openMemoriesInEditor]: () => view.openInEditor(),
  } satisfies Partial<Record<CommandId, CommandHandler>>;
}

/** What is selected stands there already. */
async function askWord(): Promise<string | undefined> {
  const { activeTextEditor } = vscode.window;
  const selected = activeTextEditor?.document.getText(activeTextEditor.selection) ?? '';
  return vscode.window.showInputBox({
    title: vscode.l10n.t('Find Memories of a Word'),
    prompt: vscode.l10n.t('Words of the vocabulary: one token each.'),
    value: selected.length > 100 ? '' : selected,
  });
}

/** The one that is looked at stands there already. Undefined: the person gave up. */
async function askMemory(present: NeuronRef | null, title: string): Promise<NeuronRef | undefined> {
  const text = await vscode.window.showInputBox({
    title,
    prompt: vscode.l10n.t('Layer and neuron, counted from 0: L9N1234'),
    value: present === null ? '' : neuronName(present),
    validateInput: (value) => (memoryIn(value) === null ? vscode.l10n.t('For example L9N1234') : undefined),
  });
  if (text === undefined) return undefined;
  const memory = memoryIn(text);
  if (memory !== null) return memory;
  throw new LensError('bad-input', `“${text}” is no memory.`, 'Write it as L9N1234.');
}

function memoryIn(text: string): NeuronRef | null {
  const [, layer, neuron] = /^\s*L?(\d{1,4})[N.](\d{1,7})\s*$/iu.exec(text) ?? [];
  return layer === undefined || neuron === undefined ? null : { layer: Number(layer), neuron: Number(neuron) };
}
