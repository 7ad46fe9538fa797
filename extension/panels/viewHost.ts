/**
 * The host's side of a webview: answers typed requests and pushes the whole state to every place that shows it (the side
 * panel, an editor tab). Webviews keep nothing while hidden; one that comes back says `ready` and gets the state again.
 */
import type * as vscode from 'vscode';
import { LensError } from '../protocol/errors';
import type { HostMessage, ViewRequest } from '../protocol/view';
import { page, webviewOptions, type PageOptions } from './html';

export type Methods<M> = { [K in keyof M]: [params: unknown, result: unknown] };
export type Handlers<M extends Methods<M>> = {
  [K in keyof M]: (params: M[K][0]) => [M[K][1]] extends [null] ? void | Promise<void> : M[K][1] | Promise<M[K][1]>;
};

export interface ViewSource<State, M extends Methods<M>> {
  readonly state: State;
  readonly onDidChange: vscode.Event<void>;
  readonly handlers: Handlers<M>;
}

export interface ViewHostOptions extends PageOptions {
  extensionUri: vscode.Uri;
  /** Every failed request comes here too, so that it is logged. */
  onError(error: LensError): void;
}

export class ViewHost<State, M extends Methods<M>> implements vscode.WebviewViewProvider, vscode.Disposable {
  /** Those that said `ready` since they were last drawn. */
  private readonly ready = new Set<vscode.Webview>();
  private readonly subscription: vscode.Disposable;
  private pushQueued = false;

  constructor(
    private readonly source: ViewSource<State, M>,
    private readonly options: ViewHostOptions,
  ) {
    this.subscription = source.onDidChange(() => this.queuePush());
  }

  resolveWebviewView(view: vscode.WebviewView): void {
    this.attach(view.webview);
    view.onDidChangeVisibility(() => {
      if (!view.visible) this.ready.delete(view.webview);
    });
    view.onDidDispose(() => this.ready.delete(view.webview));
  }

  adopt(panel: vscode.WebviewPanel): void {
    this.attach(panel.webview);
    panel.onDidChangeViewState(() => {
      if (!panel.visible) this.ready.delete(panel.webview);
    });
    panel.onDidDispose(() => this.ready.delete(panel.webview));
  }

  /** How many webviews show the state. */
  get audience(): number {
    return this.ready.size;
  }

  dispose(): void {
    this.subscription.dispose();
    this.ready.clear();
  }

  private attach(webview: vscode.Webview): void {
    webview.options = webviewOptions(this.options.extensionUri);
    webview.onDidReceiveMessage((message: unknown) => {
      if (isRequest(message)) void this.answer(webview, message);
    });
    webview.html = page(webview, this.options.extensionUri, this.options);
  }

  private async answer(webview: vscode.Webview, { id, method, params }: ViewRequest): Promise<void> {
    if (method === 'ready') {
      this.ready.add(webview);
      this.post(webview, { type: 'state', state: this.source.state });
    }
    try {
      const { handlers } = this.source;
      if (!Object.hasOwn(handlers, method))
        throw new LensError('bad-input', `The view asked for “${method}”, which does not exist.`);
      const answer: unknown = handlers[method as keyof M](params);
      const result = await answer;
      this.post(webview, { type: 'response', id, result });
    } catch (thrown) {
      const error = LensError.from(thrown);
      this.options.onError(error);
      this.post(webview, { type: 'response', id, error: error.toData() });
    }
  }

  /** Several changes in one turn of the event loop are one message. */
  private queuePush(): void {
    if (this.pushQueued || this.ready.size === 0) return;
    this.pushQueued = true;
    setImmediate(() => {
      this.pushQueued = false;
      for (const webview of this.ready) this.post(webview, { type: 'state', state: this.source.state });
    });
  }

  private post(webview: vscode.Webview, message: HostMessage<State>): void {
    webview.postMessage(message).then(undefined, () => this.ready.delete(webview));
  }
}

function isRequest(message: unknown): message is ViewRequest {
  if (typeof message !== 'object' || message === null) return false;
  const { type, id, method } = message as Partial<ViewRequest>;
  return type === 'request' && typeof id === 'number' && typeof method === 'string';
}
