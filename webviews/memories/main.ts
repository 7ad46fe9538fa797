/** The Memories view: what the layers write at a word, which memories wrote it, and what the model would say after each of them. */
import { css, html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import type {
  LogitLensTable,
  MemoryGroups,
  SimilarMemories,
  ValueClusters,
  ValueSearch,
  ValueWords,
} from '../../extension/protocol/ffn';
import { count, counted, neuronName, readable, visible } from '../../extension/protocol/format';
import type {
  MemoriesLook,
  MemoriesMethods,
  MemoriesPage,
  MemoriesState,
  ShownLens,
  ShownMemories,
  ShownTriggers,
} from '../../extension/protocol/memoriesView';
import { EXPORTS, type HeaderAction } from '../common/header';
import { interventionsBar } from '../common/interventions';
import { Kept, PendingLook } from '../common/kept';
import { pngBytes, svgText } from '../common/pictureFiles';
import '../common/tabs';
import '../common/tokenStrip';
import { stripTokens } from '../common/tokens';
import { View } from '../common/view';
import { placeText } from '../common/where';
import './groupsPage';
import './lensPage';
import './memoriesPage';
import { memoriesSaid } from './memoriesPage';
import './memoryPage';
import './namesPage';
import type { Host, Page } from './page';
import './searchPage';
import './textPage';

const PAGES: { name: MemoriesPage; label: string }[] = [
  { name: 'memories', label: 'Memories' },
  { name: 'lens', label: 'Logit Lens' },
  { name: 'text', label: 'Along the Text' },
  { name: 'groups', label: 'Groups' },
  { name: 'search', label: 'Search' },
  { name: 'memory', label: 'One Memory' },
  { name: 'names', label: 'Names' },
];
const PICTURES = [
  { name: 'png', label: 'Picture as PNG…' },
  { name: 'svg', label: 'Picture as SVG…' },
] as const;
/** Pages on the text that is looked at. */
const OF_TEXT: readonly MemoriesPage[] = ['memories', 'lens', 'text', 'groups'];
/** Those that can be had as a picture. */
const DRAWN: readonly MemoriesPage[] = ['memories', 'lens', 'text'];

/** What of a page is of the unchanged model all the same. */
const UNCHANGED: Partial<Record<MemoriesPage, string>> = {
  search: 'Words of values are those of the unchanged model.',
  memory: 'Words and texts are those of the unchanged model.',
};

/** What the host keeps until it is looked at. */
interface Results {
  memories: ShownMemories | null;
  lens: ShownLens | null;
  text: LogitLensTable | null;
  groups: MemoryGroups | null;
  search: ValueSearch | null;
  clusters: ValueClusters | null;
  memory: ValueWords | null;
  triggers: ShownTriggers | null;
  similar: SimilarMemories | null;
}

@customElement('onnx-lens-memories')
export class MemoriesView extends View<MemoriesState, MemoriesMethods> {
  static override styles = [
    View.styles,
    css`
      .where {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        column-gap: 10px;
      }
      .where label {
        display: inline-flex;
        align-items: center;
        gap: 4px;
      }
      input[type='checkbox'] {
        width: 14px;
        height: 14px;
        margin: 0;
        accent-color: var(--vscode-focusBorder);
      }
      lens-token-strip {
        max-height: 24vh;
        overflow: auto;
      }
    `,
  ];
  private readonly results = new Kept<Results>(
    this,
    {
      memories: null,
      lens: null,
      text: null,
      groups: null,
      search: null,
      clusters: null,
      memory: null,
      triggers: null,
      similar: null,
    },
    (name) => this.fetch(name, null),
  );
  private readonly pending = new PendingLook<MemoriesLook>(this, (change) => this.fetch('look', change));

  private readonly host: Host = {
    ask: this.ask,
    look: (change) => this.pending.change(change),
  };

  override willUpdate(changed: PropertyValues): void {
    const { state } = this;
    if (state === null) return;
    if (changed.has('state')) this.pending.settle();
    const { page } = this.look(state);
    if (page === 'names') return;
    const wanted =
      page === 'memory'
        ? (['memory', 'triggers', 'similar'] as const)
        : page === 'search'
          ? (['search', 'clusters'] as const)
          : ([page] as const);
    for (const name of wanted) this.results.need(name, state.revision[name]);
  }

  private look({ look }: MemoriesState): MemoriesLook {
    return this.pending.of(look);
  }

  override render(): TemplateResult | typeof nothing {
    const { state } = this;
    if (state === null) return nothing;
    const look = this.look(state);
    const { page } = look;
    const none =
      page === 'names'
        ? state.names.names.length === 0
        : state.revision[page] + (page === 'search' ? state.revision.clusters : 0) === 0;
    const actions: HeaderAction[] = [
      { name: 'refresh', icon: 'refresh', label: 'Run Again', disabled: none && page !== 'names' },
      {
        name: 'inDocument',
        icon: 'eye',
        label: 'Colour the Words in the Document by the Memory',
        pressed: state.inDocument,
        disabled: look.memory === null,
      },
      {
        name: 'export',
        icon: 'export',
        label: 'Copy or Export',
        disabled: none,
        items: DRAWN.includes(page) ? [...EXPORTS, ...PICTURES] : EXPORTS,
      },
      {
        name: 'more',
        icon: 'ellipsis',
        label: 'More Actions',
        items: [
          { name: 'openNames', label: 'Open File of Names' },
          { name: 'openInEditor', label: 'Open in Editor Area' },
          { name: 'help', label: 'What the Numbers Mean' },
        ],
      },
    ];
    return this.frame(state, {
      name: 'Memories',
      actions,
      content: html`${OF_TEXT.includes(page) && state.input !== null ? this.text(state, state.input, look) : nothing}
        <lens-tabs
          .tabs=${PAGES}
          chosen=${page}
          label="What of the memories"
          @choose=${(event: CustomEvent<MemoriesPage>) => this.host.look({ page: event.detail })}
          >${OF_TEXT.includes(page) && state.status === 'empty' ? this.empty(state) : this.page(state, look)}</lens-tabs
        >`,
      said: this.said(look),
      changes: interventionsBar(state.interventions, this.ask, state.input?.tokens, UNCHANGED[page]),
    });
  }

  protected override act(action: string, state: MemoriesState): void {
    if (action === 'png' || action === 'svg') void this.save(action);
    else if (action === 'inDocument') this.ask('inDocument', { on: !state.inDocument });
    else if (action === 'openInEditor' || action === 'openNames') this.ask(action, null);
    else super.act(action, state);
  }

  private async save(format: 'png' | 'svg'): Promise<void> {
    const picture = this.renderRoot.querySelector<Page>('.page')?.picture() ?? null;
    if (picture === null) return;
    const data = format === 'png' ? await pngBytes(picture) : new TextEncoder().encode(svgText(picture));
    this.ask('saveImage', { format, data });
  }

  private empty({ model }: MemoriesState): TemplateResult {
    return html`<p>
      Put the caret on a word and
      <button class="link" @click=${() => this.ask('run', { command: 'onnxLens.showMemories' })}>
        show what the layers write there</button
      >: which memories${model === null ? '' : ` of ${visible(model.id)}`} fire, what words they write, and what would
      be said after each layer.
    </p>`;
  }

  /** What the model read, and at which of its tokens is looked. */
  private text(
    state: MemoriesState,
    { tokens, window, mask }: NonNullable<MemoriesState['input']>,
    { mask: masks, page }: MemoriesLook,
  ): TemplateResult {
    const cut = `Text is cut here: the model takes no more than the ${window.tokens} tokens shown.`;
    const target = state.target ?? this.askedAt(page);
    // A mask that stands in the text can be chosen as a word can.
    const chosen = tokens.map((token) => ({ ...token, special: token.special && token.range === null }));
    const range = tokens[target ?? -1]?.range ?? null;
    return html`<lens-token-strip
        .tokens=${stripTokens(chosen, ({ token, index, special }) => ({
          look: index === target ? 'mask' : 'plain',
          title: `${visible(token)}, token ${index}${index === target ? ', the target' : special ? '' : ': look at it'}`,
        }))}
        label="The model's input; choose a token to look at it"
        cutStart=${window.truncatedStart ? cut : ''}
        cutEnd=${window.truncatedEnd ? cut : ''}
        @token=${(event: CustomEvent<{ index: number }>) => this.ask('target', { index: event.detail.index })}
      ></lens-token-strip>
      <p class="where quiet">
        <button
          class="link quiet"
          title="${state.subject === null ? '' : `${visible(state.subject.document)}: `}show in the editor"
          @click=${() => {
            if (range !== null) this.ask('reveal', { range, text: tokens[target ?? 0]?.text ?? 0 });
          }}
        >
          ${placeText(state.subject, tokens)}
        </button>
        ${
          mask === null
            ? nothing
            : html`<label title="A word that stands there would only be copied"
                ><input
                  type="checkbox"
                  .checked=${masks}
                  @change=${(event: Event) => this.host.look({ mask: (event.target as HTMLInputElement).checked })}
                />Mask the word</label
              >`
        }
        ${this.warnings(window, state.subject)}
      </p>`;
  }

  /** Where the engine looked by itself, when no word of the text is looked at. */
  private askedAt(page: MemoriesPage): number | null {
    const { memories, lens } = this.results.values;
    return page === 'memories'
      ? (memories?.target.position ?? null)
      : page === 'lens'
        ? (lens?.target.position ?? null)
        : null;
  }

  private page(state: MemoriesState, look: MemoriesLook): TemplateResult {
    const { host } = this;
    const kept = this.results.values;
    switch (look.page) {
      case 'memories':
        return html`<lens-memories-page
          class="page"
          .host=${host}
          .state=${state}
          .look=${look}
          .result=${kept.memories}
        ></lens-memories-page>`;
      case 'lens':
        return html`<lens-lens-page
          class="page"
          .host=${host}
          .state=${state}
          .look=${look}
          .result=${kept.lens}
        ></lens-lens-page>`;
      case 'text':
        return html`<lens-text-page
          class="page"
          .host=${host}
          .state=${state}
          .look=${look}
          .result=${kept.text}
        ></lens-text-page>`;
      case 'groups':
        return html`<lens-groups-page
          class="page"
          .host=${host}
          .state=${state}
          .look=${look}
          .result=${kept.groups}
        ></lens-groups-page>`;
      case 'search':
        return html`<lens-search-page
          class="page"
          .host=${host}
          .state=${state}
          .look=${look}
          .result=${kept.search}
          .clusters=${kept.clusters}
        ></lens-search-page>`;
      case 'memory':
        return html`<lens-memory-page
          class="page"
          .host=${host}
          .state=${state}
          .look=${look}
          .result=${kept.memory}
          .triggers=${kept.triggers}
          .similar=${kept.similar}
        ></lens-memory-page>`;
      case 'names':
        return html`<lens-names-page class="page" .host=${host} .state=${state} .look=${look}></lens-names-page>`;
    }
  }

  /** For the screen reader: the result in a sentence. */
  private said({ page }: MemoriesLook): string {
    const { memories, lens, text, groups, search, memory } = this.results.values;
    if (page === 'memories' && memories !== null) return memoriesSaid(memories);
    if (page === 'lens' && lens !== null)
      return `${lens.states.length} states; in the end ${readable(lens.target.token)}.`;
    if (page === 'text' && text !== null)
      return `${counted(text.tokens.length, 'token')} after ${text.places.length} states.`;
    if (page === 'groups' && groups !== null) return `${groups.groups.length} groups of memories.`;
    if (page === 'search' && search !== null) return `${count(search.total)} values found.`;
    if (page === 'memory' && memory !== null) return `The words of ${neuronName(memory)}.`;
    return '';
  }
}
