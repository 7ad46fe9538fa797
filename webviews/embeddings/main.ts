/** The Embeddings view: a word, its occurrences, sentences and whole texts as vectors, from layer to layer. */
import { css, html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import type {
  CompareModelsResult,
  ContextualityResult,
  CorpusNeighboursResult,
  LearnMixResult,
  OccurrencesResult,
  WordMixResult,
  WordResult,
} from '../../extension/protocol/embeddings';
import type {
  EmbeddingsLook,
  EmbeddingsMethods,
  EmbeddingsPage,
  EmbeddingsState,
  SentenceComparison,
  StaticAnswers,
  StaticScores,
} from '../../extension/protocol/embeddingsView';
import { counted, visible } from '../../extension/protocol/format';
import { EXPORTS, type HeaderAction } from '../common/header';
import { Kept, PendingLook } from '../common/kept';
import { interventionsBar } from '../common/interventions';
import '../common/tabs';
import { View } from '../common/view';
import './contextualityPage';
import './mixPage';
import './neighboursPage';
import './occurrencesPage';
import { cosineText, layerText, type Host } from './page';
import './sentencesPage';
import './staticPage';
import './wordPage';

const PAGES: { name: EmbeddingsPage; label: string }[] = [
  { name: 'word', label: 'Word' },
  { name: 'occurrences', label: 'Occurrences' },
  { name: 'neighbours', label: 'Neighbours' },
  { name: 'mix', label: 'Layer Mix' },
  { name: 'sentences', label: 'Sentences' },
  { name: 'contextuality', label: 'Contextuality' },
  { name: 'static', label: 'Word Vectors' },
];

/** What of a page is of the unchanged model, whatever is changed. */
const UNCHANGED: Partial<Record<EmbeddingsPage, string>> = {
  neighbours: 'The index and the neighbours in it are those of the unchanged model.',
  sentences: 'Passages found in the index are those of the unchanged model.',
  contextuality: 'The comparison with another model is of both unchanged models.',
  static: 'Word vectors are those of their table, which nothing changes.',
};

/** What the host keeps until it is looked at. */
interface Results {
  word: WordResult | null;
  occurrences: OccurrencesResult | null;
  neighbours: CorpusNeighboursResult | null;
  mix: WordMixResult | null;
  learned: LearnMixResult | null;
  static: StaticAnswers | null;
  scores: StaticScores | null;
  passages: CorpusNeighboursResult | null;
  compared: CompareModelsResult | null;
  sentences: SentenceComparison | null;
  contextuality: ContextualityResult | null;
}

@customElement('onnx-lens-embeddings')
export class EmbeddingsView extends View<EmbeddingsState, EmbeddingsMethods> {
  static override styles = [
    View.styles,
    css`
      .where {
        display: flex;
        flex-wrap: wrap;
        column-gap: 6px;
        margin: 4px 0;
      }
      .word {
        font-family: var(--vscode-editor-font-family);
        font-weight: 600;
        overflow-wrap: anywhere;
      }
    `,
  ];
  private readonly results = new Kept<Results>(
    this,
    {
      ...{ word: null, occurrences: null, neighbours: null, mix: null, learned: null },
      ...{ sentences: null, contextuality: null, static: null, scores: null, passages: null, compared: null },
    },
    (name) => this.fetch(name, null),
  );
  private readonly pending = new PendingLook<EmbeddingsLook>(this, (change) => this.fetch('look', change));

  private readonly host: Host = {
    ask: this.ask,
    look: (change) => this.pending.change(change),
  };

  override willUpdate(changed: PropertyValues): void {
    const { state } = this;
    if (state === null) return;
    if (changed.has('state')) this.pending.settle();
    const { page } = this.look(state);
    this.results.need(page, state.revision[page]);
    if (page === 'mix') this.results.need('learned', state.revision.learned);
    if (page === 'contextuality') this.results.need('compared', state.revision.compared);
    if (page === 'sentences') this.results.need('passages', state.revision.passages);
    if (page === 'static') this.results.need('scores', state.revision.scores);
  }

  private look({ look }: EmbeddingsState): EmbeddingsLook {
    return this.pending.of(look);
  }

  override render(): TemplateResult | typeof nothing {
    const { state } = this;
    if (state === null) return nothing;
    const look = this.look(state);
    const { revision } = state;
    const beside: Partial<Record<EmbeddingsPage, number>> = {
      sentences: revision.passages,
      contextuality: revision.compared,
    };
    const none = revision[look.page] === 0 && (beside[look.page] ?? 0) === 0;
    const actions: HeaderAction[] = [
      { name: 'refresh', icon: 'refresh', label: 'Run Again', disabled: none },
      { name: 'export', icon: 'export', label: 'Copy or Export', disabled: none, items: EXPORTS },
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
      name: 'Embeddings',
      actions,
      content: html`<lens-tabs
        .tabs=${PAGES}
        chosen=${look.page}
        label="What of the embeddings"
        @choose=${(event: CustomEvent<EmbeddingsPage>) => this.host.look({ page: event.detail })}
        >${this.page(state, look)}</lens-tabs
      >`,
      said: this.said(look),
      changes: interventionsBar(state.interventions, this.ask, [], UNCHANGED[look.page]),
    });
  }

  protected override act(action: string, state: EmbeddingsState): void {
    if (action === 'openInEditor') this.ask(action, null);
    else super.act(action, state);
  }

  private page(state: EmbeddingsState, look: EmbeddingsLook): TemplateResult {
    const { host } = this;
    const kept = this.results.values;
    switch (look.page) {
      case 'word':
        return kept.word === null
          ? state.status === 'empty'
            ? html`<p>
                Put the caret on a word and
                <button class="link" @click=${() => this.ask('run', { command: 'onnxLens.showEmbeddings' })}>
                  show its embeddings</button
                >: its vector at every layer, and what it is near to there.
              </p>`
            : html`${nothing}`
          : html`${this.where(state, kept.word)}
              <lens-word-page .host=${host} .state=${state} .look=${look} .result=${kept.word}></lens-word-page>`;
      case 'occurrences':
        return html`<lens-occurrences-page
          .host=${host}
          .state=${state}
          .look=${look}
          .result=${kept.occurrences}
        ></lens-occurrences-page>`;
      case 'neighbours':
        return html`<lens-neighbours-page
          .host=${host}
          .state=${state}
          .look=${look}
          .result=${kept.neighbours}
        ></lens-neighbours-page>`;
      case 'mix':
        return html`<lens-mix-page
          .host=${host}
          .state=${state}
          .look=${look}
          .result=${kept.mix}
          .learned=${kept.learned}
        ></lens-mix-page>`;
      case 'sentences':
        return html`<lens-sentences-page
          .host=${host}
          .state=${state}
          .look=${look}
          .result=${kept.sentences}
          .passages=${kept.passages}
        ></lens-sentences-page>`;
      case 'contextuality':
        return html`<lens-contextuality-page
          .host=${host}
          .state=${state}
          .look=${look}
          .result=${kept.contextuality}
          .compared=${kept.compared}
        ></lens-contextuality-page>`;
      case 'static':
        return html`<lens-static-page
          .host=${host}
          .state=${state}
          .look=${look}
          .result=${kept.static}
          .scores=${kept.scores}
        ></lens-static-page>`;
    }
  }

  private where({ subject }: EmbeddingsState, { word, window }: WordResult): TemplateResult {
    return html`<p class="where quiet">
      <button
        class="link word"
        title="${subject === null ? '' : `${visible(subject.document)}: `}show in the editor"
        @click=${() => this.ask('reveal', { range: word.range })}
      >
        ${visible(word.text)}
      </button>
      ${word.pieces.length > 1 ? html`<span>${visible(word.pieces.join(' '))}</span>` : nothing}
      <span>${counted(window.tokens, 'token')}${subject === null ? '' : ` · line ${subject.line}`}</span>
      ${this.warnings(window, subject)}
    </p>`;
  }

  /** For the screen reader: the result in a sentence. */
  private said({ page }: EmbeddingsLook): string {
    const { word, occurrences, neighbours, mix, static: fixed, sentences, contextuality } = this.results.values;
    if (page === 'word' && word !== null) {
      const last = word.layers.at(-1);
      return `${word.word.text} at ${layerText(last?.layer)}: cosine with its static row ${cosineText(last?.toStatic)}.`;
    }
    if (page === 'occurrences' && occurrences !== null)
      return `${counted(occurrences.occurrences.length, 'occurrence')} of ${occurrences.word}.`;
    if (page === 'neighbours' && neighbours !== null)
      return `${counted(neighbours.neighbours.length, 'neighbour')} of ${neighbours.word}, ${neighbours.sameWord} of them the same word.`;
    if (page === 'mix' && mix !== null)
      return `${mix.word.text} in this mix is nearest to ${mix.neighbours[0]?.text ?? 'no row of the table'}.`;
    if (page === 'static' && fixed !== null)
      return fixed.tables
        .map(({ name, answer, why }) => `In ${name}: ${answer?.neighbours[0]?.word ?? why ?? 'nothing'}.`)
        .join(' ');
    if (page === 'sentences' && sentences !== null)
      return `${counted(sentences.sentences.length, 'sentence')} compared.`;
    if (page === 'contextuality' && contextuality !== null)
      return `Measured on ${counted(contextuality.sentences, 'sentence')}.`;
    return '';
  }
}
