/** The one way in which a person is told of an error, and the one log. */
import * as vscode from 'vscode';
import { isSilent, LensError, type LensErrorCode } from '../protocol/errors';
import { COMMANDS, type CommandId } from './ids';

let channel: vscode.LogOutputChannel | undefined;

export function log(): vscode.LogOutputChannel {
  channel ??= vscode.window.createOutputChannel('ONNX Lens', { log: true });
  return channel;
}

function nextStep(code: LensErrorCode): { title: string; command: CommandId } | undefined {
  switch (code) {
    case 'engine-crashed':
    case 'engine-unavailable':
      return { title: vscode.l10n.t('Restart Engine'), command: COMMANDS.restartEngine };
    case 'model-not-found':
    case 'model-invalid':
    case 'model-unsupported':
    case 'external-data':
    case 'tokenizer':
    case 'no-mask-token':
    case 'no-lm-head':
    case 'no-nsp-head':
    case 'numeric':
      return { title: vscode.l10n.t('Select Model'), command: COMMANDS.selectModel };
    case 'bad-input':
    case 'time-limit':
    case 'memory':
    case 'storage':
    case 'cancelled':
    case 'superseded':
    case 'internal':
      return undefined;
  }
}

/** Shows and logs what was thrown. Returns at once; the notification stays until the person closes it. */
export function notify(thrown: unknown): void {
  const error = LensError.from(thrown);
  if (isSilent(error)) return;
  log().error(`[${error.code}] ${error.message}${error.code === 'internal' ? `\n${error.stack ?? ''}` : ''}`);
  const step = nextStep(error.code);
  const showLog = vscode.l10n.t('Show Log');
  const buttons = step === undefined ? [showLog] : [step.title, showLog];
  const message = error.hint === undefined ? error.message : `${error.message} ${error.hint}`;
  void vscode.window.showErrorMessage(message, ...buttons).then((choice) => {
    if (choice === showLog) log().show(true);
    else if (choice !== undefined && step !== undefined) void vscode.commands.executeCommand(step.command);
  });
}

/** An `AbortSignal` that follows VS Code's token. */
export function signalOf(token: vscode.CancellationToken): AbortSignal {
  const controller = new AbortController();
  if (token.isCancellationRequested) controller.abort();
  else token.onCancellationRequested(() => controller.abort());
  return controller.signal;
}
