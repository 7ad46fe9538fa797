/** Marks of categories: a shape beside each hue. */
import { html, svg, type TemplateResult } from 'lit';

const corners = (count: number, turn: number, inner = 1): ((index: number) => [number, number]) => {
  return (index) => {
    const angle = ((turn + (360 * index) / count) * Math.PI) / 180;
    const radius = index % 2 === 0 ? 1 : inner;
    return [Math.cos(angle) * radius, Math.sin(angle) * radius];
  };
};
const outline = (count: number, turn: number, inner?: number): [number, number][] =>
  Array.from({ length: count }, (_, index) => corners(count, turn, inner)(index));

/** Of radius 1 around 0: triangles to the left and right, diamond, square, star, disc, bar, cross. */
const SHAPES: readonly (readonly [number, number][])[] = [
  outline(3, 180),
  outline(3, 0),
  outline(4, 0),
  outline(4, 45),
  outline(10, -90, 0.5),
  outline(16, 0).map(([x, y]) => [0.85 * x, 0.85 * y]),
  [
    [-1, -0.4],
    [1, -0.4],
    [1, 0.4],
    [-1, 0.4],
  ],
  outline(8, 0, 0.42),
];

/** Corners x y x y … of a category's mark. */
export const shapeAt = (category: number, x: number, y: number, radius: number): number[] =>
  (SHAPES[category % SHAPES.length] as [number, number][]).flatMap(([dx, dy]) => [x + dx * radius, y + dy * radius]);

/** For legends. */
export const shapeIcon = (category: number, color: string): TemplateResult =>
  html`<svg aria-hidden="true" width="11" height="11" viewBox="0 0 12 12">
    ${svg`<polygon points=${shapeAt(category, 6, 6, 5).join(' ')} fill=${color}></polygon>`}
  </svg>`;
