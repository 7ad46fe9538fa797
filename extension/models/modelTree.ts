/** The Models view: one row a model with its state, its details below it. */
import * as vscode from 'vscode';
import { COMMANDS } from '../commands/ids';
import type { LibraryModel, ModelLibrary } from './library';
import { detailsOf } from './details';

type Node = { model: LibraryModel } | { label: string; value: string };

const STATE_ICONS: Record<LibraryModel['state'], vscode.ThemeIcon> = {
  'not-loaded': new vscode.ThemeIcon('circle-outline'),
  loading: new vscode.ThemeIcon('loading~spin'),
  ready: new vscode.ThemeIcon('pass-filled', new vscode.ThemeColor('charts.green')),
  failed: new vscode.ThemeIcon('error', new vscode.ThemeColor('list.errorForeground')),
};

export function stateName(state: LibraryModel['state']): string {
  switch (state) {
    case 'not-loaded':
      return vscode.l10n.t('not loaded');
    case 'loading':
      return vscode.l10n.t('loading');
    case 'ready':
      return vscode.l10n.t('ready');
    case 'failed':
      return vscode.l10n.t('failed');
  }
}

export class ModelTree implements vscode.TreeDataProvider<Node> {
  private readonly changed = new vscode.EventEmitter<undefined>();
  readonly onDidChangeTreeData = this.changed.event;

  constructor(private readonly library: ModelLibrary) {
    library.onDidChange(() => this.changed.fire(undefined));
  }

  getChildren(node?: Node): Node[] {
    if (node === undefined) return this.library.models.map((model) => ({ model }));
    return 'model' in node ? detailsOf(node.model) : [];
  }

  getTreeItem(node: Node): vscode.TreeItem {
    if (!('model' in node)) {
      const detail = new vscode.TreeItem(node.label);
      detail.description = node.value;
      detail.tooltip = `${node.label}: ${node.value}`;
      return detail;
    }
    const { model } = node;
    const { id, folder } = model.ref;
    const selected = this.library.selected === model;
    const item = new vscode.TreeItem(id, vscode.TreeItemCollapsibleState.Collapsed);
    item.id = id;
    item.iconPath = STATE_ICONS[model.state];
    item.description = selected ? vscode.l10n.t('{0} · selected', stateName(model.state)) : stateName(model.state);
    const why = model.error === undefined ? '' : `\n${[model.error.message, model.error.hint ?? ''].join(' ').trim()}`;
    item.tooltip = `${id} · ${stateName(model.state)}\n${folder}${why}`;
    item.contextValue = [
      'model',
      model.bundled ? 'bundled' : 'added',
      model.state,
      selected ? 'selected' : 'other',
    ].join(' ');
    item.accessibilityInformation = { label: `${id}, ${item.description}` };
    if (!selected)
      item.command = { command: COMMANDS.selectModel, title: vscode.l10n.t('Select Model'), arguments: [id] };
    return item;
  }
}

/** The id of a model given by a row of the tree, or by itself; undefined when a command comes from the palette. */
export function modelIdOf(argument: unknown): string | undefined {
  if (typeof argument === 'string') return argument;
  if (typeof argument !== 'object' || argument === null || !('model' in argument)) return undefined;
  return (argument as { model: LibraryModel }).model.ref.id;
}
