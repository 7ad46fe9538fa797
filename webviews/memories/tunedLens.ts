/** The tuned lens of the model above what is read through it: on or off, how good it is, and its training. */
import { css, html, nothing, type TemplateResult } from 'lit';
import { customElement } from 'lit/decorators.js';
import type { TunedLensInfo } from '../../extension/protocol/ffn';
import { count, counted, nats, precise, visible } from '../../extension/protocol/format';
import '../common/status';
import { Page, placeLabel, placeWords } from './page';

@customElement('lens-tuned-lens')
export class TunedLens extends Page {
  static override styles = [
    Page.styles,
    css`
      :host {
        display: block;
      }
      .controls {
        margin: 4px 0;
      }
      details {
        margin: 4px 0;
      }
      summary {
        color: var(--vscode-descriptionForeground);
        cursor: pointer;
      }
      table {
        width: auto;
      }
      td.without {
        text-align: left;
      }
    `,
  ];

  override render(): TemplateResult {
    const { lens, unfinished, running, error } = this.state.tuned;
    const on = this.look.tuned && lens !== null;
    return html`<div class="row controls" role="group" aria-label="Tuned lens">
        <label
          title=${
            lens === null
              ? 'This model has no tuned lens yet: train one'
              : 'Each state goes through an affine map of its own first'
          }
          ><input
            type="checkbox"
            .checked=${on}
            ?disabled=${lens === null}
            @change=${(event: Event) => this.host.look({ tuned: (event.target as HTMLInputElement).checked })}
          />Tuned lens</label
        >
        ${
          running !== null
            ? nothing
            : html`<button class="link" @click=${() => this.host.ask('trainLens', null)}>
                  ${lens === null ? 'Train…' : 'Train Again…'}</button
                >${
                  unfinished === null
                    ? nothing
                    : html`<span
                        >stopped at ${count(unfinished.done)} of ${count(unfinished.tokens)} tokens
                        <button class="link" @click=${() => this.host.ask('goOnTraining', null)}>Go On</button></span
                      >`
                }`
        }
      </div>
      ${
        running === null
          ? nothing
          : html`<lens-progress
              .progress=${{ ...running, message: `Training the tuned lens: ${running.message}` }}
              @cancel=${() => this.host.ask('stopTraining', null)}
            ></lens-progress>`
      }
      ${
        error === null
          ? nothing
          : html`<lens-error .error=${error} @log=${() => this.host.ask('showLog', null)}></lens-error>`
      }
      ${on ? quality(lens) : nothing}`;
  }
}

function quality(lens: TunedLensInfo): TemplateResult {
  const { states, sources, tokens, heldOut, rule, notes, skipped, steps, batch, rate, seed } = lens;
  const mean = (which: 'plain' | 'tuned'): string =>
    nats(states.reduce((sum, state) => sum + state[which], 0) / Math.max(1, states.length));
  return html`<details>
    <summary>
      An affine map of each state, trained on ${count(tokens)} tokens of
      ${sources.length === 1 ? html`<bdi>${visible(sources[0] ?? '')}</bdi>` : `${sources.length} texts`}: KL
      ${mean('plain')} → ${mean('tuned')} nats on text that was held out
    </summary>
    <div class="table" tabindex="0" role="region" aria-label="Divergence of each state">
      <table>
        <thead>
          <tr>
            <th>after</th>
            <th title="Mean KL in nats from what the model says in the end to what its head says of the state">
              as it stands
            </th>
            <th title="The same through the state’s map">tuned</th>
            <th><span class="visually-hidden">note</span></th>
          </tr>
        </thead>
        <tbody>
          ${states.map(
            (state) =>
              html`<tr>
                <td title=${placeWords(state)}>${placeLabel(state)}</td>
                <td title=${precise(state.plain)}>${nats(state.plain)}</td>
                <td title=${precise(state.tuned)}>${nats(state.tuned)}</td>
                <td class="without quiet">${state.used ? nothing : 'no map: it did not help'}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
    <p class="quiet">
      Means over ${counted(heldOut, 'place')}. Adam, rate ${rate} falling to 0, ${counted(steps, 'step')} of at least
      ${batch} tokens, seed ${seed}; ${visible(rule)}.
    </p>
    ${[...notes, ...skipped.map(({ name, why }) => `Left out: ${name}: ${why}`)].map(
      (note) => html`<p class="quiet">${visible(note)}</p>`,
    )}
  </details>`;
}
