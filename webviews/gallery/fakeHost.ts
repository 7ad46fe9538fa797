/** Stands where VS Code would: keeps what the view asks, and answers. Imported before the views. */
import type { ViewRequest } from '../../extension/protocol/view';

declare global {
  interface Window {
    /** Everything that the view has asked, for tests. */
    requests: ViewRequest[];
    acquireVsCodeApi(): { postMessage(request: ViewRequest): void };
  }
}

/** What a method answers. */
export type Answers = Record<string, (params: unknown) => unknown>;
/** A host of its own: its state now, and what it answers. */
export interface Shown {
  state: () => unknown;
  answers: Answers;
}

let shown: Shown = { state: () => null, answers: {} };

/** What the view is sent, when it is ready and now. */
export function setState(state: unknown): void {
  show({ state: () => state, answers: {} });
}

/** The same, with a host that changes its state as it is asked to. */
export function show(host: Shown): void {
  shown = host;
  window.postMessage({ type: 'state', state: shown.state() }, '*');
}

const silent = new URLSearchParams(location.search).has('silent');

window.requests = [];
window.acquireVsCodeApi = () => ({
  postMessage: (request) => {
    window.requests.push(request);
    if (request.method === 'ready') window.postMessage({ type: 'state', state: shown.state() }, '*');
    if (silent && request.method === 'look') return;
    const before = shown.state();
    const result = shown.answers[request.method]?.(request.params) ?? null;
    const refused = request.method === 'insertAt' && new URLSearchParams(location.search).has('refuse');
    window.postMessage(
      {
        type: 'response',
        id: request.id,
        result,
        ...(refused
          ? { error: { code: 'bad-input', message: 'The document is read-only.', hint: 'Save a copy.' } }
          : {}),
      },
      '*',
    );
    if (shown.state() !== before) window.postMessage({ type: 'state', state: shown.state() }, '*');
  },
});
