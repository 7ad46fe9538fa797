/** The Cloze view: the text with its masks, and what the model expects there. */
import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import type { FillMaskResult, MaskResult, TargetResult } from '../../extension/protocol/engine';
import type { ClozeMethods, ClozeState, ContextKind } from '../../extension/protocol/view';
import '../common/barList';
import { bits, count, difference, nats, probability, readable, signed, visible } from '../../extension/protocol/format';
import { EXPORTS, type HeaderAction } from '../common/header';
import { interventionsBar } from '../common/interventions';
import '../common/tokenStrip';
import { stripTokens } from '../common/tokens';
import '../common/toolkit';
import { View } from '../common/view';
import './candidates';
import {
  bestTexts,
  changedRows,
  comparisons,
  jointRows,
  maskTitle,
  pinnedRows,
  predictionRows,
  predictionTitle,
  scaleOf,
  scoreName,
  summary,
  unchangedRows,
  type Side,
} from './rows';

const CONTEXT: Record<ContextKind, string> = { sentence: 'Sentence', paragraph: 'Paragraph', window: 'Window' };
/** The numbers of a prediction. */
const COLUMNS = ['p', 'log p'];
const CHANGED_COLUMNS = ['p', 'difference of log p'];
const FIRST_ROWS = 7;
const COMPARED_ROWS = 5;
const MAX_MASKS = 8;
const TOP_K = [5, 10, 20, 50, 100];

const HELP: HeaderAction = {
  name: 'more',
  icon: 'ellipsis',
  label: 'More Actions',
  items: [
    { name: 'openInEditor', label: 'Open in Editor Area' },
    { name: 'help', label: 'What the Numbers Mean' },
  ],
};

@customElement('onnx-lens-cloze')
export class ClozeView extends View<ClozeState, ClozeMethods> {
  static override styles = [
    View.styles,
    css`
      .where {
        display: flex;
        flex-wrap: wrap;
        column-gap: 6px;
      }
      .where lens-icon {
        font-size: 14px;
      }
      .document {
        display: none;
      }
      .controls {
        margin: 6px 0;
        column-gap: 10px;
        color: var(--vscode-descriptionForeground);
      }
      .controls label {
        display: flex;
        align-items: center;
        gap: 4px;
      }
      .history {
        margin-left: auto;
        margin-right: -4px;
      }
      .history button {
        padding: 2px;
        line-height: 0;
        color: var(--vscode-foreground);
      }
      .masks {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(min(100%, 320px), 1fr));
        column-gap: 28px;
      }
      .sides {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(min(100%, 280px), 1fr));
        column-gap: 28px;
      }
      .was {
        display: flex;
        flex-wrap: wrap;
        column-gap: 10px;
        margin: 8px 0;
        padding: 4px 9px;
        border-radius: 2px;
      }
      .below {
        justify-content: space-between;
        margin-top: 4px;
      }
      .insert {
        margin-top: 10px;
        max-width: 100%;
      }
      h2 + label.row {
        flex-wrap: nowrap;
        margin: 2px 0 4px;
        white-space: nowrap;
      }
      h2 + p {
        margin: 0 0 2px;
      }
      @media (min-width: 420px) {
        .document {
          display: inline;
        }
      }
      @media (min-width: 640px) {
        .columns {
          display: grid;
          grid-template-columns: minmax(0, 1fr) minmax(0, 1fr);
          column-gap: 36px;
        }
      }
      /* What two models say stands beside each other first. */
      @media (min-width: 640px) and (max-width: 1100px) {
        .columns.changed {
          display: block;
        }
      }
      @media (min-width: 1100px) {
        .columns {
          grid-template-columns: minmax(0, 2fr) minmax(0, 1fr);
        }
      }
    `,
  ];
  @state() private expanded = false;

  constructor() {
    super();
    this.addEventListener('keydown', (event) => {
      // An undo in a field is the field's own.
      if (event.key.toLowerCase() !== 'z' || !(event.ctrlKey || event.metaKey) || event.shiftKey) return;
      if (!(event.composedPath()[0] instanceof HTMLInputElement)) this.ask('undo', null);
    });
  }

  override render(): TemplateResult | typeof nothing {
    const { state } = this;
    if (state === null) return nothing;
    const { result } = state;
    const none = result === null;
    const actions: HeaderAction[] = [
      { name: 'refresh', icon: 'refresh', label: 'Predict Again', disabled: none },
      { name: 'follow', icon: 'eye', label: 'Follow the Selection', pressed: state.follow },
      {
        name: 'pin',
        icon: state.pinned ? 'pinned' : 'pin',
        label: 'Pin This Result to Compare',
        pressed: state.pinned !== null,
        disabled: none && !state.pinned,
      },
      { name: 'export', icon: 'export', label: 'Copy or Export', disabled: none, items: EXPORTS },
      HELP,
    ];
    return this.frame(state, {
      name: 'Cloze',
      actions,
      content: none ? (state.status === 'empty' ? this.empty() : nothing) : this.results(state, result),
      said: none ? '' : summary(result),
      changes: interventionsBar(state.interventions, this.ask, result?.tokens),
    });
  }

  protected override act(action: string, state: ClozeState): void {
    if (action === 'follow') this.ask('follow', { on: !state.follow });
    else if (action === 'pin') this.ask('pin', { on: state.pinned === null });
    else if (action === 'openInEditor') this.ask(action, null);
    else super.act(action, state);
  }

  private empty(): TemplateResult {
    return html`<p>
      Select a word in the editor and
      <button class="link" @click=${() => this.ask('run', { command: 'onnxLens.maskSelection' })}>mask it</button> to
      see what the model expects there.
    </p>`;
  }

  private results(state: ClozeState, result: FillMaskResult): TemplateResult {
    const { window } = result;
    const cut = `Text is cut here: the model takes no more than the ${window.tokens} tokens shown.`;
    return html`<lens-token-strip
        toggles
        .tokens=${stripTokens(result.tokens, (token) => ({
          look: token.mask === null ? 'plain' : 'mask',
          ...(token.mask === null ? {} : { title: maskTitle(result, token.mask) }),
        }))}
        label="The model's input; choose a token to mask it"
        cutStart=${window.truncatedStart ? cut : ''}
        cutEnd=${window.truncatedEnd ? cut : ''}
        @token=${(event: CustomEvent<{ index: number; additive: boolean }>) => this.ask('maskToken', event.detail)}
      ></lens-token-strip>
      ${this.where(state, result)} ${this.controls(state)}
      <div class="columns ${result.unchanged === undefined ? '' : 'changed'}">
        <div>
          <div class="masks">${result.masks.map((mask, index) => this.mask(state, result, mask, index))}</div>
          ${this.joint(state, result)} ${this.insert(state, result)}
        </div>
        <div>
          <section aria-label="Candidates">
            <h2>Candidates</h2>
            <lens-candidates
              .texts=${state.candidates}
              .scores=${result.candidates}
              .unchanged=${result.unchanged?.candidates ?? []}
              @texts=${(event: CustomEvent<string[]>) => this.ask('setCandidates', { candidates: event.detail })}
            ></lens-candidates>
          </section>
          ${this.pinned(state, result)} ${this.sides(state, result)}
        </div>
      </div>`;
  }

  private where(state: ClozeState, result: FillMaskResult): TemplateResult {
    const { subject } = state;
    const { tokens } = result.window;
    const place = [
      ...(subject === null ? [] : [CONTEXT[subject.context]]),
      `${tokens} tokens`,
      ...(subject === null ? [] : [`line ${subject.line}`]),
    ].join(' · ');
    return html`<p class="where quiet">
      <button
        class="link quiet"
        title="${subject === null ? '' : `${visible(subject.document)}: `}show in the editor"
        @click=${() => {
          const range = result.targets[0]?.range;
          if (range !== undefined) this.ask('reveal', { range });
        }}
      >
        ${place}${subject === null ? nothing : html`<span class="document"> · ${visible(subject.document)}</span>`}
      </button>
      ${this.warnings(result.window, subject)}
    </p>`;
  }

  private controls(state: ClozeState): TemplateResult {
    const { index, length } = state.history;
    return html`<div class="row controls">
      <label
        >Masks
        <select
          @change=${(event: Event) => {
            const { value } = event.target as HTMLSelectElement;
            this.ask('setMasks', { masks: value === 'auto' ? 'auto' : Number(value) });
          }}
        >
          ${['auto', ...Array.from({ length: MAX_MASKS }, (_, each) => String(each + 1))].map(
            (value) => html`<option value=${value} ?selected=${value === String(state.masks)}>${value}</option>`,
          )}
        </select></label
      >
      <label
        >Top
        <select
          @change=${(event: Event) => this.ask('setTopK', { topK: Number((event.target as HTMLSelectElement).value) })}
        >
          ${[...new Set([...TOP_K, state.topK])]
            .sort((a, b) => a - b)
            .map((value) => html`<option value=${value} ?selected=${value === state.topK}>${value}</option>`)}
        </select></label
      >
      ${
        length < 2
          ? nothing
          : html`<span class="history number">
              ${index + 1} of ${length} ${this.step(state, -1)}${this.step(state, 1)}
            </span>`
      }
    </div>`;
  }

  private step({ history }: ClozeState, step: -1 | 1): TemplateResult {
    const label = step < 0 ? 'Older Result' : 'Newer Result';
    const to = history.index + step;
    const off = to < 0 || to >= history.length;
    return html`<button
      class=${off ? 'off' : ''}
      title=${label}
      aria-label=${label}
      aria-disabled=${String(off)}
      @click=${() => {
        if (!off) this.ask('history', { step });
      }}
    >
      <lens-icon name=${step < 0 ? 'chevron-left' : 'chevron-right'}></lens-icon>
    </button>`;
  }

  private mask(state: ClozeState, result: FillMaskResult, mask: MaskResult, index: number): TemplateResult {
    const target = result.targets[mask.target] as TargetResult;
    const name = result.masks.length > 1 ? `mask ${index + 1}` : null;
    const shown = this.expanded ? mask.predictions.length : FIRST_ROWS;
    const active = state.canInsert && target.masks === 1;
    const before = result.unchanged?.masks[index];
    const scale = scaleOf(mask, before, pinnedOf(state)?.masks[index]);
    return html`<section aria-label="Predictions${name === null ? '' : ` for ${name}`}">
      ${this.was(result, mask, target, index)}
      <div class="sides">
        <div>
          ${predictionsHead(before === undefined ? 'Predictions' : 'With the changes', name, before !== undefined)}
          <lens-bar-list
            .rows=${before === undefined ? predictionRows(mask, shown, scale) : changedRows(mask, before, shown, scale)}
            .columns=${before === undefined ? COLUMNS : CHANGED_COLUMNS}
            label="Predictions, best first${active ? '; Enter puts the word into the document' : ''}"
            ?active=${active}
            @choose=${(event: CustomEvent<number>) => {
              const prediction = mask.predictions[event.detail];
              if (prediction !== undefined) this.ask('insertAt', { target: mask.target, text: prediction.text });
            }}
          ></lens-bar-list>
        </div>
        ${
          before === undefined
            ? nothing
            : html`<div>
                ${predictionsHead('Without them', name, true)}
                <lens-bar-list
                  .rows=${unchangedRows(before, mask, shown, scale)}
                  .columns=${CHANGED_COLUMNS}
                  label="Predictions of the unchanged model${name === null ? '' : ` for ${name}`}"
                ></lens-bar-list>
              </div>`
        }
      </div>
      <div class="row below">
        ${
          mask.predictions.length > FIRST_ROWS
            ? html`<button
                class="link"
                aria-expanded=${String(this.expanded)}
                @click=${() => (this.expanded = !this.expanded)}
              >
                ${this.expanded ? 'Fewer' : `${mask.predictions.length - FIRST_ROWS} more`}
              </button>`
            : html`<span></span>`
        }
        <span class="quiet number" title="${mask.entropy} nats; at most ${Math.log(result.vocabSize)}"
          >entropy ${before === undefined ? '' : `${nats(before.entropy)} → `}${nats(mask.entropy)} nats</span
        >
      </div>
    </section>`;
  }

  private was(
    result: FillMaskResult,
    mask: MaskResult,
    target: TargetResult,
    index: number,
  ): TemplateResult | typeof nothing {
    const { actual } = mask;
    const note =
      target.note !== undefined && target.maskIndices[0] === index
        ? html`<span class="quiet">${target.note}</span>`
        : nothing;
    if (actual === null) return note === nothing ? nothing : html`<p class="was">${note}</p>`;
    const before = result.unchanged?.masks[index]?.actual ?? null;
    const was = (text: string | undefined): TemplateResult | typeof nothing =>
      text === undefined ? nothing : html`<span class="quiet">${text} →</span>`;
    return html`<p class="was number" title=${predictionTitle(actual)}>
      <span>was <strong class="mono">${readable(actual.token)}</strong></span>
      <span
        >rank ${was(before === null ? undefined : count(before.rank))} <strong>${count(actual.rank)}</strong>
        <span class="quiet">of ${count(result.vocabSize)}</span></span
      >
      <span
        >p ${was(before === null ? undefined : probability(before.prob))}
        <strong>${probability(actual.prob)}</strong></span
      >
      ${
        before === null
          ? nothing
          : html`<span title="log p with the changes minus log p without them"
              >Δ log p <strong>${difference(actual.logprob - before.logprob)}</strong></span
            >`
      }
      <span class="quiet">surprisal ${bits(actual.logprob)} bits</span>
      ${note}
    </p>`;
  }

  private joint(state: ClozeState, result: FillMaskResult): TemplateResult | typeof nothing {
    if (result.joint.length === 0) return nothing;
    const score = scoreName(result.kind);
    return html`<section aria-label="Joint fill">
      <h2>
        Joint fill <span class="what">all masks together</span><span class="fill"></span
        ><span class="column" title=${score}>${result.kind === 'masked' ? 'PLL' : 'log p'}</span>
      </h2>
      <lens-bar-list
        long
        .columns=${[score]}
        .rows=${jointRows(this.expanded ? result.joint : result.joint.slice(0, FIRST_ROWS), result.kind)}
        label="Joint fills, best first${state.canInsert ? '; Enter puts the words into the document' : ''}"
        ?active=${state.canInsert}
        @choose=${(event: CustomEvent<number>) => {
          const fill = result.joint[event.detail];
          if (fill !== undefined) this.ask('insert', { texts: fill.texts });
        }}
      ></lens-bar-list>
      ${
        result.actualLogprob === null
          ? nothing
          : html`<p class="quiet number" title="${score} ${result.actualLogprob}">
              what really stood there: ${signed(result.actualLogprob)}
            </p>`
      }
    </section>`;
  }

  private insert(state: ClozeState, result: FillMaskResult): TemplateResult | typeof nothing {
    const texts = bestTexts(result);
    if (texts === null) return nothing;
    const shown = texts.map((text) => visible(text.trim())).join(' … ');
    return html`<vscode-button
      class="insert ${state.canInsert ? '' : 'off'}"
      aria-disabled=${String(!state.canInsert)}
      title="Put the likeliest text into the document"
      @click=${() => {
        if (state.canInsert) this.ask('insert', { texts });
      }}
      >Insert “${shown}”</vscode-button
    >`;
  }

  /** The pinned result's best words with what became of them; the same scale for both. */
  private pinned(state: ClozeState, result: FillMaskResult): TemplateResult | typeof nothing {
    const pinned = pinnedOf(state);
    if (state.pinned === null || pinned === null) return nothing;
    const { label } = state.pinned;
    return html`<section aria-label="Compared with the pinned result">
      ${result.masks.map((now, index) => {
        const before = pinned.masks[index];
        if (before === undefined) return nothing;
        return html`<h2>
            <span class="title">Compared with</span>${
              result.masks.length > 1 ? html`<span class="what">mask ${index + 1}</span>` : nothing
            }<span class="fill"></span><span class="column">p</span
            ><span class="column" title="log p now minus log p there">Δ log p</span>
          </h2>
          <p class="quiet">${visible(label)}</p>
          <lens-bar-list
            .rows=${pinnedRows(before, now, FIRST_ROWS, scaleOf(before, now))}
            .columns=${['p', 'difference of log p']}
            label="Pinned predictions${result.masks.length > 1 ? ` for mask ${index + 1}` : ''}"
          ></lens-bar-list>`;
      })}
    </section>`;
  }

  private sides(state: ClozeState, result: FillMaskResult): TemplateResult | typeof nothing {
    const { compared, comparable } = state;
    if (comparable.length === 0 && compared === null) return nothing;
    return html`<section aria-label="Both sides and left side only">
      <h2>Both sides | left side only</h2>
      <label class="row quiet"
        >Compare with
        <select
          @change=${(event: Event) => {
            const { value } = event.target as HTMLSelectElement;
            this.ask('compareWith', { model: value === '' ? null : value });
          }}
        >
          <option value="">no model</option>
          ${comparable.map((id) => html`<option value=${id} ?selected=${id === compared?.model.id}>${id}</option>`)}
        </select></label
      >
      ${
        compared?.error === undefined
          ? nothing
          : html`<lens-error .error=${compared.error} @log=${() => this.ask('showLog', null)}></lens-error>`
      }
      ${
        compared?.result == null
          ? nothing
          : comparisons(result, compared.result).map(
              ({ sides, note }) =>
                html`${note === undefined ? nothing : html`<p class="quiet">${note}</p>`}
                  <div class="masks">
                    ${sides.map((each) => side(each, scaleOf(...sides.map(({ mask }) => mask))))}
                  </div>`,
            )
      }
    </section>`;
  }
}

/** `mask`: which one, where there are several. The second column is log p, or its difference by the changes. */
const predictionsHead = (title: string, mask: string | null, difference: boolean): TemplateResult =>
  html`<h2>
    <span class="title">${title}</span>${mask === null ? nothing : html`<span class="what">${mask}</span>`}<span
      class="fill"
    ></span
    ><span class="column">p</span>${
      difference
        ? html`<span class="column" title="log p with the changes minus log p without them">Δ log p</span>`
        : html`<span class="column">log p</span>`
    }
  </h2>`;

/** The pinned result, unless it is the one shown. */
const pinnedOf = (state: ClozeState): FillMaskResult | null =>
  state.pinned === null || state.pinned.result === state.result ? null : state.pinned.result;

/** One model's best words for one mask. */
function side({ result, mask, name: which }: Side, scale: number): TemplateResult {
  const name = `P(${which} | ${result.kind === 'masked' ? 'both sides' : 'left side'})`;
  return html`<div>
    <h2>
      <span class="what">${name}</span><span class="fill"></span><span class="column">p</span
      ><span class="column">log p</span>
    </h2>
    <p class="quiet">${result.model}${result.unchanged === undefined ? '' : ', changed'}</p>
    <lens-bar-list .rows=${predictionRows(mask, COMPARED_ROWS, scale)} label="${name}, ${result.model}"></lens-bar-list>
    ${
      mask.actual === null
        ? nothing
        : html`<p class="quiet number" title=${predictionTitle(mask.actual)}>
            was <strong class="mono">${readable(mask.actual.token)}</strong> · rank ${count(mask.actual.rank)} of
            ${count(result.vocabSize)} · p ${probability(mask.actual.prob)}
          </p>`
    }
  </div>`;
}
