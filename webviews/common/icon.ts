/** A codicon inside a shadow root: the font comes with the document, the code points are those of codicon.csv. */
import { css, html, LitElement, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';

const CODE_POINTS = {
  check: 0xeab2,
  'chevron-left': 0xeab5,
  'chevron-right': 0xeab6,
  close: 0xea76,
  ellipsis: 0xea7c,
  export: 0xebac,
  eye: 0xea70,
  pin: 0xeb2b,
  pinned: 0xeba0,
  refresh: 0xeb37,
  warning: 0xea6c,
} as const;
export type IconName = keyof typeof CODE_POINTS;

@customElement('lens-icon')
export class Icon extends LitElement {
  static override styles = css`
    :host {
      display: inline-block;
      font: normal 16px/16px codicon;
      vertical-align: middle;
    }
  `;
  @property() name: IconName = 'ellipsis';

  override render(): TemplateResult {
    return html`<span aria-hidden="true">${String.fromCodePoint(CODE_POINTS[this.name])}</span>`;
  }
}
