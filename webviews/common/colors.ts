/**
 * Every colour that is drawn and not styled: read from the theme's variables, since a canvas knows none. Magnitude goes from the
 * editor's background to blue, difference from red over the background to blue, categories have a shape or a dash beside their hue.
 */

export type Rgb = readonly [red: number, green: number, blue: number];

export interface Palette {
  background: Rgb;
  foreground: string;
  quiet: string;
  border: string;
  focus: string;
  selection: string;
  selectionForeground: string;
  /** High contrast: borders carry what colour carries elsewhere. */
  contrast: boolean;
  magnitude: Rgb;
  negative: Rgb;
  categories: readonly string[];
  font: string;
  mono: string;
}

/** So that small weights are seen. */
const GAMMA = 0.6;
/** The theme's own hues, then two that people with any kind of colour vision tell from them (Okabe & Ito 2008). */
const CATEGORY_VARIABLES = ['blue', 'orange', 'green', 'purple', 'red', 'yellow'];
const MORE_CATEGORIES = ['#cc79a7', '#009e73'];

/** Line dashes, the second cue of categories that are drawn as lines. */
export const DASHES: readonly (readonly number[])[] = [
  [],
  [6, 3],
  [2, 2],
  [9, 3, 2, 3],
  [4, 2],
  [1, 3],
  [12, 4],
  [6, 2, 2, 2],
];

let pen: CanvasRenderingContext2D | null = null;

/** Any colour of CSS as its channels, over a background where it is transparent. */
export function channels(color: string, over: Rgb = [0, 0, 0]): Rgb {
  pen ??= Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d', {
    willReadFrequently: true,
  });
  if (pen === null) return over;
  pen.fillStyle = cssOf(over);
  pen.fillRect(0, 0, 1, 1);
  pen.fillStyle = color;
  pen.fillRect(0, 0, 1, 1);
  const [red = 0, green = 0, blue = 0] = pen.getImageData(0, 0, 1, 1).data;
  return [red, green, blue];
}

export const cssOf = ([red, green, blue]: Rgb): string => `rgb(${red}, ${green}, ${blue})`;

function readPalette(): Palette {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string, fallback: string): string =>
    style.getPropertyValue(`--vscode-${name}`).trim() || fallback;
  const contrastBorder = read('contrastBorder', '');
  const background = channels(read('editor-background', '#ffffff'));
  return {
    background,
    foreground: read('foreground', '#000000'),
    quiet: read('descriptionForeground', '#666666'),
    border: contrastBorder || read('widget-border', read('panel-border', '#cccccc')),
    focus: read('focusBorder', '#0078d4'),
    selection: read('editor-selectionBackground', '#add6ff'),
    selectionForeground: read('editor-selectionForeground', read('foreground', '#000000')),
    contrast: contrastBorder !== '',
    magnitude: channels(read('charts-blue', '#1a85ff'), background),
    negative: channels(read('charts-red', '#e51400'), background),
    categories: [...CATEGORY_VARIABLES.map((name) => read(`charts-${name}`, '#888888')), ...MORE_CATEGORIES],
    font: read('font-family', 'sans-serif'),
    mono: read('editor-font-family', 'monospace'),
  };
}

let current: Palette | undefined;
const listeners = new Set<() => void>();
let observer: MutationObserver | undefined;

export function palette(): Palette {
  watchTheme();
  current ??= readPalette();
  return current;
}

export function onThemeChange(listener: () => void): () => void {
  watchTheme();
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** VS Code changes the style of the document and the class of its body when the theme changes. */
function watchTheme(): void {
  if (observer !== undefined) return;
  observer = new MutationObserver(() => {
    current = undefined;
    for (const each of listeners) each();
  });
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ['style', 'class'] });
  observer.observe(document.body, { attributes: true, attributeFilter: ['class'] });
}

/** As `Uint32Array` over the bytes of image data on little-endian machines, which all browsers run on. */
const pixel = ([red, green, blue]: Rgb): number => ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;

/** Of two colours; 0 is the first. */
export const mix = (from: Rgb, to: Rgb, part: number): Rgb => [
  Math.round(from[0] + (to[0] - from[0]) * part),
  Math.round(from[1] + (to[1] - from[1]) * part),
  Math.round(from[2] + (to[2] - from[2]) * part),
];

/** Pixels for 0…255: a 256th of the full magnitude each. */
export const magnitudeRamp = ({ background, magnitude }: Palette): Uint32Array =>
  Uint32Array.from({ length: 256 }, (_, level) => pixel(mix(background, magnitude, (level / 255) ** GAMMA)));

/** Pixels for −255…255, index 255 being zero and the background. */
export const differenceRamp = ({ background, magnitude, negative }: Palette): Uint32Array =>
  Uint32Array.from({ length: 511 }, (_, index) => {
    const level = (index - 255) / 255;
    return pixel(mix(background, level < 0 ? negative : magnitude, Math.abs(level) ** GAMMA));
  });

/** The opacity of a line of this weight. */
export const opacityOf = (weight: number): number => Math.min(1, Math.max(0, weight)) ** GAMMA;
