/** Memories that fire together on the text: where each group fires, in which layers it is, and which memories it has. */
import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import type { MemoryGroup, MemoryGroups } from '../../extension/protocol/ffn';
import { neuronName, percent, precise, readable, signed, visible } from '../../extension/protocol/format';
import { wordIndices } from '../../extension/protocol/words';
import { figure, layersText, nameOf, Page } from './page';
import { shadeOf, shades } from './shades';

const MOST_GROUPS = 12;

@customElement('lens-groups-page')
export class GroupsPage extends Page {
  static override styles = [
    Page.styles,
    shades,
    css`
      .text {
        font-family: var(--vscode-editor-font-family);
        line-height: 1.7;
        margin: 4px 0;
        overflow-wrap: anywhere;
        unicode-bidi: plaintext;
      }
      .token {
        padding: 1px 0;
      }
      .special {
        color: var(--vscode-descriptionForeground);
      }
      .members {
        margin: 4px 0 14px;
      }
      .members button {
        margin-right: 10px;
      }
    `,
  ];
  @property({ attribute: false }) result: MemoryGroups | null = null;

  override render(): TemplateResult {
    const { look, result } = this;
    const counts = Array.from({ length: MOST_GROUPS - 1 }, (_, index) => index + 2);
    return html`<div class="row controls">
        <label
          >Groups
          <select
            @change=${(event: Event) => this.host.look({ groups: Number((event.target as HTMLSelectElement).value) })}
          >
            ${counts.map((each) => html`<option value=${each} ?selected=${each === look.groups}>${each}</option>`)}
          </select></label
        >
      </div>
      ${result === null ? nothing : this.groups(result)}`;
  }

  private groups(result: MemoryGroups): TemplateResult {
    return html`${result.groups.map((group, index) => this.group(result, group, index))}
      <p class="quiet number">
        Left unexplained: ${figure(result.error)} of the length of all activations. Found by ${visible(result.method)}.
      </p>
      ${result.notes.map((note) => html`<p class="quiet">${visible(note)}</p>`)}`;
  }

  private group({ tokens }: MemoryGroups, group: MemoryGroup, index: number): TemplateResult {
    const words = wordIndices(tokens);
    return html`<section aria-label="Group ${index + 1}">
      <h2>
        <span class="title">Group ${index + 1}</span
        ><span class="what number">${percent(group.share)} of all that fires; ${layersText(group.layers)}</span>
      </h2>
      <p class="text">
        ${tokens.map((token, at) => {
          const fires = group.tokens[at] ?? 0;
          const apart = at > 0 && words[at] !== words[at - 1] ? ' ' : '';
          return html`${apart}<span
              class="token s${shadeOf(fires)} ${token.special ? 'special' : ''}"
              title="${visible(token.token)}, token ${token.index}: ${figure(fires, 2)} of where it fires most"
              >${visible(token.special ? token.token : readable(token.token))}</span
            >`;
        })}
      </p>
      <p class="members number">
        ${group.members.map((memory) => {
          const own = nameOf(this.state, memory);
          const { layer, neuron, weight } = memory;
          return html`<button
            class="link"
            title="m where the group fires most: ${precise(weight)}. Show the memory"
            @click=${() => this.host.look({ page: 'memory', memory: { layer, neuron } })}
          >
            ${neuronName(memory)}${own === undefined ? nothing : html` <bdi>${visible(own.name)}</bdi>`}
            ${signed(weight)}
          </button>`;
        })}
      </p>
    </section>`;
  }
}
