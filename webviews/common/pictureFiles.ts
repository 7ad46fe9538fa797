/** Pictures as files. Text is always written as text: the page works offline, has no script, and its policy allows none. */
import { palette, type Palette } from './colors';
import { CanvasSurface, escapeXml, SvgSurface, type Surface } from './surface';

/** A finished drawing with its numbers. */
export interface Picture {
  title: string;
  width: number;
  height: number;
  draw: (surface: Surface, theme: Palette) => void;
  notes: readonly string[];
  table: { columns: readonly string[]; rows: readonly (readonly (string | number)[])[] };
}

const EDGE = 12;
/** Larger canvases are refused by browsers. */
const MOST_PIXELS = 16_000;

const background = (): string => `rgb(${palette().background.join(', ')})`;

export function svgText({ title, width, height, draw }: Picture): string {
  const theme = palette();
  const surface = new SvgSurface(theme);
  surface.rect(0, 0, width + 2 * EDGE, height + 2 * EDGE, background());
  surface.moved(EDGE, EDGE, () => draw(surface, theme));
  return surface.file(width + 2 * EDGE, height + 2 * EDGE, title);
}

export async function pngBytes({ width, height, draw }: Picture): Promise<Uint8Array> {
  const theme = palette();
  const [wide, high] = [width + 2 * EDGE, height + 2 * EDGE];
  const ratio = Math.min(2, MOST_PIXELS / Math.max(wide, high));
  const canvas = Object.assign(document.createElement('canvas'), {
    width: Math.round(wide * ratio),
    height: Math.round(high * ratio),
  });
  const context = canvas.getContext('2d');
  if (context === null) throw new Error('no canvas');
  context.scale(ratio, ratio);
  context.fillStyle = background();
  context.fillRect(0, 0, wide, high);
  context.translate(EDGE, EDGE);
  draw(new CanvasSurface(context, theme), theme);
  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, 'image/png'));
  if (blob === null) throw new Error('the picture is too large');
  return new Uint8Array(await blob.arrayBuffer());
}

const STYLE = (): string => {
  const { foreground, quiet, border, font } = palette();
  return `body{margin:24px;max-width:100%;background:${background()};color:${foreground};font:13px/1.5 ${font}}
h1{font-size:18px}svg{max-width:100%;height:auto}figure{margin:0}.quiet{color:${quiet}}
.table{overflow:auto;max-height:80vh}table{border-collapse:collapse;font-variant-numeric:tabular-nums}
th,td{padding:2px 10px 2px 0;text-align:right;border-bottom:1px solid ${border};white-space:nowrap;unicode-bidi:isolate}
th:first-child,td:first-child{text-align:left}`;
};

/** A page of its own: the picture, what it is, and its numbers. */
export function htmlText(picture: Picture, where: string): string {
  const { title, notes, table } = picture;
  const cells = (name: 'td' | 'th', row: readonly (string | number)[]): string =>
    `<tr>${row.map((cell) => `<${name}>${escapeXml(String(cell))}</${name}>`).join('')}</tr>`;
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="UTF-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeXml(title)}</title>
<style>
${STYLE().replaceAll('<', '')}
</style>
</head>
<body>
<h1>${escapeXml(title)}</h1>
<p class="quiet">${escapeXml(where)}</p>
<figure>${svgText(picture)}</figure>
${notes.map((note) => `<p class="quiet">${escapeXml(note)}</p>`).join('\n')}
<details open>
<summary>Numbers</summary>
<div class="table"><table>
<thead>${cells('th', table.columns)}</thead>
<tbody>
${table.rows.map((row) => cells('td', row)).join('\n')}
</tbody>
</table></div>
</details>
</body>
</html>
`;
}
