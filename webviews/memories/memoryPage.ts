/** One memory: its name, the words of its value, and what fires it. */
import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import type { ScoredWord, ValueWords } from '../../extension/protocol/ffn';
import { neuronName, precise, readable, signed, visible } from '../../extension/protocol/format';
import '../common/barList';
import type { BarRow } from '../common/barList';
import { changeOf, figure, memoryTitle, nameOf, Page } from './page';

const SHOWN = 15;

@customElement('lens-memory-page')
export class MemoryPage extends Page {
  static override styles = [
    Page.styles,
    css`
      .head {
        display: flex;
        flex-wrap: wrap;
        align-items: baseline;
        gap: 2px 8px;
      }
      .head strong {
        font-size: 1.15em;
      }
      .sides {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(min(100%, 260px), 1fr));
        gap: 0 40px;
      }
    `,
  ];
  @property({ attribute: false }) result: ValueWords | null = null;

  override render(): TemplateResult {
    const { memory } = this.look;
    if (memory === null)
      return html`<p class="quiet">
        Choose a memory on another page: here are the words that it writes and the texts that fire it.
      </p>`;
    const own = nameOf(this.state, memory);
    const change = changeOf(this.state.interventions, memory);
    const { result } = this;
    return html`<p class="head">
        <strong class="number" title=${memoryTitle(memory)}>${neuronName(memory)}</strong>
        ${own === undefined ? nothing : html`<bdi>${visible(own.name)}</bdi>`}
        ${own?.tags.map((tag) => html`<bdi class="quiet">#${visible(tag)}</bdi>`)}
        ${change === '' ? nothing : html`<span>${change}</span>`}
        <button class="link" @click=${() => this.host.ask('name', memory)}>
          ${own === undefined ? 'Name…' : 'Rename…'}
        </button>
        <button class="link" @click=${() => this.host.ask('intervene', { ...memory, scale: change === '' ? 0 : 1 })}>
          ${change === '' ? 'Switch Off' : 'Switch On'}
        </button>
        ${
          result === null
            ? nothing
            : html`<button
                class="link"
                @click=${() =>
                  this.host.look({
                    ...{ page: 'search', direction: 'promote' },
                    search: result.promoted.slice(0, 3).map(({ id, token }) => ({ id, token })),
                  })}
              >
                Which Others Write Its Words
              </button>`
        }
      </p>
      ${result === null ? nothing : this.words(result)}`;
  }

  private words({ promoted, suppressed, norm, method }: ValueWords): TemplateResult {
    const most = Math.max(...[...promoted, ...suppressed].map(({ score }) => Math.abs(score)), 0);
    const side = (title: string, words: readonly ScoredWord[]): TemplateResult =>
      html`<div>
        <h2><span class="title">${title}</span><span class="fill"></span><span class="column">score</span></h2>
        <lens-bar-list
          label=${title}
          .columns=${['score']}
          .rows=${words.slice(0, SHOWN).map(({ token, score }): BarRow => ({
            label: readable(token),
            fraction: Math.abs(score) / (most || 1),
            numbers: [figure(score)],
            title: `${token}, score ${precise(score)}`,
          }))}
        ></lens-bar-list>
      </div>`;
    return html`<div class="sides">${side('Promotes', promoted)} ${side('Suppresses', suppressed)}</div>
      <p class="quiet number">‖v‖ ${signed(norm, 3)}. Words: ${visible(method)}.</p>`;
  }
}
