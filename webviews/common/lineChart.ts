/** Values over layers as lines, each with a mark of its own. The pointer or the arrow keys read a value. */
import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { CanvasElement, type Extent, type Viewport } from './canvasElement';
import { DASHES, type Palette } from './colors';
import { cursorCell, moved, type Cell } from './gridCursor';
import { shapeAt } from './shapes';
import { textWidth, type Surface } from './surface';

export interface Series {
  label: string;
  /** One a layer; null where there is none. */
  values: readonly (number | null)[];
}

export interface ChartPicture {
  series: readonly Series[];
  format: (value: number) => string;
  /** What stands below and what is said of each place; layers from 0 where there are none. An empty label is left out. */
  columns?: readonly { label: string; title: string }[];
  /** A value that is marked by a line across, such as 1 of a rate. */
  reference?: number;
}

const HEIGHT = 150;
const BOTTOM = 20;
const TOP = 10;
const RIGHT = 10;

interface Axes {
  left: number;
  low: number;
  high: number;
  ticks: number[];
  xOf: (layer: number) => number;
  yOf: (value: number) => number;
}

/** Steps of 1, 2 or 5 that make three to six of the range. */
export function ticksOf(low: number, high: number): number[] {
  const raw = (high - low || 1) / 4;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5, 10].find((each) => each * power >= raw) ?? 10);
  const from = Math.floor(low / step);
  return Array.from({ length: Math.ceil(high / step) - from + 1 }, (_, index) => (from + index) * step);
}

const numbers = (series: readonly Series[]): number[] =>
  series.flatMap(({ values }) => values.filter((value) => value !== null && Number.isFinite(value)) as number[]);

function axes({ series, reference, format }: ChartPicture, width: number, theme: Palette): Axes {
  const all = [...numbers(series), 0, ...(reference === undefined ? [] : [reference])];
  const ticks = ticksOf(Math.min(...all), Math.max(...all));
  const [low, high] = [ticks[0] ?? 0, ticks.at(-1) ?? 1];
  const left = Math.ceil(Math.max(...ticks.map((tick) => textWidth(format(tick), { size: 10 }, theme)))) + 8;
  const layers = Math.max(1, (series[0]?.values.length ?? 1) - 1);
  return {
    ...{ left, low, high, ticks },
    xOf: (layer) => left + 6 + (layer * (width - left - RIGHT - 6)) / layers,
    yOf: (value) => HEIGHT - BOTTOM - ((value - low) / (high - low)) * (HEIGHT - BOTTOM - TOP),
  };
}

export function drawChart(
  surface: Surface,
  picture: ChartPicture,
  width: number,
  near: Cell | null,
  theme: Palette,
): void {
  const { left, ticks, xOf, yOf } = axes(picture, width, theme);
  const look = { size: 10, color: theme.quiet } as const;
  for (const tick of ticks) {
    surface.rect(left, Math.round(yOf(tick)), width - left - RIGHT, 1, theme.border);
    surface.text(left - 5, yOf(tick), picture.format(tick), { ...look, align: 'right' });
  }
  if (picture.reference !== undefined)
    surface.path([left, yOf(picture.reference), width - RIGHT, yOf(picture.reference)], theme.quiet, { dash: [4, 3] });
  const layers = picture.series[0]?.values.length ?? 0;
  const step = Math.max(1, Math.ceil((layers * 16) / (width - left)));
  for (let layer = 0; layer < layers; layer += picture.columns === undefined ? step : 1)
    surface.text(xOf(layer), HEIGHT - BOTTOM / 2, picture.columns?.[layer]?.label ?? String(layer), {
      ...look,
      align: 'center',
    });
  picture.series.forEach(({ values }, index) => {
    const color = theme.categories[index % theme.categories.length] ?? theme.foreground;
    let points: number[] = [];
    const finish = (): void => {
      if (points.length > 2) surface.path(points, color, { width: 1.5, dash: DASHES[index % DASHES.length] ?? [] });
      points = [];
    };
    values.forEach((value, layer) => {
      if (value === null || !Number.isFinite(value)) finish();
      else points.push(xOf(layer), yOf(value));
    });
    finish();
    values.forEach((value, layer) => {
      if (value === null || !Number.isFinite(value)) return;
      const strong = near?.row === index && near.column === layer;
      surface.polygon(shapeAt(index, xOf(layer), yOf(value), strong ? 6 : 3), color, strong ? theme.focus : undefined);
    });
  });
}

export const chartHeight = HEIGHT;

/** Fires nothing: its read-out is below it. */
@customElement('lens-line-chart')
export class LineChart extends CanvasElement {
  static override styles = [
    CanvasElement.styles,
    css`
      .legend {
        display: flex;
        flex-wrap: wrap;
        column-gap: 12px;
      }
    `,
  ];
  @property({ attribute: false }) picture: ChartPicture = { series: [], format: String };
  @property() label = '';
  @state() private cursor: Cell = { row: 0, column: 0 };
  @state() private hover: Cell | null = null;
  @state() private focused = false;

  override render(): TemplateResult | typeof nothing {
    const { series } = this.picture;
    const layers = series[0]?.values.length ?? 0;
    if (layers === 0) return nothing;
    const near = this.near;
    return html`<div
        class="scroller"
        role="grid"
        tabindex="0"
        aria-label=${this.label}
        aria-rowcount=${series.length}
        aria-colcount=${layers}
        aria-activedescendant="cell"
        @focus=${() => (this.focused = true)}
        @blur=${() => (this.focused = false)}
        @keydown=${(event: KeyboardEvent) => this.onKey(event, layers)}
        @pointermove=${this.onMove}
        @pointerleave=${() => (this.hover = null)}
      >
        ${this.canvas()}${cursorCell(this.cursor, this.say(this.cursor))}
      </div>
      <div class="legend number quiet">${near === null ? 'layer' : this.say(near)}</div>`;
  }

  private get near(): Cell | null {
    return this.hover ?? (this.focused ? this.cursor : null);
  }

  private say({ row, column }: Cell): string {
    const { series, format, columns } = this.picture;
    const value = series[row]?.values[column];
    const shown = value == null || !Number.isFinite(value) ? 'not known' : format(value);
    return `${columns?.[column]?.title ?? `layer ${column}`}, ${series[row]?.label ?? ''}: ${shown}`;
  }

  private onKey(event: KeyboardEvent, layers: number): void {
    const next = moved(event, this.cursor, this.picture.series.length, layers);
    if (next === undefined) return;
    event.preventDefault();
    this.cursor = next;
    this.hover = null;
  }

  private drawnAxes: Axes | undefined;

  private readonly onMove = (event: PointerEvent): void => {
    const { drawnAxes } = this;
    if (drawnAxes === undefined) return;
    const { x, y } = this.pointOf(event);
    let best = Infinity;
    let cell: Cell | null = null;
    this.picture.series.forEach(({ values }, row) =>
      values.forEach((value, column) => {
        if (value === null || !Number.isFinite(value)) return;
        const distance = Math.hypot(drawnAxes.xOf(column) - x, drawnAxes.yOf(value) - y);
        if (distance < best) [best, cell] = [distance, { row, column }];
      }),
    );
    this.hover = cell;
  };

  protected override extent(room: number): Extent {
    return { width: room, height: HEIGHT };
  }

  protected override draw(surface: Surface, { width }: Viewport, theme: Palette): void {
    this.drawnAxes = axes(this.picture, width, theme);
    drawChart(surface, this.picture, width, this.near, theme);
  }
}
