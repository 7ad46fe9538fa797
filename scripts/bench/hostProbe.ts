/**
 * What `window.ts` runs inside the extension host of a fresh VS Code window: activation, the first prediction, and the delay of the
 * event loop with and without work. The result goes to the file $ONNX_LENS_BENCH_RESULT as JSON.
 */
import { writeFileSync } from 'node:fs';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import * as vscode from 'vscode';
import type { LensApi } from '../../extension/extension';
import { median, timed } from './figure';

export interface WindowMeasurement {
  /** Null when VS Code was first: it opens texts of its own, and plain text is a reason to activate us. */
  activationMs: number | null;
  firstPredictionMs: number;
  /** p99 of the event loop's delay while nothing of ours runs … */
  idleDelayMs: number;
  /** … and while predictions run. */
  busyDelayMs: number;
  /** From *Probe This Line* to the answer, with the model loaded. */
  probedLineMs: number;
  /** p99 of the delay while 1,000 facts are asked … */
  probingDelayMs: number;
  /** … and while somebody types in a file with 1,000 hints; the editor asks for those that can be seen. */
  typingDelayMs: number;
}

const SENTENCE = 'The old man walked along the shore and looked at the sea while the boats came home.';
const TEXT = Array.from({ length: 6 }, () => SENTENCE).join('\n\n');
const IDLE_MS = 5_000;
/** The workbench still settles, and the code gets warm. */
const SETTLE_MS = 3_000;
const PREDICTIONS = 30;
const HOVERS = 15;
const CITIES = ['Vienna', 'Paris', 'Berlin', 'Rome', 'Madrid', 'Prague', 'Warsaw', 'Lisbon', 'Athens'];
const HINTS = 1_000;
const CHARACTERS = 100;
/** Between two characters of a fast typist. */
const TYPING_MS = 60;

export async function run(): Promise<void> {
  const ready = performance.now();
  const extension = vscode.extensions.getExtension<LensApi>('onnx-lens.onnx-lens');
  if (extension === undefined) throw new Error('The extension is not in this window.');
  const activationMs = extension.isActive ? null : await timed(() => extension.activate());
  const { cloze } = extension.exports;

  const document = await vscode.workspace.openTextDocument({ content: TEXT, language: 'plaintext' });
  const editor = await vscode.window.showTextDocument(document);
  const word = document.positionAt(TEXT.indexOf('walked'));
  editor.selection = new vscode.Selection(word, word);
  const predicted = new Promise<number>((done, fail) => {
    cloze.onDidChange(() => {
      const { status, error } = cloze.state;
      if (status === 'ready') done(performance.now());
      else if (status === 'error') fail(new Error(error?.message));
    });
  });
  await vscode.commands.executeCommand('onnxLens.maskSelection');
  const firstPredictionMs = (await predicted) - ready;

  const work = async (predictions: number, hovers: number): Promise<void> => {
    for (let index = 0; index < predictions; index++) await cloze.predictSelection(editor);
    for (let index = 0; index < hovers; index++) {
      const place = document.positionAt((index * SENTENCE.length) / 2 + 5);
      await vscode.commands.executeCommand('vscode.executeHoverProvider', document.uri, place);
    }
    await vscode.commands.executeCommand('onnxLens.surprisal');
  };
  await work(3, 3);
  await sleep(SETTLE_MS);
  const idleDelayMs = await delayDuring(() => sleep(IDLE_MS));
  const busyDelayMs = await delayDuring(() => work(PREDICTIONS, HOVERS));

  const probedLineMs = await probedLine(extension.exports);
  const delays = await thousandFacts(extension.exports);
  const result: WindowMeasurement = {
    ...{ activationMs, firstPredictionMs, idleDelayMs, busyDelayMs, probedLineMs, ...delays },
  };
  writeFileSync(process.env['ONNX_LENS_BENCH_RESULT'] ?? '', JSON.stringify(result));
}

async function probedLine({ probes }: LensApi): Promise<number> {
  const content = CITIES.map((city) => `${city} is a city in ____.`).join('\n');
  const document = await vscode.workspace.openTextDocument({ content, language: 'plaintext' });
  const editor = await vscode.window.showTextDocument(document);
  const times: number[] = [];
  for (let line = 0; line < CITIES.length; line++) {
    editor.selection = new vscode.Selection(line, 0, line, 0);
    const answered = new Promise<void>((done) => {
      const subscription = probes.onDidAnswer(() => {
        subscription.dispose();
        done();
      });
    });
    const command = vscode.commands.executeCommand('onnxLens.probeLine');
    times.push(await timed(() => answered));
    await command;
  }
  // The first makes what is asked of all.
  return median(times.slice(1));
}

async function thousandFacts({ probes }: LensApi): Promise<{ probingDelayMs: number; typingDelayMs: number }> {
  const facts = Array.from(
    { length: HINTS },
    (_, index) => `  House ${index} of ${CITIES[index % CITIES.length]} → ${index % 2 === 0 ? 'old' : 'new'}`,
  );
  const content = ['# ', 'relation house', '  template: [X] is very [Y].', ...facts, ''].join('\n');
  const document = await vscode.workspace.openTextDocument({ content, language: 'cloze' });
  const editor = await vscode.window.showTextDocument(document);
  const probingDelayMs = await delayDuring(async () => {
    await vscode.commands.executeCommand('onnxLens.probeFile');
    await probes.runs.at(-1)?.ended;
  });
  const whole = new vscode.Range(0, 0, document.lineCount, 0);
  const { length } = await vscode.commands.executeCommand<vscode.InlayHint[]>(
    'vscode.executeInlayHintProvider',
    document.uri,
    whole,
  );
  if (length !== HINTS) throw new Error(`There are ${length} hints instead of ${HINTS}.`);
  await sleep(SETTLE_MS);
  const typingDelayMs = await delayDuring(async () => {
    for (let index = 0; index < CHARACTERS; index++) {
      await editor.edit((edit) => edit.insert(new vscode.Position(0, 2 + index), 'x'));
      await sleep(TYPING_MS);
    }
  });
  return { probingDelayMs, typingDelayMs };
}

async function delayDuring(action: () => Promise<unknown>): Promise<number> {
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  histogram.enable();
  await action();
  histogram.disable();
  return histogram.percentile(99) / 1e6;
}
