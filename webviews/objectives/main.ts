/** The Objectives view: what a masked language model is trained on, on the user's own text. */
import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import type { CorruptedToken, CorruptResult } from '../../extension/protocol/engine';
import type { ObjectivesMethods, ObjectivesState } from '../../extension/protocol/view';
import '../common/barList';
import { count, nats, probability, readable, signed, visible } from '../../extension/protocol/format';
import { EXPORTS, type HeaderAction } from '../common/header';
import { interventionsBar } from '../common/interventions';
import '../common/tokenStrip';
import { stripTokens } from '../common/tokens';
import '../common/toolkit';
import { View } from '../common/view';

/** For the strip, where colour alone would not do; the mask says what it is. */
const TAGS: Record<CorruptedToken['action'], string | undefined> = { mask: undefined, random: 'random', keep: 'kept' };
const ACTIONS: Record<CorruptedToken['action'], string> = {
  mask: 'replaced by the mask',
  random: 'replaced by a random token',
  keep: 'left as it is',
};

@customElement('onnx-lens-objectives')
export class ObjectivesView extends View<ObjectivesState, ObjectivesMethods> {
  static override styles = [
    View.styles,
    css`
      table {
        width: 100%;
        border-collapse: collapse;
        font-variant-numeric: tabular-nums;
      }
      th,
      td {
        height: 22px;
        padding: 0 6px 0 0;
        text-align: left;
        white-space: nowrap;
      }
      td.mono {
        font-size: 12px;
        overflow-wrap: anywhere;
        white-space: normal;
      }
      td.recovered,
      th.recovered {
        padding-right: 0;
      }
      th {
        font-size: 11px;
        font-weight: 400;
        color: var(--vscode-descriptionForeground);
        border-bottom: 1px solid var(--vscode-contrastBorder, var(--vscode-widget-border, var(--vscode-panel-border)));
      }
      .right {
        text-align: right;
      }
      td lens-icon {
        font-size: 14px;
      }
      td .yes {
        color: var(--vscode-charts-green);
      }
      td .no {
        color: var(--vscode-charts-red);
      }
      blockquote {
        margin: 4px 0;
        padding-left: 8px;
        border-left: 2px solid var(--vscode-textBlockQuote-border, var(--vscode-focusBorder));
        overflow-wrap: anywhere;
      }
      .controls {
        margin: 6px 0;
      }
      vscode-text-field {
        width: 64px;
      }
      @media (min-width: 640px) {
        .columns {
          display: grid;
          grid-template-columns: minmax(0, 3fr) minmax(0, 2fr);
          column-gap: 36px;
        }
      }
    `,
  ];
  override updated(): void {
    // The toolkit names a field without a visible label “Text field”.
    this.renderRoot.querySelector('vscode-text-field')?.setAttribute('aria-label', 'Seed');
  }

  override render(): TemplateResult | typeof nothing {
    const { state } = this;
    if (state === null) return nothing;
    const none = state.corrupt === null && state.nextSentence === null;
    const actions: HeaderAction[] = [
      { name: 'refresh', icon: 'refresh', label: 'Run Again', disabled: none },
      { name: 'export', icon: 'export', label: 'Copy or Export', disabled: none, items: EXPORTS },
      {
        name: 'more',
        icon: 'ellipsis',
        label: 'More Actions',
        items: [{ name: 'help', label: 'What the Numbers Mean' }],
      },
    ];
    return this.frame(state, {
      name: 'Objectives',
      actions,
      content: html`<div class="columns">${this.masked(state)} ${this.nextSentence(state)}</div>`,
      said: state.corrupt !== null ? summary(state.corrupt) : following(state.nextSentence),
      changes: interventionsBar(state.interventions, this.ask, state.corrupt?.tokens),
    });
  }

  private masked(state: ObjectivesState): TemplateResult {
    return html`<section aria-label="Masked language modelling">
      <h2>Masked language modelling</h2>
      <p class="quiet">
        15 % of the tokens are chosen; of these 80 % become the mask, 10 % a random token, 10 % stay. The loss counts
        the chosen ones only.
      </p>
      <div class="row controls">
        <span aria-hidden="true">Seed</span>
        <vscode-text-field
          .value=${String(state.seed)}
          @change=${(event: Event) => {
            const seed = Number((event.target as HTMLInputElement).value);
            if (Number.isSafeInteger(seed) && seed >= 0) this.ask('setSeed', { seed });
          }}
        ></vscode-text-field>
        <button class="bordered" @click=${() => this.ask('setSeed', { seed: state.seed + 1 })}>Next Seed</button>
        <vscode-checkbox
          ?checked=${state.wholeWord}
          @change=${(event: Event) => {
            // It also says so when the host has changed it.
            const { checked: on } = event.target as HTMLInputElement;
            if (on !== this.state?.wholeWord) this.ask('setWholeWord', { on });
          }}
          >Whole words</vscode-checkbox
        >
      </div>
      ${
        state.corrupt === null
          ? html`<p>
              Select a text and
              <button class="link" @click=${() => this.ask('run', { command: 'onnxLens.corruptSelection' })}>
                corrupt it like BERT</button
              >.
            </p>`
          : this.corrupted(state, state.corrupt)
      }
    </section>`;
  }

  private corrupted(state: ObjectivesState, result: CorruptResult): TemplateResult {
    const counts = { mask: 0, random: 0, keep: 0 };
    for (const { action } of result.chosen) counts[action] += 1;
    const recovered = result.chosen.filter((token) => token.recovered).length;
    const eligible = result.tokens.filter(({ range }) => range !== null).length;
    return html`<lens-token-strip
        .tokens=${stripTokens(result.tokens, (token) => {
          const chosen = token.chosen === null ? undefined : result.chosen[token.chosen];
          const tag = chosen && TAGS[chosen.action];
          return chosen === undefined
            ? { look: 'plain', title: `${token.token}, token ${token.index}` }
            : {
                look: chosen.action,
                ...(tag === undefined ? {} : { tag }),
                title: `${readable(chosen.replacement.token)} ${tag ?? ''}, token ${token.index}: ${chosen.original.token} ${ACTIONS[chosen.action]}`,
              };
        })}
        label="The corrupted input"
        @token=${(event: CustomEvent<{ index: number }>) => {
          const range = result.tokens[event.detail.index]?.range;
          if (range != null) this.ask('reveal', { range });
        }}
      ></lens-token-strip>
      <p class="quiet number">
        ${result.chosen.length} of ${eligible} tokens chosen: ${counts.mask} mask, ${counts.random} random,
        ${counts.keep} kept (on average 80 : 10 : 10)
      </p>
      <p class="number">
        <span title="mean over the chosen tokens: ${result.loss} nats">loss <strong>${nats(result.loss)}</strong></span>
        <span class="quiet">nats ·</span> ${recovered} of ${result.chosen.length} recovered
        ${this.warnings(null, state.subject)}
      </p>
      <table aria-label="Chosen tokens">
        <thead>
          <tr>
            <th class="right">#</th>
            <th>was</th>
            <th>became</th>
            <th>predicted</th>
            <th class="right" title="probability of the original token">p(was)</th>
            <th class="recovered right"><span class="visually-hidden">recovered</span></th>
          </tr>
        </thead>
        <tbody>
          ${result.chosen.map((token) => this.chosen(token))}
        </tbody>
      </table>`;
  }

  private chosen({
    position,
    action,
    original,
    replacement,
    predictions,
    actual,
    recovered,
  }: CorruptedToken): TemplateResult {
    const predicted = predictions[0]?.token ?? '';
    const verdict = recovered ? 'recovered' : `not recovered, rank ${count(actual.rank)}`;
    return html`<tr title="${original.token} ${ACTIONS[action]}">
      <td class="right">${position}</td>
      <td class="mono" title=${original.token}>${readable(original.token)}</td>
      <td class="mono" title=${replacement.token}>
        ${action === 'keep' ? html`<span class="quiet">kept</span>` : readable(replacement.token)}
      </td>
      <td class="mono" title=${predicted}>${readable(predicted)}</td>
      <td class="right" title="probability ${actual.prob}, log-probability ${actual.logprob}, rank ${actual.rank}">
        ${probability(actual.prob)}
      </td>
      <td class="recovered right" title=${verdict}>
        <lens-icon class=${recovered ? 'yes' : 'no'} name=${recovered ? 'check' : 'close'}></lens-icon
        ><span class="visually-hidden">${verdict}</span>
      </td>
    </tr>`;
  }

  private nextSentence(state: ObjectivesState): TemplateResult {
    const pair = state.nextSentence;
    return html`<section aria-label="Next sentence">
      <h2>Next sentence</h2>
      <p class="quiet">
        Half of the training pairs follow each other; the other half are random. Label 0 means: the second follows.
      </p>
      ${
        pair === null
          ? html`<p>
              Select two sentences (two selections, or one over both) and ask for the
              <button class="link" @click=${() => this.ask('run', { command: 'onnxLens.nextSentence' })}>
                next-sentence probability</button
              >.
            </p>`
          : html`<blockquote>${visible(pair.first)}</blockquote>
              <blockquote>${visible(pair.second)}</blockquote>
              <lens-bar-list
                .rows=${[
                  { label: 'follows', value: pair.result.isNext },
                  { label: 'random', value: pair.result.notNext },
                ].map(({ label, value }) => ({
                  label,
                  fraction: value,
                  numbers: [probability(value), signed(Math.log(value))],
                  title: `probability ${value}`,
                }))}
                .columns=${['p', 'log p']}
                label="Next-sentence probability"
              ></lens-bar-list>
              ${pair.result.notes.map((note) => html`<p class="quiet">${note}</p>`)}`
      }
    </section>`;
  }
}

/** For the screen reader: the result in a sentence. */
const summary = ({ chosen, loss }: CorruptResult): string =>
  `${chosen.length} tokens chosen, ${chosen.filter(({ recovered }) => recovered).length} recovered, loss ${nats(loss)} nats.`;

const following = (pair: ObjectivesState['nextSentence']): string =>
  pair === null ? '' : `The second sentence follows the first with probability ${probability(pair.result.isNext)}.`;
