/** A view that also opens large in the editor area, and is there again when VS Code is. */
import * as vscode from 'vscode';
import { tabIcon, webviewOptions } from './html';

export class EditorTab implements vscode.Disposable {
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
    const { type, title, extensionUri } = this;
    this.adopt(vscode.window.createWebviewPanel(type, title, vscode.ViewColumn.Beside, webviewOptions(extensionUri)));
  }

  dispose(): void {
    this.serializer.dispose();
  }

  private adopt(panel: vscode.WebviewPanel): void {
    panel.iconPath = tabIcon(this.extensionUri);
    this.host().adopt(panel);
  }
}
