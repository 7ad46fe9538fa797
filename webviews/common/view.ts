/** What every view is: it shows the host's state, asks the host for changes, and says why the host refused one. */
import { LitElement } from 'lit';
import { state } from 'lit/decorators.js';
import type { ErrorData } from '../../extension/protocol/errors';
import { Bridge } from './bridge';

export abstract class View<
  State,
  M extends { [K in keyof M]: [unknown, unknown] } & { ready: [null, null] },
> extends LitElement {
  @state() protected state: State | null = null;
  @state() protected refusal: ErrorData | undefined;
  private readonly bridge = new Bridge<State, M>(
    (state) => {
      this.state = state;
      this.refusal = undefined;
    },
    (error) => (this.refusal = error),
  );

  override connectedCallback(): void {
    super.connectedCallback();
    this.ask('ready', null);
  }

  protected readonly ask = <K extends keyof M & string>(method: K, params: M[K][0]): void => {
    void this.bridge.request(method, params);
  };
}
