// npm run gallery: serves every part of the webviews in every state on 127.0.0.1, with the policy that VS Code's host sets.
import { createReadStream, existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { ensureBuilt, ensureInstalled, root, say } from './setup.mjs';

const PORT = Number(process.env.PORT ?? 5180);
const TYPES = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.ttf': 'font/ttf',
  '.map': 'application/json',
};
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-gallery'; font-src 'self'; img-src 'self'";
const PAGE = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta property="csp-nonce" content="gallery" />
    <title>ONNX Lens gallery</title>
    <link rel="stylesheet" href="/codicon.css" id="vscode-codicon-stylesheet" />
    STYLE
  </head>
  <body>
    <script src="/gallery.js"></script>
  </body>
</html>
`;

await ensureInstalled();
await ensureBuilt();
const folder = join(root, 'dist', 'webviews');
const style = existsSync(join(folder, 'gallery.css')) ? '<link rel="stylesheet" href="/gallery.css" />' : '';

createServer((request, response) => {
  const path = normalize(decodeURIComponent(new URL(request.url, 'http://localhost').pathname));
  const file = join(folder, path === '/' ? 'gallery.html' : path);
  const headers = { 'content-security-policy': POLICY, 'cache-control': 'no-store' };
  if (file.startsWith(folder) && existsSync(file)) {
    response.writeHead(200, { ...headers, 'content-type': TYPES[extname(file)] ?? 'application/octet-stream' });
    createReadStream(file).pipe(response);
  } else if (path === '/') {
    response
      .writeHead(200, { ...headers, 'content-type': 'text/html; charset=utf-8' })
      .end(PAGE.replace('STYLE', style));
  } else {
    response.writeHead(404, headers).end();
  }
}).listen(PORT, '127.0.0.1', () => say(`gallery at http://127.0.0.1:${PORT}/?theme=dark (stop with Ctrl+C)`));
