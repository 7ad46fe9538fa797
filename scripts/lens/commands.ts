/** The commands: what each takes, what it prints for programs (`--json`), and what for people. */
import type {
  AnatomySummary,
  EngineMethod,
  EngineParams,
  EngineResult,
  FillMaskResult,
  MaskTarget,
  ModelInfo,
  ModelPart,
  ModelRef,
  Progress,
} from '../../extension/protocol/engine';
import { LensError } from '../../extension/protocol/errors';
import { count, counted, fileSize, nats, perplexity, probability, signed } from '../../extension/protocol/format';
import { ablateCommand } from './ablateCommand';
import { attentionCommand } from './attentionCommand';
import { contextualityCommand } from './contextualityCommand';
import { embedCommand } from './embedCommand';
import { analogyCommand, neighboursCommand, occurrencesCommand, similarityCommand } from './embeddingCommands';
import { expansionCommand, headsCommand } from './headCommands';
import { exportCommand, interveneCommand } from './interveneCommands';
import { logitLensCommand } from './lensCommand';
import { memoriesCommand } from './memoriesCommand';
import { memoryGroupsCommand, valueClustersCommand } from './memoryGroupCommands';
import { memoryStatsCommand } from './memoryStatsCommand';
import { mixCommand } from './mixCommand';
import { PAIR, stringList, TEXT, TOP, wholeNumber, type OptionSpec, type OptionValues } from './options';
import { probeCommand } from './probeCommands';
import { changeable } from './recipes';
import { tuneLensCommand } from './tuneLensCommand';
import { valuesCommand } from './valuesCommand';
import { triggersCommand } from './triggersCommand';
import { encodeSafetensors, writeChunks } from './safetensors';
import { predictionTable, table, visible } from './table';
import { fixtureFolders, verifyFixture, type Check } from './verify';

export interface CommandContext {
  model: ModelRef;
  /** Of commands that take more than a model. */
  positionals: readonly string[];
  options: OptionValues;
  threads: number;
  /** The value of a required text option; `-` was read from standard input. */
  text(name: string): Promise<string>;
  ask<M extends EngineMethod>(
    method: M,
    params: EngineParams<M>,
    onProgress?: (progress: Progress) => void,
  ): Promise<EngineResult<M>>;
  /** A line on standard error. */
  tell(message: string): void;
}

export interface Output {
  json: unknown;
  text: string;
  /** A check was made and failed: exit code 1. */
  failed?: boolean;
}

export interface Command {
  summary: string;
  /** What stands after the command's name, as the help shows it; a model, or the bundled one, if not said otherwise. */
  takes?: string;
  options: Record<string, OptionSpec>;
  run(context: CommandContext): Promise<Output>;
}

const FULL: OptionSpec = {
  type: 'boolean',
  help: 'with --json: everything that the engine found, not only the predictions',
};

/** `3:8` or `3:8,10:12`: half-open ranges in UTF-16 units. */
function parseTargets(options: OptionValues): MaskTarget[] {
  const masks = options['masks'] === undefined ? 'auto' : wholeNumber(options, 'masks', 1);
  return stringList(options, 'targets')
    .flatMap((list) => list.split(','))
    .map((entry): MaskTarget => {
      const [, start, end] = /^(\d+):(\d+)$/u.exec(entry.trim()) ?? [];
      if (start === undefined || end === undefined)
        throw new LensError(
          'bad-input',
          `“${entry}” is no range.`,
          'Write --targets START:END, for example --targets 3:8,10:12.',
        );
      return { range: { start: Number(start), end: Number(end) }, masks };
    });
}

/** The anatomy under the names of Hugging Face configs. */
function anatomyJson({ anatomy, architecture, vocabSize }: ModelInfo): Record<string, unknown> {
  return {
    architecture,
    layers: anatomy.layers,
    heads: anatomy.heads,
    kv_heads: anatomy.keyHeads,
    d_head: anatomy.headWidth,
    d_model: anatomy.width,
    d_ffn: anatomy.ffnWidth,
    vocab: vocabSize,
    causal: anatomy.causal,
    windows: anatomy.windows,
    norm: anatomy.norm,
    positions: anatomy.positions,
    activation: anatomy.activation,
    gated_ffn: anatomy.gated,
    parallel_residual: anatomy.parallel,
    tied_layers: anatomy.tiedLayers,
    tied: anatomy.tiedEmbeddings,
    hooks: anatomy.hooks,
    missing: anatomy.missing,
    problems: anatomy.problems,
    anatomy: undefined,
  };
}

function anatomyRows(anatomy: AnatomySummary): [string, string][] {
  const shown = (value: string | number | null): string => (value === null ? '–' : String(value));
  const { heads, keyHeads } = anatomy;
  const windows = new Set(anatomy.windows.filter((window) => window !== null));
  return [
    ['layers', shown(anatomy.layers)],
    [
      'heads',
      `${shown(heads)} of width ${shown(anatomy.headWidth)}${keyHeads === heads ? '' : `, ${shown(keyHeads)} of keys and values`}`,
    ],
    ['d_model, d_ffn', `${shown(anatomy.width)}, ${shown(anatomy.ffnWidth)}`],
    [
      'feed-forward network',
      [shown(anatomy.activation), anatomy.gated ? 'gated' : '', anatomy.parallel ? 'parallel to attention' : '']
        .filter(Boolean)
        .join(', '),
    ],
    ['norms', anatomy.norm === null ? '–' : `${anatomy.norm}-norm`],
    ['positions', anatomy.positions],
    [
      'attention sees',
      (anatomy.causal === null ? 'not told by the graph' : anatomy.causal ? 'the left side' : 'both sides') +
        (windows.size === 0 ? '' : `; some layers only ${[...windows].join(', ')} places`),
    ],
    [
      'shared weights',
      [anatomy.tiedLayers ? 'all layers' : '', anatomy.tiedEmbeddings === true ? 'embeddings and head' : '']
        .filter(Boolean)
        .join('; ') || 'none',
    ],
    ['hooks', `${anatomy.hooks.length}; --json lists them`],
    ...anatomy.missing.map(({ hook, why }): [string, string] => ['missing', `${hook}: ${why}`]),
    ...anatomy.problems.map((problem): [string, string] => ['not understood', problem]),
  ];
}

/** A row a part, deeper parts further in. */
function partRows(parts: readonly ModelPart[], depth = 0): string[][] {
  return parts.flatMap((part) => [
    [
      `${'  '.repeat(depth)}${part.label}`,
      part.id,
      count(part.parameters),
      fileSize(part.bytes),
      part.storage.join(', '),
      [...new Set(part.weights.flatMap(({ sharedWith }) => sharedWith ?? []))].join(', '),
    ],
    ...partRows(part.children, depth + 1),
  ]);
}

const partsTable = (parts: readonly ModelPart[]): string =>
  table(['part', 'id', 'parameters', 'size', 'stored as', 'shared with'], partRows(parts), [
    'left',
    'left',
    'right',
    'right',
    'left',
    'left',
  ]);

const inspect: Command = {
  summary: 'what a model is: inputs, outputs, size, tokenizer, kind',
  options: { parts: { type: 'boolean', help: 'its parts too: embeddings, blocks, head, with parameters and sizes' } },
  async run({ model, options, ask }) {
    const { info, parts } =
      options['parts'] === true
        ? await ask('anatomy', { model })
        : { info: await ask('inspect', { model }), parts: null };
    const tensor = ({ name, type, shape }: { name: string; type: string; shape: unknown[] }): string =>
      `${name} ${type} [${shape.join(', ')}]`;
    const rows: [string, string][] = [
      ['model', info.id],
      ['file', `${info.folder}/${info.file}`],
      ['kind', info.kind],
      ['architecture', info.architecture ?? '–'],
      ['inputs', info.inputs.map(tensor).join('; ')],
      ['outputs', info.outputs.map(tensor).join('; ')],
      ['size', `${fileSize(info.bytes)}, ${count(info.parameters)} parameters`],
      ...anatomyRows(info.anatomy),
      ['longest input', counted(info.maxTokens, 'token')],
      [
        'tokenizer',
        info.tokenizer === null
          ? 'none'
          : `${info.tokenizer.type}, ${counted(info.tokenizer.vocabSize, 'token')}` +
            (info.tokenizer.maskToken === null ? '' : `, mask ${info.tokenizer.maskToken}`) +
            (info.tokenizer.lowercase ? ', lower case' : ''),
      ],
      ['vocabulary of the head', info.vocabSize === null ? '–' : count(info.vocabSize)],
      ['next-sentence head', info.hasNextSentenceHead ? 'yes' : 'no'],
      [
        'format',
        `IR ${info.irVersion}, opset ${Object.entries(info.opset)
          .map(([domain, version]) => (domain === '' ? `${version}` : `${domain} ${version}`))
          .join(', ')}, by ${info.producer || 'unknown'}`,
      ],
      ...info.notes.map((note): [string, string] => ['note', note]),
    ];
    return {
      json: { ...info, ...anatomyJson(info), ...(parts === null ? {} : { parts }) },
      text:
        rows.map(([name, value]) => `${name.padEnd(24)}${visible(value)}`).join('\n') +
        (parts === null ? '' : `\n\n${partsTable(parts)}`),
    };
  },
};

const tokens: Command = {
  summary: 'the tokens of a text with their places; a folder with only a tokenizer.json will do',
  options: { text: TEXT },
  async run({ model, text, ask }) {
    const result = await ask('tokens', { model, text: await text('text') });
    const json = result.tokens.map(({ index, id, token, range }) => ({
      index,
      id,
      token,
      start: range?.start ?? null,
      end: range?.end ?? null,
    }));
    return {
      json,
      text: table(
        ['index', 'id', 'token', 'start', 'end'],
        json.map(({ index, id, token, start, end }) => [index, id, token, start ?? '–', end ?? '–'].map(String)),
        ['right', 'right', 'left', 'right', 'right'],
      ),
    };
  },
};

function fillMaskText(result: FillMaskResult): string {
  const parts = result.masks.map(({ position, target, predictions, entropy, actual }) => {
    const place = result.targets[target];
    const real =
      actual === null
        ? ''
        : ` · really ${visible(actual.token)}: p ${probability(actual.prob)}, rank ${count(actual.rank)}`;
    return (
      `Mask at position ${position} (${visible(place?.text ?? '')}, ${place?.range.start}–${place?.range.end}) · ` +
      `entropy ${nats(entropy)} nats${real}\n` +
      predictionTable(predictions)
    );
  });
  if (result.joint.length > 0)
    parts.push(
      'Filled together\n' +
        table(
          ['text', 'sum of log p', ''],
          result.joint.map(({ texts, logprob, independent }) => [
            texts.join(' … '),
            signed(logprob),
            independent ? 'each mask alone' : '',
          ]),
          ['left', 'right', 'left'],
        ) +
        (result.actualLogprob === null ? '' : `\nWhat really stands there: ${signed(result.actualLogprob)}`),
    );
  if (result.candidates.length > 0)
    parts.push(
      'Candidates\n' +
        table(
          ['text', 'tokens', 'sum of log p', 'a token', 'share', 'rank'],
          result.candidates.map(({ text, tokens: pieces, logprob, meanLogprob, share, rank }) => [
            text,
            pieces.join(' '),
            signed(logprob),
            signed(meanLogprob),
            probability(share),
            rank === null ? '–' : count(rank),
          ]),
          ['left', 'left', 'right', 'right', 'right', 'right'],
        ),
    );
  parts.push(...result.targets.flatMap(({ note }) => (note === undefined ? [] : [`Note: ${visible(note)}`])));
  return parts.join('\n\n');
}

const fillMaskCommand: Command = {
  summary: 'what the model expects at [MASK] or at the given places',
  options: {
    text: { ...TEXT, help: 'the text with [MASK] in it, or with --targets; - reads standard input' },
    top: TOP,
    targets: {
      type: 'string',
      value: 'START:END,…',
      help: 'mask these ranges (UTF-16 units, half open) instead of the [MASK]s of the text',
      multiple: true,
    },
    masks: { type: 'string', value: 'N', help: 'number of masks for each target (as many as it has tokens)' },
    candidate: {
      type: 'string',
      value: 'C',
      help: 'score this text at the first target; may be given again',
      multiple: true,
    },
    joint: { type: 'string', value: 'BEAM', help: 'fill all masks together, by a beam search of this width' },
    full: FULL,
  },
  async run({ model, options, text, ask }) {
    const candidates = stringList(options, 'candidate');
    const result = await ask('fillMask', {
      model,
      text: await text('text'),
      targets: parseTargets(options),
      topK: wholeNumber(options, 'top', 10),
      ...(candidates.length === 0 ? {} : { candidates }),
      ...(options['joint'] === undefined ? {} : { joint: { beam: wholeNumber(options, 'joint', 5) } }),
    });
    const brief = result.masks.map(({ position, target, predictions }) => ({
      position,
      start: result.targets[target]?.range.start,
      end: result.targets[target]?.range.end,
      predictions: predictions.map(({ id, token, logprob, prob }) => ({ id, token, logprob, prob })),
    }));
    return { json: options['full'] === true ? result : brief, text: fillMaskText(result) };
  },
};

const scoreCommand: Command = {
  summary: 'log-probability and rank of every token in its context, and their sum',
  options: { text: TEXT },
  async run({ model, text, ask }) {
    const result = await ask('score', { model, text: await text('text') });
    const rows = result.tokens.map((token, index) => ({
      token,
      start: result.starts[index] as number,
      end: result.ends[index] as number,
      logprob: result.logprobs[index] as number,
      rank: result.ranks[index] as number,
    }));
    return {
      json: { kind: result.kind, tokens: rows, total: result.total },
      text:
        table(
          ['token', 'start', 'end', 'log p', 'rank'],
          rows.map(({ token, start, end, logprob, rank }) => [
            token,
            `${start}`,
            `${end}`,
            signed(logprob),
            count(rank),
          ]),
          ['left', 'right', 'right', 'right', 'right'],
        ) +
        `\n${result.kind} ${signed(result.total)} · perplexity ${perplexity(result.perplexity)}` +
        (result.skippedFirst ? '\nNote: this model gives no probability to the first token.' : ''),
    };
  },
};

const nsp: Command = {
  summary: 'the probability that a second text follows the first',
  options: {
    text: { ...TEXT, value: 'A', help: 'the first text; - reads standard input' },
    pair: { ...TEXT, value: 'B', help: 'the second text; - reads standard input' },
  },
  async run({ model, text, ask }) {
    const { isNext, notNext, notes } = await ask('nextSentence', {
      model,
      first: await text('text'),
      second: await text('pair'),
    });
    return {
      json: { isNext, notNext },
      text: [
        `is next   ${probability(isNext)}`,
        `not next  ${probability(notNext)}`,
        ...notes.map((note) => `Note: ${visible(note)}`),
      ].join('\n'),
    };
  },
};

const corruptCommand: Command = {
  summary: "the text as in BERT's training: 15 % chosen, 80/10/10 masked, random, kept; and the loss",
  options: {
    text: TEXT,
    seed: { type: 'string', value: 'N', help: 'of the random choice (0)' },
    'whole-word': { type: 'boolean', help: 'choose whole words instead of single pieces' },
    top: TOP,
  },
  async run({ model, options, text, ask }) {
    const result = await ask('corrupt', {
      model,
      text: await text('text'),
      seed: wholeNumber(options, 'seed', 0),
      wholeWord: options['whole-word'] === true,
      topK: wholeNumber(options, 'top', 10),
    });
    return {
      json: result,
      text:
        `${visible(result.tokens.map(({ token }) => token).join(' '))}\n\n` +
        table(
          ['position', 'original', 'action', 'model reads', 'p(original)', 'rank', 'first choice', ''],
          result.chosen.map(({ position, original, action, replacement, predictions, actual, recovered }) => [
            `${position}`,
            original.token,
            action,
            replacement.token,
            probability(actual.prob),
            count(actual.rank),
            predictions[0]?.token ?? '',
            recovered ? '✓' : '',
          ]),
          ['right', 'left', 'left', 'left', 'right', 'right', 'left', 'left'],
        ) +
        `\nloss ${nats(result.loss)} nats`,
    };
  },
};

const traceCommand: Command = {
  summary: 'named activations of a text, as a .safetensors file',
  options: {
    text: TEXT,
    pair: PAIR,
    hooks: {
      type: 'string',
      value: 'H,…',
      help: "names of activations, * for any part of a name: 'blocks.*.attn.hook_pattern,unembed.logits' (everything)",
      multiple: true,
    },
    top: {
      type: 'string',
      value: 'K',
      help: 'only the K largest numbers along the last axis of each, with their places there as NAME.indices (all)',
    },
    out: { type: 'string', value: 'FILE', help: 'the file to write', required: true },
  },
  async run({ model, options, text, ask }) {
    const hooks = stringList(options, 'hooks')
      .flatMap((list) => list.split(','))
      .map((hook) => hook.trim());
    const pair = options['pair'] === undefined ? {} : { pair: await text('pair') };
    const result = await ask('trace', {
      model,
      text: await text('text'),
      ...pair,
      hooks: hooks.length === 0 ? ['*'] : hooks,
      ...(options['top'] === undefined ? {} : { top: wholeNumber(options, 'top', 1) }),
    });
    const tokens = result.tokens.map(({ index, id, token, range, text: which }) => ({
      ...{ index, id, token, start: range?.start ?? null, end: range?.end ?? null, text: which },
    }));
    const file = String(options['out']);
    const tensors = result.activations.flatMap(({ hook, dims, data, indices }) => [
      { name: hook, dims, data },
      ...(indices === undefined ? [] : [{ name: `${hook}.indices`, dims, data: indices }]),
    ]);
    writeChunks(file, encodeSafetensors(tensors, { model: result.model, tokens: JSON.stringify(tokens) }));
    const written = tensors.map(({ name, dims }) => ({ name, shape: dims }));
    return {
      json: { model: result.model, file, tokens, tensors: written },
      text:
        table(
          ['activation', 'shape'],
          written.map(({ name, shape }) => [name, shape.join(' × ')]),
          ['left', 'left'],
        ) + `\n${result.activations.length} activations of ${tokens.length} tokens in ${visible(file)}`,
    };
  },
};

const verifyCommand: Command = {
  summary: 'models against reference tensors of another program; exit code 1 when anything is off or missing',
  takes: 'DIR…',
  options: { all: { type: 'boolean', help: 'list what is right, too' } },
  async run({ positionals: folders, options, threads }) {
    if (folders.length === 0)
      throw new LensError('bad-input', 'No folder was named.', 'Name fixtures, or a folder of fixtures.');
    const checks: Check[] = [];
    for (const folder of folders.flatMap(fixtureFolders)) checks.push(...(await verifyFixture(folder, threads)));
    const count = (status: Check['status']): number => checks.filter((check) => check.status === status).length;
    const failed = count('off') + count('missing');
    const shown = checks.filter(({ status }) => options['all'] === true || status === 'off' || status === 'missing');
    const figure = (value: number | null): string => (value === null ? '–' : value.toExponential(1));
    const perFixture = [...new Set(checks.map(({ fixture }) => fixture))].map((fixture) => {
      const own = checks.filter((check) => check.fixture === fixture);
      const worst = own.reduce(
        (most, { absolute, tolerance }) => Math.max(most, (absolute ?? 0) / (tolerance ?? 1)),
        0,
      );
      const bad = own.filter(({ status }) => status === 'off' || status === 'missing').length;
      return [fixture, `${own.length}`, `${bad}`, worst.toFixed(2), bad === 0 ? 'ok' : 'FAILED'];
    });
    return {
      failed: failed > 0,
      json: { ok: failed === 0, checks },
      text: [
        ...(shown.length === 0
          ? []
          : [
              table(
                ['fixture', 'tensor', 'max |Δ|', 'relative', 'tolerance', '', ''],
                shown.map(({ fixture, name, absolute, relative, tolerance, status, note }) => [
                  ...[fixture, name, figure(absolute), figure(relative), figure(tolerance), status, note ?? ''],
                ]),
                ['left', 'left', 'right', 'right', 'right', 'left', 'left'],
              ),
            ]),
        table(['fixture', 'checks', 'failed', 'worst Δ / tolerance', ''], perFixture, [
          'left',
          'right',
          'right',
          'right',
          'left',
        ]),
        `${count('ok')} ok, ${count('off')} off, ${count('missing')} missing, ${count('not yet supported')} not yet supported`,
      ].join('\n\n'),
    };
  },
};

export const COMMANDS: ReadonlyMap<string, Command> = new Map([
  ['inspect', inspect],
  ['tokens', tokens],
  ['fill-mask', changeable(fillMaskCommand)],
  ['score', changeable(scoreCommand)],
  ['nsp', changeable(nsp)],
  ['corrupt', changeable(corruptCommand)],
  ['trace', changeable(traceCommand)],
  ['embed', changeable(embedCommand)],
  ['neighbours', neighboursCommand],
  ['similarity', changeable(similarityCommand)],
  ['analogy', analogyCommand],
  ['occurrences', changeable(occurrencesCommand)],
  ['contextuality', changeable(contextualityCommand)],
  ['mix', changeable(mixCommand)],
  ['attention', changeable(attentionCommand)],
  ['heads', headsCommand],
  ['expansion', expansionCommand],
  ['ablate', changeable(ablateCommand)],
  ['logit-lens', changeable(logitLensCommand)],
  ['memories', changeable(memoriesCommand)],
  ['values', valuesCommand],
  ['triggers', triggersCommand],
  ['tune-lens', tuneLensCommand],
  ['memory-stats', memoryStatsCommand],
  ['value-clusters', valueClustersCommand],
  ['memory-groups', memoryGroupsCommand],
  ['intervene', interveneCommand],
  ['export', exportCommand],
  ['verify', verifyCommand],
  ['probe', probeCommand],
]);
