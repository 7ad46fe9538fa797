/** Two windows of one VS Code on the same folder and the same model files: each has an engine of its own. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { artifacts, Workbench, type WorkbenchWindow } from '../../scripts/rig/driver';
import { maskMat, maskWord, SENTENCE, skipWithoutRig } from './support';

const FILE = 'windows.md';
/** In the environment of the server, and so of every engine that its windows start. */
const MARK = `ONNX_LENS_WINDOWS=${randomUUID()}`;
const GONE_LIMIT_MS = 15_000;
const DIALOG_LIMIT_MS = 5_000;
const MOST_TRIES = 6;

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // the process has gone
  }
}

/** Process ids of the engines of this test's windows. The rig runs on Linux alone, so /proc is there. */
const engines = (): number[] =>
  readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid))
    .filter((pid) => read(`/proc/${pid}/cmdline`).includes('engine.js\0'))
    .filter((pid) => read(`/proc/${pid}/environ`).includes(MARK))
    .map(Number);

async function untilEngines(what: string, condition: (pids: number[]) => boolean): Promise<void> {
  const limit = Date.now() + GONE_LIMIT_MS;
  while (!condition(engines())) {
    assert.ok(Date.now() < limit, `${what}: engines ${engines().join(', ')}`);
    await sleep(50);
  }
}

/** Another word first, so that what the view showed before cannot be taken for the answer. */
async function predictAnew(window: WorkbenchWindow): Promise<void> {
  await maskWord(window, 'cat');
  await maskMat(window);
}

/** Through VS Code's own dialog for the folders of a server. */
async function addModelFolder(window: WorkbenchWindow, folder: string): Promise<void> {
  await window.runCommand('ONNX Lens: Add Model Folder');
  const dialog = window.page.locator('.quick-input-widget', { hasText: 'Folder with an ONNX model' });
  await dialog.waitFor();
  // The dialog looks the folder up while one types, and takes no answer until it has found it.
  for (let tries = 1; await dialog.isVisible(); tries++) {
    await dialog.locator('input').fill(`${folder}/`);
    await dialog.getByRole('button', { name: 'Add Model Folder' }).click();
    await dialog.waitFor({ state: 'hidden', timeout: DIALOG_LIMIT_MS }).catch((error: unknown) => {
      if (tries === MOST_TRIES) throw error;
    });
  }
}

/** Opens the list of models, waits until it has all of these, and chooses the last. */
async function chooseModel(window: WorkbenchWindow, ...names: string[]): Promise<void> {
  await window.runCommand('ONNX Lens: Select Model');
  const row = (name: string) => window.page.locator('.quick-input-list .monaco-list-row', { hasText: name });
  for (const name of names) await row(name).first().waitFor();
  await row(names.at(-1) ?? '')
    .first()
    .click();
}

describe('two windows on the same folder and model', function () {
  this.timeout(180_000);
  let workbench: Workbench;
  let windows: WorkbenchWindow[] = [];

  before(async function () {
    await skipWithoutRig(this);
    const [name, value] = MARK.split('=') as [string, string];
    workbench = await Workbench.start({
      extension: resolve('.'),
      workspace: resolve('samples/workspace'),
      env: { [name]: value },
    });
    writeFileSync(join(workbench.state.workspace, FILE), `# A cat\n\n${SENTENCE}\n`);
    windows = [await workbench.open(), await workbench.open()];
    for (const window of windows) await window.openFile(FILE);
  });

  afterEach(async function () {
    if (this.currentTest?.state !== 'failed') return;
    for (const [index, window] of windows.entries()) {
      await window.screenshot(artifacts(process.cwd(), `e2e/windows-${index}-failure.png`));
      const seen = await window.page.locator('.notification-list-item-message, .statusbar-item').allInnerTexts();
      process.stdout.write(`      window ${index}: ${seen.filter((text) => text.trim() !== '').join(' | ')}\n`);
    }
    const settings = read(join(workbench.state.folder, 'user/User/settings.json'));
    process.stdout.write(`      settings: ${settings.replaceAll(/\s+/g, ' ')}\n`);
  });

  after(async () => {
    await (workbench as Workbench | undefined)?.close();
  });

  it('both predict at the same time what PyTorch computes', async () => {
    await Promise.all(windows.map(maskMat));
    assert.equal(engines().length, 2);
  });

  it('a killed engine of one leaves the other alone, and comes back', async () => {
    const [killed, other] = engines() as [number, number];
    process.kill(killed, 'SIGKILL');
    await untilEngines('the killed one has gone', (pids) => !pids.includes(killed));
    for (const window of windows) await predictAnew(window);
    assert.ok(engines().includes(other), 'the other engine was not restarted');
    assert.equal(engines().length, 2);
  });

  it('a model folder that one adds is in the library of both, and both can go on', async function () {
    // Once in many runs VS Code does not tell a window that the other has changed the settings.
    this.retries(1);
    const [one, other] = windows as [WorkbenchWindow, WorkbenchWindow];
    await addModelFolder(one, resolve('test/fixtures/gpt2'));
    await one.page.locator('.statusbar-item', { hasText: 'gpt2' }).waitFor();
    await other.page.locator('.statusbar-item', { hasText: 'gpt2' }).waitFor();
    await addModelFolder(other, resolve('test/fixtures/roberta'));
    await one.page.locator('.statusbar-item', { hasText: 'roberta' }).waitFor();
    for (const window of windows) {
      await chooseModel(window, 'gpt2', 'roberta', 'bert-base-cased');
      await window.page.locator('.statusbar-item', { hasText: 'bert-base-cased' }).waitFor();
    }
    await Promise.all(windows.map(predictAnew));
  });

  it('a closed window takes its own engine along, and the other goes on', async () => {
    const [closed, open] = windows as [WorkbenchWindow, WorkbenchWindow];
    const before = engines();
    await closed.close();
    windows = [open];
    await untilEngines('one engine is left', (pids) => pids.length === 1);
    assert.ok(before.includes(engines()[0] ?? NaN));
    await predictAnew(open);
    assert.equal(engines().length, 1);
  });
});
