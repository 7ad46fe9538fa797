/** The inside of one model: named activations out, interventions in. */
import type { EngineSettings } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import type { Anatomy } from '../anatomy/anatomy';
import { contradictions, precisionOf } from '../anatomy/check';
import { hasTransform } from '../anatomy/ends';
import { blockHook, lastStream, tokenSite, type Site } from '../anatomy/hooks';
import type { Linear } from '../anatomy/linears';
import { rowWidth } from '../anatomy/subject';
import type { Pick } from '../instrument/picks';
import { positionPadding, type Description } from './describe';
import { chunks, forRows, join, MAX_RUN_BYTES, rowBytes, rowsOf } from './batches';
import { planInputs, type InputPlan } from './inputs';
import { atSites, InstrumentedSession, type Feeds } from './instrumentedSession';
import type { Activation, Intervention, Part, Trace, TraceOptions } from './internals';
import type { InputRow } from './languageModel';
import { checkFits } from './layout';
import { partDims, planReads, type Read } from './parts';
import { Pieces } from './pieces';
import { headShape } from './runtime';
import { SessionPool } from './sessionPool';

/** Rows of the test run: unlike each other, so that padding is tested too. */
const CHECK_LENGTHS = [7, 4];

/** A run that begins before a block, with the stream there. */
interface Start {
  layer: number;
  /** [B,T,D], or [1,T,D] for all rows. */
  resid: Activation;
}

export class Tracer {
  readonly fill: InputPlan;
  private checked: Promise<Anatomy> | null = null;
  private readonly pool: SessionPool;
  private readonly pieces: Pieces;
  /** Some exports take one text at a time, whatever their inputs say. */
  private takesBatches = true;
  /** Runs come one after the other: a run may replace a session. */
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly description: Description,
    private readonly settings: EngineSettings,
    /** Of results of one run. */
    private readonly maxRunBytes = MAX_RUN_BYTES,
  ) {
    this.pool = new SessionPool(description, settings);
    this.pieces = new Pieces(description, settings);
    const padId = description.tokenizer?.padId ?? 0;
    this.fill = planInputs(description.info.inputs, {
      padId,
      positionPadding: positionPadding(description.config),
      ...headShape(description),
    });
  }

  /** The anatomy without the hooks that a test run contradicts. */
  anatomy(): Promise<Anatomy> {
    if (this.checked === null) {
      this.checked = this.check();
      this.checked.catch(() => (this.checked = null));
    }
    return this.checked;
  }

  /** Throws what `run` throws. */
  trace(
    rows: readonly InputRow[],
    hooks: readonly string[],
    interventions: readonly Intervention[] = [],
    options: TraceOptions = {},
  ): Promise<Trace> {
    return this.batch(rows, hooks, interventions, options);
  }

  /** As `trace`, from the stream before a block on. */
  traceFrom(
    layer: number,
    resid: Activation,
    rows: readonly InputRow[],
    hooks: readonly string[],
    interventions: readonly Intervention[] = [],
    options: TraceOptions = {},
  ): Promise<Trace> {
    return this.batch(rows, hooks, interventions, { ...options, start: { layer, resid } });
  }

  /**
   * Runs the model on `feeds` (token ids as `input_ids` [B,T] among them) and gives the hooks asked for, after the interventions.
   * Throws `model-unsupported` for hooks that the model does not have, with the reason; `bad-input`, `memory`.
   */
  async run(
    feeds: Feeds,
    hooks: readonly string[],
    interventions: readonly Intervention[] = [],
    { parts = new Map(), start = null, only = false }: TraceOptions & { start?: Start | null } = {},
  ): Promise<Trace> {
    const anatomy = await this.anatomy();
    const siteOf = (hook: string): Site => this.siteOf(anatomy, hook);
    const reads = planReads(anatomy.subject, new Map(hooks.map((hook) => [hook, siteOf(hook)])), parts);
    const changes = atSites(interventions, siteOf);
    const fed = start === null ? null : siteOf(blockHook(start.layer, 'hook_resid_pre')).value;
    const layer = start?.layer ?? 0;
    const valuesOf = (wanted: readonly Site[]): Set<string> =>
      only ? new Set(wanted.map(({ value }) => value)) : inAllBlocks(anatomy, wanted, layer);
    return this.alone(async () => {
      const session = await this.pool.get({
        taps: valuesOf(reads.filter(({ plan }) => plan === null).map(({ site }) => site)),
        picks: reads.flatMap((read) =>
          only ? (read.plan === null ? [] : [read.plan.pick]) : picksInAllBlocks(anatomy, read, layer),
        ),
        gates: valuesOf(changes.map(({ site }) => site)),
        fed,
        exact: only,
      });
      return session.run({ feeds, reads, changes, resid: start?.resid });
    });
  }

  /** One block alone, from stream to stream, with changes inside. Throws `model-unsupported` when it cannot be cut out. */
  async runBlock(
    layer: number,
    resid: Activation,
    rows: readonly InputRow[],
    changes: readonly Intervention[],
  ): Promise<Activation> {
    const anatomy = await this.anatomy();
    return this.alone(() => this.pieces.run(anatomy, layer, this.fill.feeds(rows), resid, changes));
  }

  /** `runBlock` without changes, at one token. */
  async runBlockAt(layer: number, resid: Activation, rows: readonly InputRow[], position: number): Promise<Activation> {
    const anatomy = await this.anatomy();
    return this.alone(() => this.pieces.runAt(anatomy, layer, this.fill.feeds(rows), resid, position));
  }

  /** The end of a block alone, from sums in the stream [N,1,D]. Throws as `runBlock`. */
  async runBlockEnd(layer: number, sums: Activation): Promise<Activation> {
    const anatomy = await this.anatomy();
    const next = layer + 1 < anatomy.layers ? blockHook(layer + 1, 'hook_resid_pre') : lastStream(anatomy);
    const [from, to] = [this.siteOf(anatomy, blockHook(layer, 'hook_resid_post')), this.siteOf(anatomy, next)];
    if (from.value === to.value) return sums;
    return this.oneByOne(sums, (feeds, resid) => this.pieces.between(anatomy, from.value, to, { feeds, resid }));
  }

  /** From streams after the last block [N,1,D] to logits [N,1,V]. Throws as `runBlock`. */
  async runHead(resid: Activation): Promise<Activation> {
    const anatomy = await this.anatomy();
    return this.oneByOne(resid, (feeds, streams) => this.pieces.run(anatomy, anatomy.layers, feeds, streams, []));
  }

  /** From such streams to what the unembedding reads [N,1,D]. Throws as `runBlock`. */
  async runTransform(resid: Activation): Promise<Activation> {
    const anatomy = await this.anatomy();
    const { linear, stream } = this.ends(anatomy);
    const to = tokenSite(anatomy.subject, linear.data, [rowWidth(anatomy.subject, linear.data) ?? 0]);
    return this.oneByOne(resid, (feeds, streams) =>
      this.pieces.between(anatomy, stream, to, { feeds, resid: streams }),
    );
  }

  /** From vectors in the stream [N,1,D] to the scores [N,1,V] of words. Throws as `runBlock`. */
  async wordScores(vectors: Activation): Promise<Activation> {
    const anatomy = await this.anatomy();
    const { from, to } = this.scoring(anatomy);
    return this.oneByOne(vectors, (feeds, resid) => this.pieces.between(anatomy, from, to, { feeds, resid }));
  }

  /** The ends of such scores, less those of `nothing` [V]. Throws as `runBlock`. */
  async wordEnds(
    vectors: Activation,
    nothing: Float32Array | null,
    count: number,
  ): Promise<{ largest: Activation; smallest: Activation }> {
    const anatomy = await this.anatomy();
    const { from, to } = this.scoring(anatomy);
    const scored = rowWidth(anatomy.subject, to.value) ?? 0;
    const words = Math.min(scored, this.description.tokenizer?.vocabSize ?? scored);
    // Of a vocabulary that is padded, the scores behind the last word are no words'.
    const among = words < scored ? { columns: Array.from({ length: words }, (_, id) => id) } : {};
    const parts = (['largest', 'smallest'] as const).map((end): Part => ({ ...among, top: count, end }));
    const changes = nothing === null ? [] : [{ site: to, intervention: lessThan(nothing) }];
    const [largest, smallest] = await this.allOneByOne(vectors, (feeds, resid) =>
      this.pieces.partsBetween(anatomy, from, to, parts, { feeds, resid, changes }),
    );
    return { largest: largest as Activation, smallest: smallest as Activation };
  }

  /** Where vectors in the stream begin to become scores of words, and where they are. */
  private scoring(anatomy: Anatomy): { from: string; to: Site } {
    const { linear, stream } = this.ends(anatomy);
    return {
      from: hasTransform(anatomy) ? stream : linear.data,
      to: tokenSite(anatomy.subject, linear.product, [rowWidth(anatomy.subject, linear.product) ?? 0]),
    };
  }

  /** The two ends of the head: the stream's value, and the layer that scores the vocabulary. */
  private ends(anatomy: Anatomy): { stream: string; linear: Linear } {
    const { unembedding } = anatomy;
    if (unembedding === null) return this.refuse(anatomy, 'unembed.W_U');
    return { stream: this.siteOf(anatomy, lastStream(anatomy)).value, linear: unembedding.linear };
  }

  private async oneByOne(
    resid: Activation,
    run: (feeds: Feeds, resid: Activation) => Promise<Activation>,
  ): Promise<Activation> {
    const [only] = await this.allOneByOne(resid, async (...asked) => [await run(...asked)]);
    return only as Activation;
  }

  /**
   * Streams [N,1,D] as texts of one token. A model of fixed length takes as many streams as it has tokens, as one text.
   */
  private async allOneByOne(
    resid: Activation,
    run: (feeds: Feeds, resid: Activation) => Promise<Activation[]>,
  ): Promise<Activation[]> {
    const [count = 0, , width = 0] = resid.dims;
    // No token is read any more.
    const row = { ids: Int32Array.of(0) };
    const length = this.fill.length([row]);
    if (length === 1) return this.alone(() => run(this.fill.feeds(new Array<InputRow>(count).fill(row)), resid));
    const runs: { rows: number[]; results: Activation[] }[] = [];
    for (let start = 0; start < count; start += length) {
      const streams = new Float32Array(length * width);
      streams.set(resid.data.subarray(start * width, (start + length) * width));
      const rows = Array.from({ length: Math.min(length, count - start) }, (_, index) => start + index);
      const found = await this.alone(() => run(this.fill.feeds([row]), { dims: [1, length, width], data: streams }));
      runs.push({ rows, results: found.map((result) => firstTokens(result, rows.length)) });
    }
    return (runs[0]?.results ?? []).map((_, index) =>
      join(
        runs.map(({ rows, results }) => ({ rows, result: results[index] as Activation })),
        count,
        'The stream',
      ),
    );
  }

  /** After what runs now. */
  private alone<T>(work: () => Promise<T>): Promise<T> {
    const next = this.last.then(work);
    this.last = next.catch(() => undefined);
    return next;
  }

  async release(): Promise<void> {
    await this.last;
    await this.pool.release();
    await this.pieces.release();
  }

  /** A batch in as many runs as model and memory need. */
  private async batch(
    rows: readonly InputRow[],
    hooks: readonly string[],
    interventions: readonly Intervention[],
    options: TraceOptions & { start?: Start },
  ): Promise<Trace> {
    const anatomy = await this.anatomy();
    const { parts = new Map<string, Part>(), start } = options;
    const length = this.fill.length(rows);
    const bytes = hooks
      .filter((hook) => !parts.has(hook))
      .reduce((sum, hook) => sum + rowBytes(this.siteOf(anatomy, hook), length), 0);
    const groups = this.takesBatches ? this.fill.groups(rows) : [...rows.keys()].map((row) => [row]);
    const runs = chunks(groups, bytes, this.maxRunBytes);
    if (runs.length === 1) return this.run(this.fill.feeds(rows), hooks, interventions, options);
    // Before the batch is divided, which would hide what does not fit it.
    for (const { hook, scale, offset } of interventions)
      for (const given of [scale, offset])
        if (given !== undefined)
          checkFits(`An intervention at ${hook}`, given, this.siteOf(anatomy, hook).layout, rows.length, length);
    if (start !== undefined) {
      const { layout } = this.siteOf(anatomy, blockHook(start.layer, 'hook_resid_pre'));
      checkFits('The residual stream', start.resid, layout, rows.length, length);
    }
    for (const [hook, part] of parts) partDims(hook, this.siteOf(anatomy, hook).layout, part, rows.length, length);
    const traces: { rows: readonly number[]; trace: Trace }[] = [];
    for (const members of runs) {
      const own = members.map((row) => rows[row] as InputRow);
      const tokens = this.fill.length(own);
      const changes = interventions.map((each) => forRows(each, this.siteOf(anatomy, each.hook), members, tokens));
      // A position after the end of these rows is padding, which means nothing.
      const ownParts = new Map(
        [...parts].map(([hook, part]) => [
          hook,
          part.positions === undefined
            ? part
            : { ...part, positions: part.positions.map((position) => Math.min(position, tokens - 1)) },
        ]),
      );
      traces.push({
        rows: members,
        trace: await this.run(this.fill.feeds(own), hooks, changes, {
          parts: ownParts,
          only: options.only === true,
          ...(start === undefined
            ? {}
            : { start: { layer: start.layer, resid: rowsOf(start.resid, 'tokens', members, tokens) } }),
        }),
      });
    }
    return new Map(
      hooks.map((hook) => [
        hook,
        join(
          traces.map(({ rows: members, trace }) => ({ rows: members, result: trace.get(hook) as Activation })),
          rows.length,
          hook,
        ),
      ]),
    );
  }

  private siteOf(anatomy: Anatomy, hook: string): Site {
    return anatomy.hooks.sites.get(hook) ?? this.refuse(anatomy, hook);
  }

  private refuse({ hooks: { missing } }: Anatomy, hook: string): never {
    const why = missing.get(hook) ?? missing.get('blocks.*') ?? 'models of this kind have no such place';
    throw new LensError(
      'model-unsupported',
      `${this.description.info.id} has no ${hook}: ${why}.`,
      '“lens inspect” lists what was found in the model, and why the rest is missing.',
    );
  }

  /** Runs a few tokens with everything in the open, and drops what contradicts itself. */
  private async check(): Promise<Anatomy> {
    const { anatomy, tokenizer, info } = this.description;
    const { sites, missing } = anatomy.hooks;
    const inside = new Map([...sites].filter(([hook]) => hook.startsWith('blocks.')));
    const vocab = Math.min(tokenizer?.vocabSize ?? Infinity, info.vocabSize ?? Infinity);
    if (inside.size === 0 || !Number.isFinite(vocab)) return anatomy;
    // Any tokens will do, as long as they are spread over the vocabulary.
    const rows = CHECK_LENGTHS.map((length, row) => ({
      ids: Int32Array.from({ length }, (_, index) => Math.floor((vocab * (index + 1 + row / 2)) / (length + 2))),
    }));
    const taps = new Set([...inside.values()].map(({ value }) => value));
    const abilities = { taps, picks: [], gates: new Set<string>(), fed: null, exact: true };
    const session = await InstrumentedSession.create(this.description, abilities, this.settings, 'one run');
    const reads = planReads(anatomy.subject, inside, new Map());
    const precision = precisionOf(anatomy);
    const wrong = new Map<string, string>();
    try {
      const runs = this.fill.groups(rows).map((group) => group.map((row) => rows[row] as InputRow));
      for (let members = runs.shift(); members !== undefined; members = runs.shift()) {
        let trace: Trace;
        try {
          trace = await session.run({ feeds: this.fill.feeds(members), reads });
        } catch (error) {
          if (members.length === 1) throw error;
          this.takesBatches = false;
          runs.push(...members.map((row) => [row]));
          continue;
        }
        const lengths = members.map(({ ids }) => ids.length);
        for (const [hook, why] of contradictions(anatomy, trace, lengths, precision)) wrong.set(hook, why);
      }
    } finally {
      await session.release();
    }
    if (wrong.size === 0) return anatomy;
    const right = new Map([...sites].filter(([hook]) => !wrong.has(hook)));
    return { ...anatomy, hooks: { sites: right, missing: new Map([...missing, ...wrong]) } };
  }
}

/** Takes the scores of `nothing` [V] from those of every word. */
const lessThan = (nothing: Float32Array): Intervention => ({
  hook: 'the scores of words',
  offset: { dims: [1, 1, nothing.length], data: nothing.map((score) => -score) },
});

/** Of one text [1,T,W] the first tokens, as a text each [count,1,W]. */
function firstTokens({ dims, data, indices }: Activation, count: number): Activation {
  const size = dims.at(-1) as number;
  return {
    dims: [count, 1, size],
    data: data.subarray(0, count * size),
    ...(indices === undefined ? {} : { indices: indices.subarray(0, count * size) }),
  };
}

/** Values of these hooks, and of their like in every block from `layer` on: they are looked at next, and cost nothing until fetched. */
function inAllBlocks({ hooks: { sites } }: Anatomy, wanted: readonly Site[], layer: number): Set<string> {
  const kindOf = (hook: string): string => hook.replace(/^blocks\.\d+\./, '');
  const layerOf = (hook: string): number => Number(/^blocks\.(\d+)\./.exec(hook)?.[1] ?? Infinity);
  const values = new Set(wanted.map(({ value }) => value));
  const kinds = new Set([...sites].filter(([, { value }]) => values.has(value)).map(([hook]) => kindOf(hook)));
  const alike = [...sites].filter(([hook]) => kinds.has(kindOf(hook)) && layerOf(hook) >= layer);
  return new Set([...values, ...alike.map(([, { value }]) => value)]);
}

/** The same part of a hook's like in every block from `layer` on, its own first. */
function picksInAllBlocks({ subject, hooks: { sites } }: Anatomy, { hook, part, plan }: Read, layer: number): Pick[] {
  if (part === undefined || plan === null) return [];
  const [, own, kind] = /^blocks\.(\d+)\.(.*)$/.exec(hook) ?? [];
  const others = [...sites].filter(([name]) => {
    const [, block, like] = /^blocks\.(\d+)\.(.*)$/.exec(name) ?? [];
    return like !== undefined && like === kind && block !== own && Number(block) >= layer;
  });
  const reads = planReads(subject, new Map(others), new Map(others.map(([name]) => [name, part])));
  return [plan.pick, ...reads.flatMap((read) => (read.plan === null ? [] : [read.plan.pick]))];
}
