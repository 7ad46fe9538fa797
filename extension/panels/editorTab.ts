/** A view that also opens large in the editor area, and is there again when VS Code is. */
import * as vscode from 'vscode';
import { tabIcon, webviewOptions } from './html';

export class EditorTab implements vscode.Disposable {
  private readonly panels = new Set<vscode.WebviewPanel>();
  private readonly serializer: vscode.Disposable;

  constructor(
    private readonly type: string,
    private readonly title: string,
    private readonly extensionUri: vscode.Uri,
    /** Made later than its controller, which opens this tab. */
    private readonly host: () => { adopt(panel: vscode.WebviewPanel): void },
  ) {
    this.serializer = vscode.window.registerWebviewPanelSerializer(type, {
      deserializeWebviewPanel: async (panel) => this.adopt(panel),
    });
  }

  open(): void {
    this.create(false);
  }

  /** The tab that is there, or a new one, beside the text, where the caret stays. */
  show(): void {
    const [panel] = this.panels;
    if (panel === undefined) this.create(true);
    else panel.reveal(undefined, true);
  }

  dispose(): void {
    this.serializer.dispose();
  }

  private create(preserveFocus: boolean): void {
    const { type, title, extensionUri } = this;
    const place = { viewColumn: vscode.ViewColumn.Beside, preserveFocus };
    this.adopt(vscode.window.createWebviewPanel(type, title, place, webviewOptions(extensionUri)));
  }

  private adopt(panel: vscode.WebviewPanel): void {
    this.panels.add(panel);
    panel.onDidDispose(() => this.panels.delete(panel));
    panel.iconPath = tabIcon(this.extensionUri);
    this.host().adopt(panel);
  }
}
