/** Static vectors, of a file and of the model's own table: neighbours of a word, analogies, and how they do on files of questions. */
import { css, html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import type { AnalogiesResult } from '../../extension/protocol/embeddings';
import type { StaticAnswers, StaticScores } from '../../extension/protocol/embeddingsView';
import { count, counted, precise, visible } from '../../extension/protocol/format';
import '../common/barList';
import type { BarRow } from '../common/barList';
import { cosineText, Page } from './page';

const FIELDS = ['a', 'b', 'c'];

@customElement('lens-static-page')
export class StaticPage extends Page {
  static override styles = [
    Page.styles,
    css`
      form {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 4px 8px;
        margin: 6px 0;
      }
      form input[type='text'] {
        flex: 1 1 70px;
        min-width: 0;
        max-width: 160px;
      }
      .tables {
        display: grid;
        grid-template-columns: repeat(auto-fit, minmax(min(100%, 260px), 1fr));
        column-gap: 40px;
      }
      .asked {
        font-family: var(--vscode-editor-font-family);
        font-weight: 600;
        text-transform: none;
        letter-spacing: 0;
        overflow-wrap: anywhere;
      }
      td:first-child {
        max-width: 0;
        width: 40%;
        overflow: hidden;
        text-overflow: ellipsis;
      }
      ul {
        margin: 0;
        padding-left: 18px;
      }
    `,
  ];
  @property({ attribute: false }) result: StaticAnswers | null = null;
  @property({ attribute: false }) scores: StaticScores | null = null;
  @state() private kind: 'neighbours' | 'analogy' = 'neighbours';
  @state() private exclude = true;
  private begun = false;

  override willUpdate(changed: PropertyValues<this>): void {
    const question = this.look.question;
    if (this.begun || question === null || !changed.has('look')) return;
    this.begun = true;
    this.kind = question.words.length === 3 ? 'analogy' : 'neighbours';
    this.exclude = question.exclude;
  }

  override render(): TemplateResult {
    return html`${this.file()} ${this.form()} ${this.result === null ? nothing : this.answers(this.result)}
    ${this.testing()}`;
  }

  private file(): TemplateResult {
    const { table } = this.state;
    return html`<div class="row controls">
        <button class="bordered" @click=${() => this.host.ask('openVectors', null)}>Open Word Vectors…</button>
        ${
          table === null
            ? html`<span>GloVe’s text, word2vec’s text or binary, .vec</span>`
            : html`<span
                  ><strong>${visible(table.name)}</strong> ${count(table.words)} words of ${count(table.width)}
                  numbers</span
                >
                <button class="link" @click=${() => this.host.ask('closeVectors', null)}>Close</button>`
        }
      </div>
      ${
        table === null || table.skipped === 0
          ? nothing
          : html`<details>
              <summary>
                <span class="warning">${counted(table.skipped, 'line')} left out</span>
              </summary>
              <ul>
                ${table.told.map(({ line, why }) => html`<li>line ${line}: ${visible(why)}</li>`)}
              </ul>
            </details>`
      }`;
  }

  private form(): TemplateResult {
    const { kind } = this;
    const asked = this.look.question?.words ?? [this.state.word ?? ''];
    const mode = (name: 'neighbours' | 'analogy', label: string): TemplateResult =>
      html`<button type="button" aria-pressed=${String(kind === name)} @click=${() => (this.kind = name)}>
        ${label}
      </button>`;
    const field = (name: string, label: string, value: string): TemplateResult =>
      html`<input type="text" name=${name} aria-label=${label} placeholder=${label} maxlength="200" .value=${value} />`;
    return html`<form @submit=${(event: SubmitEvent) => this.submit(event)}>
      <span class="switch" role="group" aria-label="What is asked">
        ${mode('neighbours', 'Neighbours')} ${mode('analogy', 'Analogy')}
      </span>
      ${
        kind === 'neighbours'
          ? field('word', 'word', asked.length === 1 ? (asked[0] ?? '') : '')
          : html`${field('a', 'a', asked.length === 3 ? (asked[0] ?? '') : '')} is to
            ${field('b', 'b', asked.length === 3 ? (asked[1] ?? '') : '')} as
            ${field('c', 'c', asked.length === 3 ? (asked[2] ?? '') : '')} is to`
      }
      <button class="bordered">Ask</button>
      ${
        kind === 'analogy'
          ? html`<label class="quiet"
              ><input
                type="checkbox"
                .checked=${!this.exclude}
                @change=${(event: Event) => this.allowInputs((event.target as HTMLInputElement).checked)}
              />
              a, b and c may be answers</label
            >`
          : nothing
      }
    </form>`;
  }

  private allowInputs(allowed: boolean): void {
    this.exclude = !allowed;
    const { question } = this.look;
    if (question?.words.length === 3) this.host.look({ question: { ...question, exclude: this.exclude } });
  }

  private submit(event: SubmitEvent): void {
    event.preventDefault();
    const form = new FormData(event.target as HTMLFormElement);
    const words = (this.kind === 'neighbours' ? ['word'] : FIELDS).map((name) => textOf(form.get(name)));
    if (words.every((word) => word !== ''))
      this.host.look({ question: { words, exclude: this.kind === 'neighbours' || this.exclude } });
  }

  private answers({ words, exclude, tables }: StaticAnswers): TemplateResult {
    const [a = '', b, c] = words.map((word) => visible(word));
    const title = b === undefined ? a : `${b} − ${a} + ${c}`;
    return html`<div class="tables">
      ${tables.map(
        ({ name, answer, why }) =>
          html`<div>
            <h2>
              <span class="title">Nearest to</span><span class="asked">${title}</span
              ><span class="what">in ${visible(name)}${exclude ? '' : ', inputs may be answers'}</span>
            </h2>
            ${
              answer === null
                ? html`<p class="warning">${visible(why ?? '')}</p>`
                : html`<lens-bar-list
                      label="Nearest to ${title} in ${visible(name)}"
                      .columns=${['cosine']}
                      .rows=${answer.neighbours.map(({ word, cosine }): BarRow => ({
                        ...{ label: visible(word), fraction: Math.max(0, cosine), title: precise(cosine) },
                        numbers: [cosineText(cosine)],
                        ...(words.includes(word) ? { remark: 'asked' } : {}),
                      }))}
                    ></lens-bar-list>
                    <p class="quiet number">cosine; ${count(answer.words)} words of ${count(answer.width)} numbers</p>`
            }
          </div>`,
      )}
    </div>`;
  }

  private testing(): TemplateResult {
    const { scores } = this;
    return html`<h2><span class="title">Test on files</span></h2>
      <div class="row controls">
        <button class="bordered" @click=${() => this.host.ask('score', { what: 'rated' })}>Rated Pairs…</button>
        <button class="bordered" @click=${() => this.host.ask('score', { what: 'analogies' })}>Analogies…</button>
      </div>
      ${
        scores === null
          ? html`<p class="quiet">
              Two words and people’s rating on each line (WordSim-353, SimLex-999 …), or four words, “: name” beginning
              a section (questions-words.txt).
            </p>`
          : html`<p class="quiet">${visible(scores.file)}</p>
              ${scores.tables.map((table) => this.score(table))}`
      }`;
  }

  private score({ name, rated, analogies, why }: StaticScores['tables'][number]): TemplateResult {
    if (rated !== null)
      return html`<p class="number">
        <strong>${visible(name)}</strong>:
        <span title=${precise(rated.spearman)}>ρ ${cosineText(rated.spearman)}</span> (Spearman),
        <span title=${precise(rated.pearson)}>r ${cosineText(rated.pearson)}</span> (Pearson) of ${count(rated.covered)}
        of ${counted(rated.pairs, 'pair')}
      </p>`;
    if (analogies !== null) return this.sections(name, analogies);
    return html`<p><strong>${visible(name)}</strong>: <span class="warning">${visible(why ?? '')}</span></p>`;
  }

  private sections(name: string, { sections, words }: AnalogiesResult): TemplateResult {
    const total = { section: 'all', questions: 0, covered: 0, right: 0, rightWithInputs: 0 };
    for (const each of sections) {
      total.questions += each.questions;
      total.covered += each.covered;
      total.right += each.right;
      total.rightWithInputs += each.rightWithInputs;
    }
    return html`<div class="table" tabindex="0" role="region" aria-label="Analogies in ${visible(name)}">
        <table>
          <thead>
            <tr>
              <th>${visible(name)}</th>
              <th title="With a, b and c no answers">right</th>
              <th title="Where a, b and c may be answers">with inputs</th>
              <th title="Questions all of whose words are there">covered</th>
            </tr>
          </thead>
          <tbody>
            ${[total, ...sections].map(
              (each) =>
                html`<tr>
                  <td title=${visible(each.section)}>${visible(each.section)}</td>
                  <td>${percent(each.right, each.covered)}</td>
                  <td>${percent(each.rightWithInputs, each.covered)}</td>
                  <td title="of ${count(each.questions)}">${count(each.covered)}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>
      <p class="quiet number">Answers are sought among ${count(words)} words.</p>`;
  }
}

const textOf = (value: FormDataEntryValue | null): string => (typeof value === 'string' ? value.trim() : '');

const percent = (part: number, whole: number): string => (whole === 0 ? '–' : `${((100 * part) / whole).toFixed(1)} %`);
