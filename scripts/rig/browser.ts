/** Starts the browser of the machine under Playwright. */
import { chromium, type Browser } from 'playwright-core';
import { ensureBrowser } from './install';

const ARGS = [
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export async function startBrowser(): Promise<Browser> {
  const executablePath = await ensureBrowser();
  // Chromium's sandbox refuses root and many containers; the browser visits nothing but our own server.
  return chromium.launch({ executablePath, args: ARGS, chromiumSandbox: false });
}
