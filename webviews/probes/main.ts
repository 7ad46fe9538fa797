/** The Probes view: what a model says to facts, relation by relation, and what another run says instead. */
import { css, html, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';
import { changesText, count, counted, modelName, visible } from '../../extension/protocol/format';
import type {
  ProbeFactDetails,
  ProbeRow,
  ProbesComparison,
  ProbesMethods,
  ProbesPage,
  ProbesState,
  ProbesSummary,
  ProbesTable,
  ShownRun,
} from '../../extension/protocol/probesView';
import { EXPORTS, type HeaderAction } from '../common/header';
import { Kept } from '../common/kept';
import { interventionsBar } from '../common/interventions';
import '../common/tabs';
import { View } from '../common/view';
import './comparePage';
import './factTable';
import './layersPage';
import './relationTable';

const PAGES: { name: ProbesPage; label: string }[] = [
  { name: 'facts', label: 'Facts' },
  { name: 'relations', label: 'Relations' },
  { name: 'compare', label: 'Compare' },
  { name: 'layers', label: 'Layers' },
  { name: 'runs', label: 'Runs' },
];
const TABLES: readonly { name: ProbesTable; label: string }[] = [
  { name: 'md', label: 'Export as Markdown…' },
  { name: 'tex', label: 'Export as LaTeX…' },
];
const STATES: Record<ShownRun['state'], string> = {
  running: 'running',
  finished: '',
  cancelled: 'cancelled',
  failed: 'failed',
};

/** What the host keeps until it is looked at. */
interface Results {
  rows: ProbeRow[] | null;
  summary: ProbesSummary | null;
  comparison: ProbesComparison | null;
}
const NONE: Results = { rows: null, summary: null, comparison: null };
const NEEDED: Record<ProbesPage, (keyof Results)[]> = {
  facts: ['rows'],
  relations: ['summary'],
  compare: ['comparison'],
  layers: ['summary'],
  runs: [],
};

@customElement('onnx-lens-probes')
export class ProbesView extends View<ProbesState, ProbesMethods> {
  static override styles = [
    View.styles,
    css`
      .run {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 2px 8px;
        margin: 4px 0;
      }
      .run select {
        flex: 0 1 auto;
      }
      .run label {
        display: flex;
        align-items: center;
        gap: 6px;
        min-width: 0;
        max-width: 100%;
      }
      ul.runs {
        margin: 4px -14px;
        padding: 0;
        list-style: none;
      }
      .runs li {
        display: flex;
        align-items: center;
        gap: 8px;
        padding: 2px 14px;
      }
      .runs li:hover {
        background: var(--vscode-list-hoverBackground);
      }
      .runs .open {
        flex: 1;
        min-width: 0;
        text-align: left;
      }
      .runs .name {
        display: block;
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
      }
      .runs .shown .name {
        font-weight: 600;
      }
      .runs small {
        font-size: 11px;
      }
    `,
  ];
  private readonly results = new Kept<Results>(this, { ...NONE }, (name) => this.fetch(name, null));
  @state() private details: { index: number; said: ProbeFactDetails | null } | null = null;

  override willUpdate(changed: PropertyValues): void {
    const { state } = this;
    if (state === null) return;
    const before = changed.get('state') as ProbesState | null | undefined;
    if (changed.has('state') && before?.run !== state.run) [this.details, this.results.values] = [null, { ...NONE }];
    for (const name of NEEDED[state.page]) this.results.need(name, state.revision[name]);
  }

  override render(): TemplateResult | typeof nothing {
    const { state } = this;
    if (state === null) return nothing;
    const run = state.runs.find(({ id }) => id === state.run);
    const actions: HeaderAction[] = [
      { name: 'refresh', icon: 'refresh', label: 'Run Again', disabled: run?.repeatable !== true },
      {
        name: 'export',
        icon: 'export',
        label: 'Copy or Export',
        disabled: run === undefined,
        items: [...EXPORTS, ...TABLES],
      },
      {
        name: 'more',
        icon: 'ellipsis',
        label: 'More Actions',
        items: [
          { name: 'openInEditor', label: 'Open in Editor' },
          { name: 'removeAll', label: 'Delete All Runs…' },
          { name: 'help', label: 'What the Numbers Mean' },
        ],
      },
    ];
    return this.frame(state, {
      name: 'Probes',
      actions,
      content: this.content(state, run),
      said: run === undefined ? '' : `${run.title}, ${counted(run.facts, 'fact')}${share(run)}.`,
      changes: interventionsBar(state.interventions, this.ask, [], otherwise(state, run)),
    });
  }

  protected override act(action: string, state: ProbesState): void {
    if (action === 'md' || action === 'tex') this.ask('exportTable', { format: action });
    else if (action === 'openInEditor' || action === 'removeAll') this.ask(action, null);
    else super.act(action, state);
  }

  private content(state: ProbesState, run: ShownRun | undefined): TemplateResult {
    if (run === undefined && state.runs.length === 0)
      return html`<p>
          Write facts into a <span class="mono">.cloze</span> file and
          <button class="link" @click=${() => this.ask('run', { command: 'onnxLens.probeFile' })}>run the file</button>,
          or put a blank into any text and
          <button class="link" @click=${() => this.ask('run', { command: 'onnxLens.probeLine' })}>probe its line</button
          >. LAMA and ParaRel files are in the Test Explorer.
        </p>
        <p class="quiet mono">Francesco Bartolomeo Conti was born in ____.</p>`;
    return html`${this.chooser(state)}
      <lens-tabs
        .tabs=${PAGES}
        chosen=${state.page}
        label="Pages"
        @choose=${(event: CustomEvent<ProbesPage>) => this.ask('look', { page: event.detail })}
        >${this.page(state, run)}</lens-tabs
      >`;
  }

  private chooser(state: ProbesState): TemplateResult {
    return html`<div class="run">
      <select
        aria-label="Run"
        @change=${(event: Event) => this.ask('show', { run: (event.target as HTMLSelectElement).value })}
      >
        ${state.run === null ? html`<option value="" selected>Choose a run</option>` : nothing}
        ${state.runs.map((each) => option(each, state.run))}
      </select>
    </div>`;
  }

  private page(state: ProbesState, run: ShownRun | undefined): TemplateResult | typeof nothing {
    const kept = this.results.values;
    if (state.page === 'runs') return this.runs(state);
    if (run === undefined) return html`<p class="quiet">Choose a run.</p>`;
    switch (state.page) {
      case 'facts':
        return html`<lens-fact-table
          .rows=${kept.rows ?? []}
          .details=${this.details}
          @choose=${(event: CustomEvent<number>) => this.ask('reveal', { index: event.detail })}
          @details=${(event: CustomEvent<number>) => void this.look(event.detail)}
        ></lens-fact-table>`;
      case 'relations':
        return run.state === 'running'
          ? html`<p class="quiet">The numbers are here when the run has ended.</p>`
          : html`<lens-relation-table .summary=${kept.summary}></lens-relation-table>`;
      case 'compare':
        return this.compare(state, run);
      case 'layers':
        return run.state === 'running'
          ? html`<p class="quiet">The numbers are here when the run has ended.</p>`
          : html`<lens-probe-layers
              .summary=${kept.summary}
              ?repeatable=${run.repeatable}
              @ask=${() => this.ask('askLayers', null)}
            ></lens-probe-layers>`;
    }
  }

  private async look(index: number): Promise<void> {
    const said = await this.fetch('details', { index });
    if (said !== undefined) this.details = { index, said };
  }

  private compare(state: ProbesState, run: ShownRun): TemplateResult {
    const others = state.runs.filter(({ id, state: own }) => id !== run.id && own !== 'running');
    const models = run.repeatable ? state.models.filter((model) => model !== run.model) : [];
    return html`<div class="run">
        <label
          ><span class="quiet">with</span>
          <select
            aria-label="Compare with"
            @change=${(event: Event) => {
              const { value } = event.target as HTMLSelectElement;
              this.ask('compareWith', { run: value === '' ? null : value });
            }}
          >
            <option value="" ?selected=${state.other === null}>no other run</option>
            ${others.map((each) => option(each, state.other))}
          </select></label
        >
        ${models.map(
          (model) =>
            html`<button class="bordered" @click=${() => this.ask('again', { model })}>
              Ask ${visible(model)}, Too
            </button>`,
        )}
        ${
          run.repeatable && run.model === state.model?.id && otherwise(state, run) !== ''
            ? html`<button class="bordered" @click=${() => this.ask('again', { model: null })}>
                Ask ${state.interventions.length === 0 ? 'the Unchanged Model' : 'with the Changes'}, Too
              </button>`
            : nothing
        }
      </div>
      ${
        state.other === null
          ? html`<p class="quiet">
              A second run over the same facts, of another model, of a changed one, or with other prompts, shows what
              was gained and lost.
            </p>`
          : html`<lens-probe-comparison
              .comparison=${this.results.values.comparison}
              @choose=${(event: CustomEvent<number>) => this.ask('reveal', { index: event.detail })}
            ></lens-probe-comparison>`
      }`;
  }

  private runs(state: ProbesState): TemplateResult {
    return html`<ul class="runs">
        ${state.runs.map(
          (run) =>
            html`<li class=${run.id === state.run ? 'shown' : ''}>
              <button class="open" title=${titleOf(run)} @click=${() => this.ask('show', { run: run.id })}>
                <span class="name">${visible(run.title)}</span>
                <small class="quiet number"
                  >${visible(modelName(run.model, run.changes))} · ${when(run.startedAt)} ·
                  ${progress(run)}${share(run)}</small
                >
              </button>
              <button
                title="Delete the run"
                aria-label="Delete ${run.title}"
                ?disabled=${run.state === 'running'}
                @click=${() => this.ask('remove', { run: run.id })}
              >
                <lens-icon name="close"></lens-icon>
              </button>
            </li>`,
        )}
      </ul>
      <p class="quiet">Runs over files are kept in this workspace’s storage; those of single lines are not.</p>`;
  }
}

const when = (time: number): string =>
  new Date(time).toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'short' });
const progress = ({ facts, total, state }: ShownRun): string =>
  facts === total
    ? counted(facts, 'fact')
    : `${count(facts)} of ${counted(total, 'fact')}${STATES[state] === '' ? '' : `, ${STATES[state]}`}`;
/** Where the run that is shown was not made with what is in force now. */
const otherwise = ({ interventions }: ProbesState, run: ShownRun | undefined): string =>
  run === undefined || JSON.stringify(run.changes) === JSON.stringify(interventions)
    ? ''
    : `The run shown was made with ${run.changes.length === 0 ? 'the unchanged model' : changesText(run.changes)}.`;
const share = ({ p1 }: ShownRun): string => (p1 === null ? '' : ` · P@1 ${(100 * p1).toFixed(1)} %`);
const titleOf = (run: ShownRun): string =>
  `${run.title}, ${modelName(run.model, run.changes)}, ${when(run.startedAt)}, ${progress(run)}${share(run)}`;

const option = (run: ShownRun, chosen: string | null): TemplateResult =>
  html`<option value=${run.id} ?selected=${run.id === chosen} .selected=${run.id === chosen}>
    ${visible(run.title)} · ${visible(modelName(run.model, run.changes))} · ${when(run.startedAt)}
  </option>`;
