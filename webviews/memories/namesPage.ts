/** Memories that have names, as the workspace's file has them. */
import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import { counted, neuronName, visible } from '../../extension/protocol/format';
import type { MemoryName } from '../../extension/protocol/memoriesView';
import '../common/status';
import { memoryTitle, Page } from './page';

@customElement('lens-names-page')
export class NamesPage extends Page {
  static override styles = [
    Page.styles,
    css`
      td.name {
        text-align: left;
        white-space: normal;
        overflow-wrap: anywhere;
      }
      .tags button {
        margin-right: 4px;
      }
    `,
  ];
  @state() private tag: string | null = null;

  override render(): TemplateResult {
    const { names, others, file, error, notes } = this.state.names;
    const tags = [...new Set(names.flatMap((each) => each.tags))].sort();
    const shown = names.filter((each) => this.tag === null || each.tags.includes(this.tag));
    return html`${
      error === null
        ? nothing
        : html`<lens-error .error=${error} @log=${() => this.host.ask('showLog', null)}></lens-error>`
    }
    ${
      file === null
        ? html`<p class="quiet">Open a folder: names of memories are kept in it, so that others have them too.</p>`
        : html`<p class="quiet">
            ${counted(names.length, 'name')} of this model${others === 0 ? '' : `, ${others} of others`}, in
            <button class="link" @click=${() => this.host.ask('openNames', null)}>${file}</button>.
            ${names.length === 0 ? '“Name…” stands in the menu of every memory.' : ''}
          </p>`
    }
    ${notes.map((note) => html`<p class="warning">${visible(note)}</p>`)}
    ${
      tags.length === 0
        ? nothing
        : html`<div class="row tags" role="group" aria-label="Only names with a tag">
            ${tags.map(
              (tag) =>
                html`<button
                  class="bordered"
                  aria-pressed=${String(tag === this.tag)}
                  @click=${() => (this.tag = tag === this.tag ? null : tag)}
                >
                  #${visible(tag)}
                </button>`,
            )}
          </div>`
    }
    ${
      shown.length === 0
        ? nothing
        : html`<div class="table" tabindex="0" role="region" aria-label="Named memories">
            <table>
              <thead>
                <tr>
                  <th>memory</th>
                  <th class="name"><span class="visually-hidden">name</span></th>
                  <th><span class="visually-hidden">change</span></th>
                </tr>
              </thead>
              <tbody>
                ${shown.map((each) => this.row(each))}
              </tbody>
            </table>
          </div>`
    }`;
  }

  private row({ layer, neuron, name, tags }: MemoryName): TemplateResult {
    const memory = { layer, neuron };
    return html`<tr>
      <td>
        <button
          class="link number"
          title="${memoryTitle(memory)}: show its words and what fires it"
          @click=${() => this.host.look({ page: 'memory', memory })}
        >
          ${neuronName(memory)}
        </button>
      </td>
      <td class="name">
        <bdi>${visible(name)}</bdi> ${tags.map((tag) => html`<bdi class="quiet">#${visible(tag)} </bdi>`)}
      </td>
      <td><button class="link" @click=${() => this.host.ask('name', memory)}>Change…</button></td>
    </tr>`;
  }
}
