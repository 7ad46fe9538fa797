/** Requests of a view: ids, answers out of order, refusals, and states in between. */
import assert from 'node:assert/strict';
import type { ErrorData } from '../../extension/protocol/errors';
import type { HostMessage, ViewRequest } from '../../extension/protocol/view';
import { Bridge } from '../../webviews/common/bridge';

interface Methods {
  pin: [{ on: boolean }, null];
  refresh: [null, null];
}

describe('bridge', () => {
  const scope = globalThis as unknown as Record<string, unknown>;
  let page: EventTarget;
  let sent: ViewRequest[];
  let states: string[];
  let errors: ErrorData[];
  let bridge: Bridge<string, Methods>;

  beforeEach(() => {
    page = new EventTarget();
    sent = [];
    states = [];
    errors = [];
    scope['window'] = page;
    scope['acquireVsCodeApi'] = () => ({ postMessage: (request: ViewRequest) => sent.push(request) });
    bridge = new Bridge<string, Methods>(
      (state) => states.push(state),
      (error) => errors.push(error),
    );
  });
  afterEach(() => {
    delete scope['window'];
    delete scope['acquireVsCodeApi'];
  });
  const receive = (data: HostMessage<string>): boolean =>
    page.dispatchEvent(Object.assign(new Event('message'), { data }));

  it('gives every request an id of its own', () => {
    void bridge.request('pin', { on: true });
    void bridge.request('refresh', null);
    assert.deepEqual(sent, [
      { type: 'request', id: 1, method: 'pin', params: { on: true } },
      { type: 'request', id: 2, method: 'refresh', params: null },
    ]);
  });

  it('settles the request that was answered, in whatever order the answers come', async () => {
    const settled: string[] = [];
    const first = bridge.request('pin', { on: true }).then(() => settled.push('first'));
    const second = bridge.request('refresh', null).then(() => settled.push('second'));
    receive({ type: 'response', id: 2 });
    await second;
    assert.deepEqual(settled, ['second']);
    receive({ type: 'response', id: 1 });
    await first;
    assert.deepEqual(settled, ['second', 'first']);
    assert.deepEqual(errors, []);
  });

  it('hands a refusal on once, and settles', async () => {
    const error: ErrorData = { code: 'bad-input', message: 'The document is read-only.', hint: 'Save a copy.' };
    const request = bridge.request('refresh', null);
    receive({ type: 'response', id: 1, error });
    receive({ type: 'response', id: 1, error });
    await request;
    assert.deepEqual(errors, [error]);
  });

  it('takes answers to nothing, and hands states on', () => {
    receive({ type: 'response', id: 99 });
    receive({ type: 'state', state: 'new' });
    assert.deepEqual(states, ['new']);
  });
});
