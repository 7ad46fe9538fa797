/** The one place where a webview's HTML and its Content-Security-Policy are made. */
import { randomBytes } from 'node:crypto';
import * as vscode from 'vscode';

export interface PageOptions {
  /** The view's script in dist/webviews, and its root element `onnx-lens-{name}`. */
  name: 'anatomy' | 'attention' | 'cloze' | 'embeddings' | 'memories' | 'objectives' | 'probes';
  title: string;
}

const escape = (text: string): string => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

const assets = (extensionUri: vscode.Uri): vscode.Uri => vscode.Uri.joinPath(extensionUri, 'dist', 'webviews');

/** An editor's tab shows the file as it is, so the icon cannot take the theme's colour. */
export function tabIcon(extensionUri: vscode.Uri): { light: vscode.Uri; dark: vscode.Uri } {
  const icon = (theme: string): vscode.Uri => vscode.Uri.joinPath(extensionUri, 'media', `lens-${theme}.svg`);
  return { light: icon('light'), dark: icon('dark') };
}

/** Set again whenever a webview is made or restored: the extension may have moved since. */
export function webviewOptions(extensionUri: vscode.Uri): vscode.WebviewOptions {
  return { enableScripts: true, localResourceRoots: [assets(extensionUri)] };
}

export function page(webview: vscode.Webview, extensionUri: vscode.Uri, { name, title }: PageOptions): string {
  const nonce = randomBytes(16).toString('base64');
  // The toolkit's controls look this up and put a style element of one rule into the page; it is no use for scripts.
  const styleNonce = randomBytes(16).toString('base64');
  const asset = (file: string): string =>
    escape(webview.asWebviewUri(vscode.Uri.joinPath(assets(extensionUri), file)).toString());
  const source = webview.cspSource;
  const policy = [
    "default-src 'none'",
    `style-src ${source} 'nonce-${styleNonce}'`,
    `font-src ${source}`,
    `img-src ${source}`,
    `script-src 'nonce-${nonce}'`,
  ].join('; ');
  return `<!DOCTYPE html>
<html lang="${escape(vscode.env.language)}">
<head>
<meta charset="UTF-8">
<meta http-equiv="Content-Security-Policy" content="${escape(policy)}">
<meta property="csp-nonce" content="${styleNonce}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" id="vscode-codicon-stylesheet" href="${asset('codicon.css')}">
<style nonce="${styleNonce}">body { padding: 0; }</style>
<title>${escape(title)}</title>
</head>
<body>
<onnx-lens-${name}></onnx-lens-${name}>
<script type="module" nonce="${nonce}" src="${asset(`${name}.js`)}"></script>
</body>
</html>`;
}
