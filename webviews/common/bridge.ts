/** The view's end of protocol/view.ts: requests with ids, answers, and the host's state. */
import type { ErrorData } from '../../extension/protocol/errors';
import type { HostMessage, ViewRequest } from '../../extension/protocol/view';

interface VsCodeApi {
  postMessage(message: ViewRequest): void;
}
declare function acquireVsCodeApi(): VsCodeApi;

type Methods = Record<string, [unknown, unknown]>;

export class Bridge<State, M extends { [K in keyof M]: [unknown, unknown] } & object = Methods> {
  private readonly api = acquireVsCodeApi();
  private nextId = 1;
  private readonly waiting = new Map<number, (result: unknown, error: ErrorData | undefined) => void>();

  constructor(
    onState: (state: State) => void,
    private readonly onError: (error: ErrorData) => void,
  ) {
    window.addEventListener('message', (event: MessageEvent<HostMessage<State>>) => {
      const message = event.data;
      if (message.type === 'state') onState(message.state);
      else {
        this.waiting.get(message.id)?.(message.result, message.error);
        this.waiting.delete(message.id);
      }
    });
  }

  /** Resolves when the host has answered; a refusal is shown by the view and resolves to undefined. */
  request<K extends keyof M & string>(method: K, params: M[K][0]): Promise<M[K][1] | undefined> {
    const id = this.nextId++;
    return new Promise((resolve) => {
      this.waiting.set(id, (result, error) => {
        if (error !== undefined) this.onError(error);
        resolve(error === undefined ? result : undefined);
      });
      this.api.postMessage({ type: 'request', id, method, params });
    });
  }
}
