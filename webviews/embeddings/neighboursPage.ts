/** Words of the person's files that are used like the word at the caret, at the layer that is looked at. */
import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import type { CorpusNeighboursResult, StoredIndex } from '../../extension/protocol/embeddings';
import { counted, count, fileSize, visible } from '../../extension/protocol/format';
import './foundList';
import { layerSlider, layerText, Page } from './page';

@customElement('lens-neighbours-page')
export class NeighboursPage extends Page {
  static override styles = [
    Page.styles,
    css`
      ul {
        margin: 4px 0;
        padding: 0;
        list-style: none;
      }
      .stored {
        display: flex;
        align-items: baseline;
        column-gap: 8px;
      }
      .stored .what {
        flex: 1;
        overflow-wrap: anywhere;
      }
      @media (min-width: 820px) {
        .columns {
          display: grid;
          grid-template-columns: minmax(0, 3fr) minmax(0, 2fr);
          column-gap: 40px;
        }
      }
    `,
  ];
  @property({ attribute: false }) result: CorpusNeighboursResult | null = null;

  override render(): TemplateResult {
    const { result, state } = this;
    const { index } = state;
    return html`${this.controls()} ${index.state === 'none' || index.state === 'begun' ? this.unbuilt() : nothing}
    ${
      result === null && index.state === 'finished' && state.word === null
        ? html`<p class="quiet">Put the caret on a word to see which words of your files are used like it.</p>`
        : nothing
    }
    ${
      result === null
        ? this.stored()
        : html`<div class="columns">
            <div>${this.list(result)}</div>
            <div>${this.stored()}</div>
          </div>`
    }`;
  }

  private controls(): TemplateResult {
    const { state, look } = this;
    const { folder } = state.index;
    const layers = ['static', ...Array.from({ length: (state.layers ?? -1) + 1 }, (_, layer) => layer)];
    const at = look.layer === null ? layers.length - 1 : layers.indexOf(look.layer);
    const what = (name: 'workspace' | 'folder', label: string, chosen: boolean): TemplateResult =>
      html`<button aria-pressed=${String(chosen)} @click=${() => this.host.ask('indexWhat', { what: name })}>
        ${label}
      </button>`;
    return html`<div class="row controls">
      <span>Texts of</span>
      <span class="switch" role="group" aria-label="Texts of">
        ${what('workspace', 'Workspace', folder === null)}
        ${what('folder', folder === null ? 'Folder…' : visible(folder), folder !== null)}
      </span>
      ${
        layers.length > 1
          ? layerSlider(layers, at, {
              // A layer has an index of its own: it is asked for when the slider is let go.
              event: 'change',
              choose: (index) => this.host.look({ layer: layers[index] as 'static' | number }),
            })
          : nothing
      }
    </div>`;
  }

  private unbuilt(): TemplateResult {
    const { index, status } = this.state;
    const layer = layerText(this.look.layer ?? this.state.layers ?? 'the last');
    if (index.files === 0)
      return html`<p class="quiet">
        There is no text here: .txt, .md, .tsv or .conllu. Open a folder with texts, or choose one.
      </p>`;
    return html`<p class="quiet">
        The vectors of all words of ${counted(index.files ?? 0, 'file')} at layer ${layer} are computed once and kept on
        this machine; then only what changes is read.
        ${index.state === 'begun' ? 'A part of it is there already.' : nothing}
      </p>
      <p>
        <button class="bordered" ?disabled=${status === 'loading'} @click=${() => this.host.ask('buildIndex', null)}>
          ${index.state === 'begun' ? 'Go On with the Index' : `Build Index of ${counted(index.files ?? 0, 'File')}`}
        </button>
      </p>`;
  }

  private list(result: CorpusNeighboursResult): TemplateResult {
    const { neighbours, layer } = result;
    return html`<h2>
        <span class="title">Used like it</span><span class="what">cosine at ${layerText(layer)}; opens the place</span>
      </h2>
      ${this.summary(result)}
      <lens-found-list
        marked
        label="Used like ${visible(result.word)}"
        .rows=${neighbours}
        @choose=${(event: CustomEvent<number>) => this.host.ask('openNeighbour', { index: event.detail })}
      ></lens-found-list>`;
  }

  private summary({ word, neighbours, sameWord, tags, index, searched }: CorpusNeighboursResult): TemplateResult {
    const tagged = tags.reduce((sum, tag) => sum + tag.count, 0);
    const parts = tags.map((tag) => `${tag.count} ${visible(tag.name)}`).join(', ');
    return html`<p class="number">
        ${sameWord} of ${neighbours.length} are the same word,
        ${visible(word)}${tagged === 0 ? '' : `; part of speech, known of ${tagged}: ${parts}`}.
      </p>
      <p class="quiet number">
        Among ${count(index.words)} words of ${counted(index.files, 'file')}, exactly, in ${searched.toFixed(0)} ms.
        Each sentence went into the model by itself.
      </p>
      ${index.skipped.map(({ name, why }) => html`<p class="quiet">Left out: ${visible(name)}: ${visible(why)}</p>`)}`;
  }

  private stored(): TemplateResult | typeof nothing {
    const { stored } = this.state.index;
    if (stored.length === 0) return nothing;
    const bytes = stored.reduce((sum, each) => sum + each.bytes, 0);
    return html`<h2><span class="title">Indexes on disk</span><span class="what">${fileSize(bytes)}</span></h2>
      <ul aria-label="Indexes on disk">
        ${stored.map(
          (each, index) =>
            html`<li class="stored">
              <span class="what" title=${visible(each.model.folder)}
                >${visible(each.model.id)} <span class="quiet">${describe(each)}</span></span
              >
              <span class="number">${fileSize(each.bytes)}</span>
              <button
                class="link"
                aria-label="Delete the index of ${visible(each.model.id)}, ${describe(each)}"
                @click=${() => this.host.ask('deleteIndex', { index })}
              >
                Delete
              </button>
            </li>`,
        )}
      </ul>
      ${
        stored.length > 1
          ? html`<p>
              <button class="link" @click=${() => this.host.ask('deleteIndex', { index: null })}>Delete All</button>
            </p>`
          : nothing
      }`;
  }
}

function describe({ layer, pool, finished }: StoredIndex): string {
  const what = pool === 'word' ? 'words' : `sentences (${pool})`;
  return `${what}, ${layer === 'static' || typeof layer === 'object' ? layerText(layer) : `layer ${layer}`}${finished ? '' : ', not whole'}`;
}
