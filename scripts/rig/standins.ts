/**
 * JavaScript in place of two compiled modules of the VS Code server, so that no compiler is needed. Only what the server calls:
 * spdlog writes the log files that output channels read; native-watchdog ends a process whose parent is gone.
 */
const WATCHDOG = `'use strict';
const PARENT_GONE = 87;
exports.start = (parent) => {
  setInterval(() => {
    try {
      process.kill(parent, 0);
    } catch {
      process.exit(PARENT_GONE);
    }
  }, 1000).unref();
};
`;

const SPDLOG = `'use strict';
const { appendFileSync, mkdirSync } = require('node:fs');
const { dirname } = require('node:path');
const LEVELS = ['trace', 'debug', 'info', 'warning', 'error', 'critical'];
const loggers = new Set();
let level = 2;
class Logger {
  constructor(file) {
    this.file = file;
    this.level = level;
    this.bare = false;
    mkdirSync(dirname(file), { recursive: true });
    loggers.add(this);
  }
  write(at, message) {
    if (at < this.level || this.file === undefined) return;
    const now = new Date(Date.now() - new Date().getTimezoneOffset() * 60000).toISOString();
    const head = now.replace('T', ' ').replace('Z', '') + ' [' + LEVELS[at] + '] ';
    appendFileSync(this.file, this.bare ? String(message) : head + message + '\\n');
  }
  getLevel() { return this.level; }
  setLevel(to) { this.level = to; }
  setPattern() { this.bare = false; }
  clearFormatters() { this.bare = true; }
  flush() {}
  drop() { this.file = undefined; loggers.delete(this); }
}
for (const [at, name] of ['trace', 'debug', 'info', 'warn', 'error', 'critical'].entries()) {
  Logger.prototype[name] = function (message) { this.write(at, message); };
}
exports.version = 0;
exports.setLevel = (to) => { level = to; for (const each of loggers) each.level = to; };
exports.setFlushOn = () => {};
exports.shutdown = () => { for (const each of loggers) each.drop(); };
exports.createRotatingLogger = async (_name, file) => new Logger(file);
exports.createAsyncRotatingLogger = exports.createRotatingLogger;
exports.Logger = Logger;
`;

/** Package name → source of its index.js. */
export const SERVER_MODULE_STANDINS: Readonly<Record<string, string>> = {
  '@vscode/native-watchdog': WATCHDOG,
  '@vscode/spdlog': SPDLOG,
};
