/** What every view may ask about the heads and neurons that are changed, answered for what all views look at together. */
import * as vscode from 'vscode';
import { COMMANDS } from '../commands/ids';
import type { InterventionMethods } from '../protocol/view';
import type { SharedSubject } from './sharedSubject';
import type { Handlers } from './viewHost';

export const RECIPE_COMMANDS = {
  save: COMMANDS.saveRecipe,
  apply: COMMANDS.applyRecipe,
  export: COMMANDS.exportChangedModel,
} as const;

export const interventionHandlers = (shared: SharedSubject): Handlers<InterventionMethods> => ({
  intervene: (change) => shared.intervene(change),
  clearInterventions: () => shared.setInterventions([]),
  recipe: ({ action }) => {
    void vscode.commands.executeCommand(RECIPE_COMMANDS[action]);
  },
});
