/** A view in all its places: the side panel, and large in tabs of the editor area, which are there again when VS Code is. */
import * as vscode from 'vscode';
import { tabIcon, webviewOptions } from './html';
import { ViewHost, type Methods, type ViewHostOptions, type ViewSource } from './viewHost';

export interface LensViewOptions extends ViewHostOptions {
  /** Id of the view in the side panel. */
  view: string;
  /** Type of its tabs; null where it has none. */
  tab: { type: string; title: string } | null;
}

/** Where a view is, for its controller and its commands. */
export interface ViewPlaces {
  /** How many webviews show it. */
  audience(): number;
  openInEditor(): void;
  /**
   * Makes it visible: large views want room, so where the person does not have it in the side panel, it opens beside the text, where the
   * caret stays.
   */
  reveal(): void;
}

export class LensView<State, M extends Methods<M>> implements ViewPlaces, vscode.Disposable {
  private readonly tabs = new Set<vscode.WebviewPanel>();
  private readonly subscriptions: vscode.Disposable[] = [];
  private host: ViewHost<State, M> | undefined;

  constructor(private readonly options: LensViewOptions) {}

  /** What it shows, which is made after it: it asks whether it is seen. */
  connect(source: ViewSource<State, M>): void {
    const { view, tab } = this.options;
    const host = new ViewHost(source, this.options);
    this.host = host;
    this.subscriptions.push(host, vscode.window.registerWebviewViewProvider(view, host));
    if (tab === null) return;
    this.subscriptions.push(
      vscode.window.registerWebviewPanelSerializer(tab.type, {
        deserializeWebviewPanel: async (panel) => this.adopt(panel),
      }),
    );
  }

  audience(): number {
    return this.host?.audience ?? 0;
  }

  openInEditor(): void {
    this.openTab(false);
  }

  reveal(): void {
    if (this.audience() > 0) return;
    const [panel] = this.tabs;
    if (panel === undefined) this.openTab(true);
    else panel.reveal(undefined, true);
  }

  dispose(): void {
    for (const subscription of this.subscriptions) subscription.dispose();
  }

  private openTab(preserveFocus: boolean): void {
    const { tab, extensionUri } = this.options;
    if (tab === null) return;
    const place = { viewColumn: vscode.ViewColumn.Beside, preserveFocus };
    this.adopt(vscode.window.createWebviewPanel(tab.type, tab.title, place, webviewOptions(extensionUri)));
  }

  private adopt(panel: vscode.WebviewPanel): void {
    this.tabs.add(panel);
    panel.onDidDispose(() => this.tabs.delete(panel));
    panel.iconPath = tabIcon(this.options.extensionUri);
    this.host?.adopt(panel);
  }
}
