/** What the model would say at every token of the text after each layer: tokens × layers. */
import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { LogitLensTable } from '../../extension/protocol/ffn';
import { count, nats, precise, probability, readable, visible } from '../../extension/protocol/format';
import type { MemoriesLook } from '../../extension/protocol/memoriesView';
import { palette } from '../common/colors';
import type { Cell } from '../common/gridCursor';
import '../common/matrix';
import { drawMatrix, matrixLayout, type MatrixPicture } from '../common/matrixPicture';
import type { Picture } from '../common/pictureFiles';
import { headText, Page, placeLabel, placeWords } from './page';
import './tunedLens';

const CELL_WIDTH = 76;
const COLOURS: Record<MemoriesLook['colour'], { label: string; what: string }> = {
  probability: { label: 'probability', what: 'p of the word in the cell: none to 1' },
  rank: { label: 'rank of the answer', what: 'rank of what is said at the end: far to first' },
  entropy: { label: 'entropy', what: 'entropy: sure to undecided' },
};

@customElement('lens-text-page')
export class TextPage extends Page {
  static override styles = [
    Page.styles,
    css`
      lens-matrix {
        margin-top: 4px;
      }
    `,
  ];
  @property({ attribute: false }) result: LogitLensTable | null = null;
  @state() private cell: Cell | null = null;

  override render(): TemplateResult {
    const { result, look } = this;
    if (result === null) return this.tunedLens();
    const target = result.tokens.findIndex(({ index }) => index === this.state.target);
    return html`${this.tunedLens()}
      <div class="row controls">
        <label
          >Colour
          <select
            @change=${(event: Event) =>
              this.host.look({ colour: (event.target as HTMLSelectElement).value as MemoriesLook['colour'] })}
          >
            ${Object.entries(COLOURS).map(
              ([name, { label }]) => html`<option value=${name} ?selected=${name === look.colour}>${label}</option>`,
            )}
          </select></label
        >
        <label title=${result.tuned === null ? '' : 'A tuned lens has no map of what stands between attention and FFN'}
          ><input
            type="checkbox"
            .checked=${look.between && result.tuned === null}
            ?disabled=${result.tuned !== null}
            @change=${(event: Event) => this.host.look({ between: (event.target as HTMLInputElement).checked })}
          />Also after attention</label
        >
      </div>
      <p class="quiet">
        ${result.predicts === 'next' ? 'At each token, the word after it' : 'At each token, the word there'}. Colour:
        ${COLOURS[look.colour].what}. Choose a cell to look at its token.
      </p>
      <lens-matrix
        .picture=${this.pictureOf(result)}
        .target=${target < 0 ? null : { column: target }}
        label="What is said at each token after each layer"
        .describe=${(row: number, column: number) => this.say(result, row, column)}
        @cell=${(event: CustomEvent<Cell | null>) => (this.cell = event.detail)}
        @choose=${(event: CustomEvent<Cell>) => this.choose(result, event.detail)}
      ></lens-matrix>
      <div class="readout">${this.readout(result)}</div>
      <p class="quiet">Head: ${visible(headText(result))}.</p>
      ${result.notes.map((note) => html`<p class="quiet">${visible(note)}</p>`)}`;
  }

  private drawn: { result: LogitLensTable; colour: MemoriesLook['colour']; picture: MatrixPicture } | null = null;

  /** The same object while nothing changes. The last layer is on top. */
  private pictureOf(result: LogitLensTable): MatrixPicture {
    const { colour } = this.look;
    if (this.drawn?.result === result && this.drawn.colour === colour) return this.drawn.picture;
    const { places, tokens, top, words } = result;
    const names = new Map(words.map(({ id, token }) => [id, readable(token)]));
    const order = [...places.keys()].reverse();
    const cells = order.flatMap((state) => tokens.map((_, column) => state * tokens.length + column));
    const picture: MatrixPicture = {
      rows: order.map((state) => placeLabel(places[state] ?? { layer: 0, part: 'input' })),
      columns: tokens.map(({ token, special }) => (special ? token : readable(token))),
      values: Float32Array.from(cells, (at) => strengthOf(result, colour, at)),
      ...{ ramp: 'magnitude', full: 1, rowHeight: 20, columnWidth: CELL_WIDTH },
      words: cells.map((at) => names.get(top[at] ?? -1) ?? ''),
      format: (value) => probability(value),
    };
    this.drawn = { result, colour, picture };
    return picture;
  }

  private at({ places, tokens }: LogitLensTable, row: number, column: number): number {
    return (places.length - 1 - row) * tokens.length + column;
  }

  private say(result: LogitLensTable, row: number, column: number): string {
    const { places, tokens, top, probs, ranks, entropies, words } = result;
    const place = places[places.length - 1 - row];
    const at = this.at(result, row, column);
    const word = (index: number): string => readable(words.find(({ id }) => id === top[index])?.token ?? '');
    const final = (places.length - 1) * tokens.length + column;
    return (
      `${readable(tokens[column]?.token ?? '')}, ${place === undefined ? '' : placeWords(place)}: ` +
      `${word(at)} ${probability(probs[at] ?? NaN)}; ${word(final)}, the answer, rank ${count(ranks[at] ?? 0)}; ` +
      `entropy ${nats(entropies[at] ?? NaN)} nats`
    );
  }

  private readout(result: LogitLensTable): TemplateResult | typeof nothing {
    const { cell } = this;
    if (cell === null || cell.row < 0 || cell.column < 0) return nothing;
    const at = this.at(result, cell.row, cell.column);
    return html`<span title="p ${precise(result.probs[at] ?? NaN)}">${this.say(result, cell.row, cell.column)}</span>`;
  }

  private choose({ tokens }: LogitLensTable, { column }: Cell): void {
    const token = tokens[column];
    if (token?.range != null) this.host.ask('target', { index: token.index });
  }

  override picture(): Picture | null {
    const { result } = this;
    if (result === null) return null;
    const picture = this.pictureOf(result);
    const layout = matrixLayout(picture, 0, 1, palette());
    const { width, height } = layout;
    const marks = { cursor: null, hover: null, only: null, target: null };
    return {
      title: `${result.model}: logit lens along the text`,
      ...{ width, height },
      draw: (surface, theme) => drawMatrix(surface, picture, layout, { left: 0, top: 0, width, height }, marks, theme),
      notes: [headText(result), ...result.notes],
      table: { columns: ['after', ...picture.columns], rows: [] },
    };
  }
}

/** 0…1: how strong the colour is. */
function strengthOf({ probs, ranks, entropies }: LogitLensTable, colour: MemoriesLook['colour'], at: number): number {
  switch (colour) {
    case 'probability':
      return probs[at] ?? NaN;
    case 'rank': {
      const worst = ranks.reduce((most, rank) => Math.max(most, rank), 10);
      return 1 - Math.log10(ranks[at] ?? worst) / Math.log10(worst);
    }
    case 'entropy': {
      const most = entropies.reduce((a, b) => Math.max(a, b), 0);
      return (entropies[at] ?? NaN) / (most || 1);
    }
  }
}
