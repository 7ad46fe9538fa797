/**
 * `lens COMMAND [MODEL] [options]`: the engine without VS Code. One JSON value or a table on standard output, everything
 * else on standard error. Exit code 0: done, 1: it could not be done, 2: bad use or input.
 */
import { text as readAll } from 'node:stream/consumers';
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { Engine } from '../../extension/engine/engine';
import type { Progress } from '../../extension/protocol/engine';
import { storageError } from '../../extension/files/replaceFile';
import { LensError, type LensErrorCode } from '../../extension/protocol/errors';
import { findModel } from './catalog';
import { COMMANDS, type Command } from './commands';
import type { OptionSpec, OptionValues } from './options';
import { visible } from './table';

const COMMON: Record<string, OptionSpec> = {
  json: { type: 'boolean', help: 'print one JSON value' },
  threads: { type: 'string', value: 'N', help: 'threads of the runtime (half of the cores)' },
  quiet: { type: 'boolean', help: 'no progress on standard error' },
  help: { type: 'boolean', help: 'this text' },
};

/** Errors that are nobody's bad input. */
const FAILURES: readonly LensErrorCode[] = ['numeric', 'memory', 'storage', 'cancelled', 'engine-crashed', 'internal'];

/** The command line itself is wrong: the usage is shown. */
class UsageError extends Error {}

function usage(): string {
  const commands = [...COMMANDS].map(([name, { summary }]) => `  ${name.padEnd(12)}${summary}`);
  return [
    'Usage: lens COMMAND [MODEL] [options]',
    '',
    ...commands,
    '',
    'MODEL is a folder, an .onnx file or a name of the catalogue; the bundled bert-base-cased when left out.',
    'lens COMMAND --help tells the options of a command.',
  ].join('\n');
}

function commandUsage(name: string, { summary, options, takes }: Command): string {
  const line = ([option, { value, help, required }]: [string, OptionSpec]): string =>
    `  ${`--${option}${value === undefined ? '' : ` ${value}`}`.padEnd(24)}${help}${required ? '; required' : ''}`;
  const needed = Object.entries(options).filter(([, { required }]) => required);
  return [
    `Usage: lens ${name} ${takes ?? '[MODEL]'} ${needed.map(([option, { value }]) => `--${option} ${value} `).join('')}[options]`,
    '',
    `${name}: ${summary}`,
    '',
    ...Object.entries({ ...options, ...COMMON }).map(line),
  ].join('\n');
}

function parse(command: Command, args: string[]): { values: OptionValues; positionals: string[] } {
  const specs = { ...command.options, ...COMMON };
  const options: NonNullable<ParseArgsConfig['options']> = {};
  for (const [name, { type, multiple }] of Object.entries(specs)) options[name] = { type, multiple: multiple === true };
  let parsed: { values: OptionValues; positionals: string[] };
  try {
    parsed = parseArgs({ args: joinDashes(args, specs), options, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
  const most = command.takes === undefined ? 1 : Infinity;
  if (parsed.positionals.length > most)
    throw new UsageError(`Too many arguments: ${parsed.positionals.slice(most).join(' ')}`);
  return parsed;
}

/** `--text "- a list"`: Node takes a value that begins with a dash for an option, unless it is joined by `=`. */
function joinDashes(args: readonly string[], specs: Record<string, OptionSpec>): string[] {
  const joined: string[] = [];
  for (let index = 0; index < args.length; index++) {
    const option = args[index] as string;
    const value = args[index + 1];
    if (option.startsWith('--') && specs[option.slice(2)]?.type === 'string' && value !== undefined) {
      joined.push(`${option}=${value}`);
      index++;
    } else joined.push(option);
  }
  return joined;
}

/** On a terminal one line that is written over; nothing in a log file but what matters. */
function progressLine(quiet: boolean): { show(progress: Progress): void; clear(): void } {
  if (quiet || !process.stderr.isTTY) return { show: () => undefined, clear: () => undefined };
  return {
    show: ({ message, fraction }) => {
      const share = fraction === undefined ? '' : ` ${Math.round(100 * fraction)} %`;
      process.stderr.write(`\r\x1b[2K${visible(message)}${share}`);
    },
    clear: () => void process.stderr.write('\r\x1b[2K'),
  };
}

/** Gives the exit code. */
async function run(name: string, command: Command, args: string[]): Promise<number> {
  const { values, positionals } = parse(command, args);
  if (values['help'] === true) {
    process.stdout.write(`${commandUsage(name, command)}\n`);
    return 0;
  }
  for (const [option, { required }] of Object.entries(command.options))
    if (required && values[option] === undefined) throw new UsageError(`--${option} is missing.`);
  const threads = values['threads'];
  if (typeof threads === 'string' && !/^\d+$/u.test(threads)) throw new UsageError('--threads must be a whole number.');
  if (Object.values(values).filter((value) => value === '-').length > 1)
    throw new UsageError('Only one text can come from standard input.');

  const progress = progressLine(values['quiet'] === true);
  const controller = new AbortController();
  const context = { signal: controller.signal, progress: progress.show };
  const engine = new Engine(
    () => undefined,
    (level, message) => {
      if (level === 'warn' || level === 'error') process.stderr.write(`${message}\n`);
    },
  );
  try {
    await engine.handle('configure', typeof threads === 'string' ? { threads: Number(threads) } : {}, context);
    const takesModel = command.takes === undefined;
    const { json, text, failed } = await command.run({
      model: findModel(takesModel ? positionals[0] : undefined),
      positionals,
      threads: Number(threads ?? 0),
      options: values,
      text: (option) => {
        const value = values[option] as string;
        return value === '-' ? readAll(process.stdin) : Promise.resolve(value);
      },
      ask: (method, params, onProgress) =>
        engine.handle(method, params, {
          ...context,
          progress: (report) => {
            progress.show(report);
            onProgress?.(report);
          },
        }),
      tell: (message) => {
        progress.clear();
        process.stderr.write(`${visible(message)}\n`);
      },
    });
    progress.clear();
    process.stdout.write(values['json'] === true ? `${JSON.stringify(json, plainArrays)}\n` : `${text}\n`);
    return failed === true ? 1 : 0;
  } finally {
    progress.clear();
    await engine.dispose();
  }
}

/** Typed arrays as JSON lists. */
function plainArrays(_key: string, value: unknown): unknown {
  return ArrayBuffer.isView(value) ? Array.from(value as unknown as ArrayLike<number>) : value;
}

function tell(command: string, { message, hint }: LensError): void {
  process.stderr.write(
    `${`lens ${command}`.trimEnd()}: ${visible(message)}${hint === undefined ? '' : `\n${visible(hint)}`}\n`,
  );
}

async function main(args: string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(`${usage()}\n`);
    return 0;
  }
  const command = COMMANDS.get(name ?? '');
  if (name === undefined || command === undefined) {
    process.stderr.write(
      `${name === undefined ? '' : `lens: there is no command “${visible(name)}”.\n\n`}${usage()}\n`,
    );
    return 2;
  }
  try {
    return await run(name, command, rest);
  } catch (thrown) {
    if (thrown instanceof UsageError) {
      process.stderr.write(`lens ${name}: ${visible(thrown.message)}\n\n${commandUsage(name, command)}\n`);
      return 2;
    }
    const error = LensError.from(thrown);
    tell(name, error);
    return FAILURES.includes(error.code) ? 1 : 2;
  }
}

// The program comes to its own end after these: a process that ends while the runtime still holds a session may abort.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') return; // the reader of the pipe has seen enough, as `head` has
  tell('', storageError('Standard output', error));
  process.exitCode = 1;
});
process.stderr.on('error', () => undefined); // nobody is left to be told; the exit code still tells
void main(process.argv.slice(2)).then((code) => {
  process.exitCode ??= code;
});
