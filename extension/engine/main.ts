/**
 * The door of the engine process: frames in on file descriptor 3, frames out. It ends when its owner goes away.
 */
import { Socket } from 'node:net';
import type { EngineMessage, EngineMethod, EngineParams } from '../protocol/engine';
import { LensError } from '../protocol/errors';
import { encodeFrame, FrameDecoder } from '../protocol/frames';
import { Engine } from './engine';

const CHANNEL_FD = 3;
const channel = new Socket({ fd: CHANNEL_FD, readable: true, writable: true });

function send(message: EngineMessage): void {
  if (channel.destroyed) return;
  channel.cork();
  for (const chunk of encodeFrame(message)) channel.write(chunk);
  channel.uncork();
}

const engine = new Engine(
  (event) => {
    send({ type: 'event', event });
  },
  (level, message) => {
    send({ type: 'log', level, message });
  },
);
const running = new Map<number, AbortController>();

async function answer(id: number, method: EngineMethod, params: unknown): Promise<void> {
  const controller = new AbortController();
  running.set(id, controller);
  try {
    const result = await engine.handle(method, params as EngineParams<EngineMethod>, {
      signal: controller.signal,
      progress: (progress) => {
        if (!controller.signal.aborted) send({ type: 'progress', id, progress });
      },
    });
    send({ type: 'result', id, result });
  } catch (thrown) {
    const error = controller.signal.aborted ? new LensError('cancelled', 'Cancelled.') : LensError.from(thrown);
    if (error.code === 'internal' && thrown instanceof Error)
      send({ type: 'log', level: 'error', message: thrown.stack ?? thrown.message });
    send({ type: 'error', id, error: error.toData() });
  } finally {
    running.delete(id);
  }
}

function receive(message: EngineMessage): void {
  if (message.type === 'request') void answer(message.id, message.method, message.params);
  else if (message.type === 'cancel') running.get(message.id)?.abort();
}

const decoder = new FrameDecoder((message) => {
  receive(message as EngineMessage);
});
channel.on('data', (chunk: Uint8Array) => {
  decoder.push(chunk);
});
channel.on('error', () => undefined); // 'close' follows
// Nobody is left to answer to: the owner closed its window, or died.
channel.on('close', () => {
  for (const controller of running.values()) controller.abort();
  void engine.dispose().finally(() => process.exit(0));
});
