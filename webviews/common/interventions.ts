/** What is changed in the model, at the head of every view: each change as a chip, and what can be done with all of them. */
import { css, html, LitElement, nothing, type TemplateResult } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { changeText, count, partName, visible } from '../../extension/protocol/format';
import type { Scale } from '../../extension/protocol/interventions';
import type { InterventionMethods } from '../../extension/protocol/view';
import './chips';
import type { MenuItem } from './menu';
import './menu';
import { base } from './styles';

/** The chips of more changes would push what they change out of sight. */
const MOST_CHIPS = 12;

const ACTIONS: readonly MenuItem[] = [
  { name: 'save', label: 'Save as Recipe…' },
  { name: 'apply', label: 'Apply Recipe…' },
  { name: 'export', label: 'Export Model with Interventions…' },
];

/** What of a token a chip names. */
interface NamedToken {
  index: number;
  token: string;
}

/** Fires `change` (a change by 1 takes it back), `clear` and `recipe` (detail: save, apply or export). */
@customElement('lens-interventions')
export class Interventions extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        display: block;
        margin: 2px 0 4px;
      }
      .row {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 4px 6px;
      }
      .name {
        color: var(--vscode-editorWarning-foreground);
      }
      .name lens-icon {
        font-size: 14px;
        vertical-align: -2px;
      }
      lens-chips {
        min-width: 0;
      }
      .all {
        display: inline-flex;
        align-items: center;
      }
      p {
        margin: 3px 0 0;
      }
    `,
  ];
  @property({ attribute: false }) changes: readonly Scale[] = [];
  /** The model's input in this view: what stands where a change holds. */
  @property({ attribute: false }) tokens: readonly NamedToken[] = [];
  /** What of this view is of the unchanged model all the same. */
  @property() unchanged = '';

  override render(): TemplateResult | typeof nothing {
    const { changes } = this;
    if (changes.length === 0) return nothing;
    const more = changes.length - MOST_CHIPS;
    return html`<section class="row" aria-label="Changes in the model">
        <span class="name"><lens-icon name="warning"></lens-icon> changed model</span>
        <lens-chips
          label="Heads and neurons that are changed"
          .chips=${changes.slice(0, MOST_CHIPS).map((change) => ({
            name: keyOf(change),
            label: changeText(change, this.tokenAt(change)),
            title: titleOf(change),
          }))}
          @remove=${(event: CustomEvent<string>) => this.takeBack(event.detail)}
        ></lens-chips>
        ${more > 0 ? html`<span class="quiet">and ${count(more)} more</span>` : nothing}
        <span class="all"
          ><button class="link" @click=${() => this.dispatchEvent(new CustomEvent('clear'))}>Clear All</button
          ><lens-menu
            icon="ellipsis"
            label="Changes as a Recipe"
            .items=${ACTIONS}
            @pick=${(event: CustomEvent<string>) =>
              this.dispatchEvent(new CustomEvent('recipe', { detail: event.detail }))}
          ></lens-menu
        ></span>
      </section>
      ${
        this.unchanged === ''
          ? nothing
          : html`<p class="warning"><lens-icon name="warning"></lens-icon> ${this.unchanged}</p>`
      }`;
  }

  private tokenAt({ position }: Scale): string | undefined {
    return position === undefined ? undefined : this.tokens.find(({ index }) => index === position)?.token;
  }

  private takeBack(name: string): void {
    const change = this.changes.find((each) => keyOf(each) === name);
    if (change !== undefined) this.dispatchEvent(new CustomEvent('change', { detail: { ...change, scale: 1 } }));
  }
}

const keyOf = (change: Scale): string => `${partName(change)}@${change.position ?? ''}`;

const titleOf = (change: Scale): string =>
  `The output of ${visible(partName(change))} times ${change.scale}, ` +
  (change.position === undefined ? 'at every token' : `at token ${change.position} of the model's input only`);

/** The bar as a view puts it under its head. */
export const interventionsBar = (
  changes: readonly Scale[],
  ask: <K extends keyof InterventionMethods>(method: K, params: InterventionMethods[K][0]) => void,
  tokens: readonly NamedToken[] = [],
  unchanged = '',
): TemplateResult =>
  html`<lens-interventions
    .changes=${changes}
    .tokens=${tokens}
    unchanged=${unchanged}
    @change=${(event: CustomEvent<Scale>) => ask('intervene', event.detail)}
    @clear=${() => ask('clearInterventions', null)}
    @recipe=${(event: CustomEvent<InterventionMethods['recipe'][0]['action']>) => ask('recipe', { action: event.detail })}
  ></lens-interventions>`;
