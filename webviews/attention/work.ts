/** Long work over files: how far it is, how to stop it, and what went wrong. */
import { html, nothing, type TemplateResult } from 'lit';
import type { AttentionState } from '../../extension/protocol/attentionView';
import '../common/status';
import { visible } from '../../extension/protocol/format';
import type { Host } from './page';

export function workOf(
  host: Host,
  { work, workError }: AttentionState,
  what: 'corpus' | 'relations',
  found: { skipped: readonly { name: string; why: string }[] } | null,
): TemplateResult {
  const here = work?.what === what;
  return html`${
      here
        ? html`<lens-progress .progress=${work.progress} @cancel=${() => host.ask('stopWork', null)}></lens-progress>`
        : html`<div class="row controls">
            <button class="bordered" @click=${() => host.ask('corpusFiles', { what })}>Choose Files…</button>
            ${
              found === null
                ? nothing
                : html`<button class="bordered" @click=${() => host.ask('resumeWork', { what })}>Go On</button>`
            }
          </div>`
    }
    <lens-error .error=${workError ?? undefined} @log=${() => host.ask('showLog', null)}></lens-error>
    ${
      found === null || found.skipped.length === 0
        ? nothing
        : html`<details>
            <summary>${found.skipped.length} skipped</summary>
            <ul>
              ${found.skipped.map(
                ({ name, why }) =>
                  html`<li><span class="mono">${visible(name)}</span> <span class="quiet">${visible(why)}</span></li>`,
              )}
            </ul>
          </details>`
    }`;
}
