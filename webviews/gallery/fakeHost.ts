/** Stands where VS Code would: keeps what the view asks, and answers. Imported before the views. */
import type { ViewRequest } from '../../extension/protocol/view';

declare global {
  interface Window {
    /** Everything that the view has asked, for tests. */
    requests: ViewRequest[];
    acquireVsCodeApi(): { postMessage(request: ViewRequest): void };
  }
}

let currentState: unknown = null;

/** What the view is sent, when it is ready and now. */
export function setState(state: unknown): void {
  currentState = state;
  window.postMessage({ type: 'state', state }, '*');
}

window.requests = [];
window.acquireVsCodeApi = () => ({
  postMessage: (request) => {
    window.requests.push(request);
    if (request.method === 'ready') window.postMessage({ type: 'state', state: currentState }, '*');
    const refused = request.method === 'insertAt' && new URLSearchParams(location.search).has('refuse');
    window.postMessage(
      {
        type: 'response',
        id: request.id,
        ...(refused
          ? { error: { code: 'bad-input', message: 'The document is read-only.', hint: 'Save a copy.' } }
          : {}),
      },
      '*',
    );
  },
});
