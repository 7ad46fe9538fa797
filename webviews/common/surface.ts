/**
 * What pictures are drawn on: the canvas of a view, or the text of an SVG file, by the same calls, so that what is exported is what
 * was seen.
 */
import type { Palette } from './colors';

export interface TextLook {
  size?: number;
  mono?: boolean;
  bold?: boolean;
  color?: string;
  align?: 'left' | 'center' | 'right';
  /** Degrees, clockwise, around the point of the text. */
  turn?: number;
  alpha?: number;
}

export interface StrokeLook {
  alpha?: number;
  width?: number;
  dash?: readonly number[];
}

export interface Surface {
  rect(x: number, y: number, width: number, height: number, fill: string, alpha?: number): void;
  frame(x: number, y: number, width: number, height: number, stroke: string, look?: StrokeLook): void;
  /** Many curves of one look: x1 y1 x2 y2 each, leaving and arriving level. */
  curves(ends: readonly number[], stroke: string, look?: StrokeLook): void;
  /** A line through points x y x y … */
  path(points: readonly number[], stroke: string, look?: StrokeLook): void;
  polygon(points: readonly number[], fill: string, stroke?: string): void;
  /** The point is at the middle of the text's height. */
  text(x: number, y: number, text: string, look?: TextLook): void;
  /** A picture of columns × rows pixels stretched over the place, each pixel a sharp rectangle. */
  pixels(x: number, y: number, width: number, height: number, data: Uint32Array, columns: number): void;
  clipped(x: number, y: number, width: number, height: number, draw: () => void): void;
}

/** The same surface, that much further down. */
export function lowered(surface: Surface, by: number): Surface {
  const ends = (points: readonly number[]): number[] =>
    points.map((value, index) => (index % 2 === 1 ? value + by : value));
  return {
    rect: (x, y, ...rest) => surface.rect(x, y + by, ...rest),
    frame: (x, y, ...rest) => surface.frame(x, y + by, ...rest),
    curves: (points, ...rest) => surface.curves(ends(points), ...rest),
    path: (points, ...rest) => surface.path(ends(points), ...rest),
    polygon: (points, ...rest) => surface.polygon(ends(points), ...rest),
    text: (x, y, ...rest) => surface.text(x, y + by, ...rest),
    pixels: (x, y, ...rest) => surface.pixels(x, y + by, ...rest),
    clipped: (x, y, ...rest) => surface.clipped(x, y + by, ...rest),
  };
}

const SIZE = 11;
const fontOf = ({ size = SIZE, mono = false, bold = false }: TextLook, theme: Palette): string =>
  `${bold ? '600 ' : ''}${size}px ${mono ? theme.mono : theme.font}`;

/** Pixels are not written to after they were drawn, and are often drawn again. */
const pixelCanvases = new WeakMap<Uint32Array, HTMLCanvasElement>();

function pixelCanvas(data: Uint32Array, columns: number): HTMLCanvasElement {
  const made = pixelCanvases.get(data);
  if (made !== undefined) return made;
  const rows = data.length / columns;
  const canvas = Object.assign(document.createElement('canvas'), { width: columns, height: rows });
  pixelCanvases.set(data, canvas);
  const bytes = new Uint8ClampedArray(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  canvas.getContext('2d')?.putImageData(new ImageData(bytes, columns, rows), 0, 0);
  return canvas;
}

/** Units are CSS pixels: the context is scaled before. */
export class CanvasSurface implements Surface {
  constructor(
    private readonly context: CanvasRenderingContext2D,
    private readonly theme: Palette,
  ) {}

  rect(x: number, y: number, width: number, height: number, fill: string, alpha = 1): void {
    this.context.globalAlpha = alpha;
    this.context.fillStyle = fill;
    this.context.fillRect(x, y, width, height);
    this.context.globalAlpha = 1;
  }

  frame(x: number, y: number, width: number, height: number, stroke: string, look: StrokeLook = {}): void {
    this.stroke(stroke, look, () => this.context.rect(x, y, width, height));
  }

  curves(ends: readonly number[], stroke: string, look: StrokeLook = {}): void {
    this.stroke(stroke, look, () => {
      for (let at = 0; at < ends.length; at += 4) {
        const [x1, y1, x2, y2] = [ends[at]!, ends[at + 1]!, ends[at + 2]!, ends[at + 3]!];
        const middle = (x1 + x2) / 2;
        this.context.moveTo(x1, y1);
        this.context.bezierCurveTo(middle, y1, middle, y2, x2, y2);
      }
    });
  }

  path(points: readonly number[], stroke: string, look: StrokeLook = {}): void {
    this.stroke(stroke, look, () => {
      for (let at = 0; at < points.length; at += 2) this.context.lineTo(points[at]!, points[at + 1]!);
    });
  }

  polygon(points: readonly number[], fill: string, stroke?: string): void {
    this.context.beginPath();
    for (let at = 0; at < points.length; at += 2) this.context.lineTo(points[at]!, points[at + 1]!);
    this.context.closePath();
    this.context.fillStyle = fill;
    this.context.fill();
    if (stroke === undefined) return;
    this.context.strokeStyle = stroke;
    this.context.lineWidth = 1;
    this.context.stroke();
  }

  text(x: number, y: number, text: string, look: TextLook = {}): void {
    const { context } = this;
    context.save();
    context.globalAlpha = look.alpha ?? 1;
    context.fillStyle = look.color ?? this.theme.foreground;
    context.font = fontOf(look, this.theme);
    context.textAlign = look.align ?? 'left';
    context.textBaseline = 'middle';
    // Without this the writing direction of the document would turn “left” around.
    context.direction = 'ltr';
    context.translate(x, y);
    if (look.turn !== undefined) context.rotate((look.turn * Math.PI) / 180);
    context.fillText(text, 0, 0);
    context.restore();
  }

  pixels(x: number, y: number, width: number, height: number, data: Uint32Array, columns: number): void {
    if (data.length === 0) return;
    this.context.imageSmoothingEnabled = false;
    this.context.drawImage(pixelCanvas(data, columns), x, y, width, height);
  }

  clipped(x: number, y: number, width: number, height: number, draw: () => void): void {
    this.context.save();
    this.context.beginPath();
    this.context.rect(x, y, width, height);
    this.context.clip();
    draw();
    this.context.restore();
  }

  private stroke(color: string, { alpha = 1, width = 1, dash = [] }: StrokeLook, trace: () => void): void {
    const { context } = this;
    context.globalAlpha = alpha;
    context.strokeStyle = color;
    context.lineWidth = width;
    context.setLineDash([...dash]);
    context.beginPath();
    trace();
    context.stroke();
    context.setLineDash([]);
    context.globalAlpha = 1;
  }
}

const XML: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
/** For element content and attributes. What XML has no form for, such as a lone surrogate, becomes a replacement character. */
export const escapeXml = (text: string): string =>
  text
    .replace(/\p{Surrogate}/gu, '\ufffd')
    // eslint-disable-next-line no-control-regex -- these are the characters that XML 1.0 does not allow
    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\ufffd')
    .replace(/[&<>"']/g, (character: string) => XML[character] ?? '');

const number = (value: number): string => String(Math.round(value * 100) / 100);
const attributes = (all: Record<string, string | number | undefined>): string =>
  Object.entries(all)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${name}="${typeof value === 'number' ? number(value) : escapeXml(value ?? '')}"`)
    .join('');

export class SvgSurface implements Surface {
  private readonly parts: string[] = [];
  private clips = 0;

  constructor(private readonly theme: Palette) {}

  rect(x: number, y: number, width: number, height: number, fill: string, alpha?: number): void {
    this.add('rect', { x, y, width, height, fill, opacity: alpha });
  }

  frame(x: number, y: number, width: number, height: number, stroke: string, look: StrokeLook = {}): void {
    this.add('rect', { x, y, width, height, fill: 'none', stroke, ...strokeOf(look) });
  }

  curves(ends: readonly number[], stroke: string, look: StrokeLook = {}): void {
    let d = '';
    for (let at = 0; at < ends.length; at += 4) {
      const [x1, y1, x2, y2] = [ends[at]!, ends[at + 1]!, ends[at + 2]!, ends[at + 3]!];
      const middle = number((x1 + x2) / 2);
      d += `M${number(x1)} ${number(y1)}C${middle} ${number(y1)} ${middle} ${number(y2)} ${number(x2)} ${number(y2)}`;
    }
    this.add('path', { d, fill: 'none', stroke, ...strokeOf(look) });
  }

  path(points: readonly number[], stroke: string, look: StrokeLook = {}): void {
    this.add('polyline', { points: points.map(number).join(' '), fill: 'none', stroke, ...strokeOf(look) });
  }

  polygon(points: readonly number[], fill: string, stroke?: string): void {
    this.add('polygon', { points: points.map(number).join(' '), fill, stroke });
  }

  text(x: number, y: number, text: string, look: TextLook = {}): void {
    const anchor = { left: undefined, center: 'middle', right: 'end' }[look.align ?? 'left'];
    const { size = SIZE, mono = false, bold = false } = look;
    const open = attributes({
      ...{ x, y, dy: '.35em', fill: look.color ?? this.theme.foreground, opacity: look.alpha, 'font-size': size },
      ...{ 'font-family': mono ? this.theme.mono : this.theme.font, 'font-weight': bold ? '600' : undefined },
      ...{ 'text-anchor': anchor, direction: 'ltr' },
      transform: look.turn === undefined ? undefined : `rotate(${number(look.turn)} ${number(x)} ${number(y)})`,
    });
    this.parts.push(`<text${open}>${escapeXml(text)}</text>`);
  }

  pixels(x: number, y: number, width: number, height: number, data: Uint32Array, columns: number): void {
    if (data.length === 0) return;
    this.add('image', {
      ...{ x, y, width, height, preserveAspectRatio: 'none', 'image-rendering': 'pixelated' },
      href: pixelCanvas(data, columns).toDataURL('image/png'),
    });
  }

  clipped(x: number, y: number, width: number, height: number, draw: () => void): void {
    const id = `clip${this.clips++}`;
    const place = attributes({ x, y, width, height });
    this.parts.push(`<clipPath id="${id}"><rect${place}/></clipPath><g clip-path="url(#${id})">`);
    draw();
    this.parts.push('</g>');
  }

  /** What is drawn by `draw` stands this far to the right and down. */
  moved(x: number, y: number, draw: () => void): void {
    this.parts.push(`<g transform="translate(${number(x)} ${number(y)})">`);
    draw();
    this.parts.push('</g>');
  }

  /** The whole file. */
  file(width: number, height: number, title: string): string {
    const size = attributes({ width, height, viewBox: `0 0 ${number(width)} ${number(height)}` });
    return `<svg xmlns="http://www.w3.org/2000/svg" role="img"${size}><title>${escapeXml(title)}</title>${this.parts.join('\n')}</svg>`;
  }

  private add(name: string, all: Record<string, string | number | undefined>): void {
    this.parts.push(`<${name}${attributes(all)}/>`);
  }
}

const strokeOf = ({ alpha, width, dash }: StrokeLook): Record<string, string | number | undefined> => ({
  opacity: alpha,
  'stroke-width': width,
  'stroke-dasharray': dash === undefined || dash.length === 0 ? undefined : dash.join(' '),
});

let ruler: CanvasRenderingContext2D | null = null;

/** Width of a text in CSS pixels. */
export function textWidth(text: string, look: TextLook, theme: Palette): number {
  ruler ??= document.createElement('canvas').getContext('2d');
  if (ruler === null) return text.length * 7;
  ruler.font = fontOf(look, theme);
  return ruler.measureText(text).width;
}
