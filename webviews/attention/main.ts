/** The Attention view: every head of the model on the user's own text, from all at a glance to the numbers of one row. */
import { css, html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import type {
  AttentionComparison,
  AttentionLook,
  AttentionMethods,
  AttentionPage,
  AttentionState,
} from '../../extension/protocol/attentionView';
import type {
  AttentionMaps,
  AttentionOverview,
  AttentionSteps,
  HeadCorpusResult,
  HeadRef,
  HeadRelationsResult,
} from '../../extension/protocol/attention';
import { changeText, counted, headName, visible } from '../../extension/protocol/format';
import { EXPORTS, type HeaderAction } from '../common/header';
import { interventionsBar } from '../common/interventions';
import { Kept, PendingLook } from '../common/kept';
import '../common/tabs';
import '../common/tokenStrip';
import { stripTokens } from '../common/tokens';
import { View } from '../common/view';
import { placeText } from '../common/where';
import { htmlText, pngBytes, svgText } from '../common/pictureFiles';
import './comparePage';
import './corpusPage';
import type { Effects } from './effectsPage';
import './effectsPage';
import './headPage';
import './headsPage';
import type { Host, Page } from './page';
import './relationsPage';
import './stepsPage';

const PAGES: { name: AttentionPage; label: string }[] = [
  { name: 'heads', label: 'Heads' },
  { name: 'head', label: 'Head' },
  { name: 'steps', label: 'Step by Step' },
  { name: 'compare', label: 'Compare' },
  { name: 'effects', label: 'Effects' },
  { name: 'relations', label: 'Relations' },
  { name: 'corpus', label: 'Corpus' },
];
const PICTURES: readonly { name: 'png' | 'svg' | 'html'; label: string }[] = [
  { name: 'png', label: 'Picture as PNG…' },
  { name: 'svg', label: 'Picture as SVG…' },
  { name: 'html', label: 'Page as HTML…' },
];

/** What the host keeps until it is looked at. */
interface Results {
  thumbnails: AttentionOverview['thumbnails'] | null;
  maps: AttentionMaps | null;
  steps: AttentionSteps | null;
  comparison: AttentionComparison | null;
  effects: Effects | null;
  corpus: HeadCorpusResult | null;
  relations: HeadRelationsResult | null;
}
type ResultName = keyof Results;
type Revision = keyof AttentionState['revision'];
const NEEDED: Record<AttentionPage, ResultName[]> = {
  // Importance, when it is known, can be sorted by.
  heads: ['thumbnails', 'effects'],
  head: ['maps'],
  steps: ['steps'],
  compare: ['comparison'],
  effects: ['effects'],
  relations: ['relations'],
  corpus: ['corpus'],
};
const revisionOf = (name: ResultName): Revision => (name === 'thumbnails' ? 'overview' : name);

@customElement('onnx-lens-attention')
export class AttentionView extends View<AttentionState, AttentionMethods> {
  static override styles = [
    View.styles,
    css`
      .where {
        display: flex;
        flex-wrap: wrap;
        column-gap: 6px;
      }
      lens-token-strip {
        max-height: 24vh;
        overflow: auto;
      }
    `,
  ];
  private readonly results = new Kept<Results>(
    this,
    { thumbnails: null, maps: null, steps: null, comparison: null, effects: null, corpus: null, relations: null },
    (name) => this.fetch(name, null),
  );
  private readonly pending = new PendingLook<AttentionLook>(this, (change) => this.fetch('look', change));

  private readonly host: Host = {
    ask: this.ask,
    fetch: this.fetch,
    look: (change) => this.pending.change(change),
  };

  override willUpdate(changed: PropertyValues): void {
    const { state } = this;
    if (state === null) return;
    if (changed.has('state')) this.pending.settle();
    for (const name of NEEDED[this.look(state).page]) this.results.need(name, state.revision[revisionOf(name)]);
  }

  private look({ look }: AttentionState): AttentionLook {
    return this.pending.of(look);
  }

  override render(): TemplateResult | typeof nothing {
    const { state } = this;
    if (state === null) return nothing;
    const { overview } = state;
    const none = overview === null;
    const { page } = this.look(state);
    // Work over files needs no text.
    const overFiles = page === 'corpus' || page === 'relations';
    const actions: HeaderAction[] = [
      { name: 'refresh', icon: 'refresh', label: 'Run Again', disabled: none },
      {
        name: 'inDocument',
        icon: 'eye',
        label: 'Colour the Words in the Document',
        pressed: state.inDocument,
        disabled: none,
      },
      {
        name: 'pin',
        icon: state.pinned ? 'pinned' : 'pin',
        label: 'Pin to This Text',
        pressed: state.pinned,
        disabled: none,
      },
      {
        name: 'export',
        icon: 'export',
        label: 'Copy or Export',
        disabled: none && !overFiles,
        items: [...EXPORTS, ...PICTURES, { name: 'saveState', label: 'Save State…' }],
      },
      {
        name: 'more',
        icon: 'ellipsis',
        label: 'More Actions',
        items: [
          { name: 'openInEditor', label: 'Open in Editor Area' },
          { name: 'help', label: 'What the Numbers Mean' },
        ],
      },
    ];
    return this.frame(state, {
      name: 'Attention',
      actions,
      content:
        none && !overFiles ? (state.status === 'empty' ? this.empty(state) : nothing) : this.content(state, overview),
      said: none ? '' : summary(overview),
      changes: interventionsBar(
        state.interventions,
        this.ask,
        overview?.tokens,
        overFiles ? 'Work over files is done with the unchanged model.' : '',
      ),
    });
  }

  protected override act(action: string, state: AttentionState): void {
    if (action === 'png' || action === 'svg' || action === 'html') void this.save(action, state);
    else if (action === 'pin') this.ask('pin', { on: !state.pinned });
    else if (action === 'inDocument') this.ask('inDocument', { on: !state.inDocument });
    else if (action === 'saveState' || action === 'openInEditor' || action === 'clearInterventions')
      this.ask(action, null);
    else super.act(action, state);
  }

  private async save(format: 'png' | 'svg' | 'html', state: AttentionState): Promise<void> {
    const page = this.renderRoot.querySelector<Page>('.page');
    const picture = page?.picture() ?? null;
    if (picture === null) {
      this.refusal = {
        code: 'bad-input',
        message: 'There is no picture on this page.',
        hint: 'Choose a page with one.',
      };
      return;
    }
    const text = (content: string): Uint8Array => new TextEncoder().encode(content);
    const data =
      format === 'png'
        ? await pngBytes(picture)
        : text(
            format === 'svg'
              ? svgText(picture)
              : htmlText(picture, [state.model?.id ?? '', placeOf(state), ...changesOf(state)].join(' · ')),
          );
    this.ask('saveImage', { format, data });
  }

  private empty({ model }: AttentionState): TemplateResult {
    return html`<p>
        Put the caret into a sentence, or select a text, and
        <button class="link" @click=${() => this.ask('run', { command: 'onnxLens.showAttention' })}>
          show its attention</button
        >: all layers and heads${model === null ? '' : ` of ${visible(model.id)}`}.
      </p>
      <p>
        Two selections
        <button class="link" @click=${() => this.ask('run', { command: 'onnxLens.showAttentionPair' })}>
          as a pair
        </button>
        show what passes between them.
      </p>`;
  }

  private content(state: AttentionState, overview: AttentionState['overview']): TemplateResult {
    const look = this.look(state);
    return html`${overview === null ? nothing : this.text(state, overview, look)}
      <lens-tabs
        .tabs=${PAGES}
        chosen=${look.page}
        label="What of the attention"
        @choose=${(event: CustomEvent<AttentionPage>) => this.host.look({ page: event.detail })}
        >${this.page(state, look)}</lens-tabs
      >
      ${overview?.notes.map((note) => html`<p class="quiet">${visible(note)}</p>`)}`;
  }

  /** What the model read. */
  private text(
    state: AttentionState,
    overview: NonNullable<AttentionState['overview']>,
    look: AttentionLook,
  ): TemplateResult {
    const { window } = overview;
    const cut = `Text is cut here: the model takes no more than the ${window.tokens} tokens shown.`;
    return html`<lens-token-strip
        .tokens=${stripTokens(overview.tokens, ({ token, index, special }) => ({
          look: index === look.target ? 'mask' : 'plain',
          title: `${visible(token)}, token ${index}${index === look.target ? ', the target: let it go' : special ? '' : ': make it the target'}`,
        }))}
        label="The model's input; choose a token to make it the target"
        cutStart=${window.truncatedStart ? cut : ''}
        cutEnd=${window.truncatedEnd ? cut : ''}
        @token=${(event: CustomEvent<{ index: number }>) =>
          this.host.look({ target: event.detail.index === look.target ? null : event.detail.index })}
      ></lens-token-strip>
      ${this.where(state, overview, look)}`;
  }

  private page(state: AttentionState, look: AttentionLook): TemplateResult {
    const { host } = this;
    const kept = this.results.values;
    switch (look.page) {
      case 'heads':
        return html`<lens-heads-page
          class="page"
          .host=${host}
          .state=${state}
          .look=${look}
          .tiles=${kept.thumbnails}
          .importance=${this.importance(state)}
        ></lens-heads-page>`;
      case 'head':
        return html`<lens-head-page
          class="page"
          .host=${host}
          .state=${state}
          .look=${look}
          .maps=${kept.maps}
        ></lens-head-page>`;
      case 'steps':
        return html`<lens-steps-page
          class="page"
          .host=${host}
          .state=${state}
          .look=${look}
          .steps=${kept.steps}
        ></lens-steps-page>`;
      case 'compare':
        return html`<lens-compare-page
          class="page"
          .host=${host}
          .state=${state}
          .look=${look}
          .comparison=${kept.comparison}
        ></lens-compare-page>`;
      case 'effects':
        return html`<lens-effects-page
          class="page"
          .host=${host}
          .state=${state}
          .look=${look}
          .effects=${kept.effects}
        ></lens-effects-page>`;
      case 'relations':
        return html`<lens-relations-page
          class="page"
          .host=${host}
          .state=${state}
          .look=${look}
          .relations=${kept.relations}
        ></lens-relations-page>`;
      case 'corpus':
        return html`<lens-corpus-page
          class="page"
          .host=${host}
          .state=${state}
          .look=${look}
          .corpus=${kept.corpus}
        ></lens-corpus-page>`;
    }
  }

  private ranked: { of: Effects['effects']; importance: Float32Array | null } = { of: null, importance: null };

  /** By head, where it was asked which heads matter: the gradient's importance, or else the size of the effect. */
  private importance({ overview }: AttentionState): Float32Array | null {
    const result = this.results.values.effects?.effects ?? null;
    if (result === null || overview === null) return null;
    if (this.ranked.of !== result) {
      const importance = new Float32Array(overview.layers * overview.heads);
      for (const effect of result.effects)
        importance[effect.layer * overview.heads + effect.head] = effect.importance ?? Math.abs(effect.zero);
      this.ranked = { of: result, importance };
    }
    return this.ranked.importance;
  }

  private where(
    state: AttentionState,
    { tokens, window }: Omit<AttentionOverview, 'thumbnails'>,
    { target }: AttentionLook,
  ): TemplateResult {
    const { subject } = state;
    const shown = tokens[target ?? -1] ?? tokens.find(({ range }) => range !== null);
    return html`<p class="where quiet">
      <button
        class="link quiet"
        title="${subject === null ? '' : `${visible(subject.document)}: `}show in the editor"
        @click=${() => {
          if (shown?.range != null) this.ask('reveal', { range: shown.range, text: shown.text });
        }}
      >
        ${placeOf(state)}
      </button>
      ${this.warnings(window, subject)}
    </p>`;
  }
}

const placeOf = ({ subject, overview }: AttentionState): string => placeText(subject, overview?.tokens ?? []);

/** L7H9 off */
const changesOf = ({ interventions }: AttentionState): string[] => interventions.map((each) => changeText(each));

/** For the screen reader: the result in a sentence. */
function summary({ layers, heads, statistics, missing }: Omit<AttentionOverview, 'thumbnails'>): string {
  const strong = (values: Float32Array): HeadRef & { value: number } => {
    const value = values.reduce((a, b) => Math.max(a, b), 0);
    const at = values.indexOf(value);
    return { layer: Math.floor(at / heads), head: at % heads, value };
  };
  const previous = strong(statistics.previous);
  return (
    `${layers} layers of ${heads} heads. Strongest to the previous token: ${headName(previous)}.` +
    (missing.length === 0 ? '' : ` ${counted(missing.length, 'block')} cannot be read.`)
  );
}
