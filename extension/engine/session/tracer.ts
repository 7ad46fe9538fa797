/** The inside of one model: named activations out, interventions in. */
import type { EngineSettings } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import type { Anatomy } from '../anatomy/anatomy';
import { contradictions, precisionOf } from '../anatomy/check';
import type { Site } from '../anatomy/hooks';
import { positionPadding, type Description } from './describe';
import { planInputs, type InputPlan } from './inputs';
import { atSites, InstrumentedSession, type Feeds } from './instrumentedSession';
import type { Intervention, Trace } from './internals';
import type { InputRow } from './languageModel';
import { headShape } from './runtime';

/** Rows of the test run: unlike each other, so that padding is tested too. */
const CHECK_LENGTHS = [7, 4];

export class Tracer {
  readonly fill: InputPlan;
  private checked: Promise<Anatomy> | null = null;
  /** The one session, with all taps and gates that were asked for so far. */
  private session: InstrumentedSession | null = null;
  /** Runs come one after the other: a run may replace the session. */
  private last: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly description: Description,
    private readonly settings: EngineSettings,
  ) {
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

  /** Runs a batch of rows of tokens, padded and masked as needed. Throws what `run` throws. */
  trace(
    rows: readonly InputRow[],
    hooks: readonly string[],
    interventions: readonly Intervention[] = [],
  ): Promise<Trace> {
    return this.run(this.fill.feeds(rows), hooks, interventions);
  }

  /**
   * Runs the model on `feeds` (token ids as `input_ids` [B,T] among them) and gives the hooks asked for, after the interventions.
   * Throws `model-unsupported` for hooks that the model does not have, with the reason; `bad-input`, `memory`.
   */
  async run(feeds: Feeds, hooks: readonly string[], interventions: readonly Intervention[] = []): Promise<Trace> {
    const anatomy = await this.anatomy();
    const siteOf = (hook: string): Site => anatomy.hooks.sites.get(hook) ?? this.refuse(anatomy, hook);
    const sites = new Map(hooks.map((hook) => [hook, siteOf(hook)]));
    const changes = atSites(interventions, siteOf);
    const next = this.last.then(async () => {
      const session = await this.sessionWith(
        anatomy,
        [...sites.values()],
        changes.map(({ site }) => site),
      );
      return session.run(feeds, sites, changes);
    });
    this.last = next.catch(() => undefined);
    return next;
  }

  async release(): Promise<void> {
    await this.last;
    await this.session?.release();
    this.session = null;
  }

  private refuse({ hooks: { missing } }: Anatomy, hook: string): never {
    const why = missing.get(hook) ?? missing.get('blocks.*') ?? 'models of this kind have no such place';
    throw new LensError(
      'model-unsupported',
      `${this.description.info.id} has no ${hook}: ${why}.`,
      '“lens inspect” lists what was found in the model, and why the rest is missing.',
    );
  }

  /**
   * A session with at least these taps and gates. One that lacks some is replaced by one that has both, so that there is one copy of
   * the weights. A hook of one block brings those of all blocks: they are looked at next, and cost nothing until fetched.
   */
  private async sessionWith(
    anatomy: Anatomy,
    tapped: readonly Site[],
    gated: readonly Site[],
  ): Promise<InstrumentedSession> {
    const before = this.session;
    const has = (values: ReadonlySet<string>, sites: readonly Site[]): boolean =>
      sites.every(({ value }) => values.has(value));
    if (before !== null && has(before.taps, tapped) && has(before.gates, gated)) return before;
    const taps = new Set([...(before?.taps ?? []), ...inAllBlocks(anatomy, tapped)]);
    const gates = new Set([...(before?.gates ?? []), ...inAllBlocks(anatomy, gated)]);
    this.session = null;
    await before?.release();
    this.session = await InstrumentedSession.create(this.description, taps, gates, this.settings, 'many runs');
    return this.session;
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
    const session = await InstrumentedSession.create(this.description, taps, new Set(), this.settings, 'one run');
    const wrong = new Map<string, string>();
    try {
      const runs = this.fill.groups(rows).map((group) => group.map((row) => rows[row] as InputRow));
      for (let members = runs.shift(); members !== undefined; members = runs.shift()) {
        let trace: Trace;
        try {
          trace = await session.run(this.fill.feeds(members), inside);
        } catch (error) {
          // Some exports take one text at a time, whatever their inputs say.
          if (members.length === 1) throw error;
          runs.push(...members.map((row) => [row]));
          continue;
        }
        const lengths = members.map(({ ids }) => ids.length);
        for (const [hook, why] of contradictions(anatomy, trace, lengths, precisionOf(anatomy))) wrong.set(hook, why);
      }
    } finally {
      await session.release();
    }
    if (wrong.size === 0) return anatomy;
    const right = new Map([...sites].filter(([hook]) => !wrong.has(hook)));
    return { ...anatomy, hooks: { sites: right, missing: new Map([...missing, ...wrong]) } };
  }
}

/** Values of these hooks in every block. */
function inAllBlocks({ hooks: { sites } }: Anatomy, wanted: readonly Site[]): string[] {
  const kindOf = (hook: string): string => hook.replace(/^blocks\.\d+\./, '');
  const values = new Set(wanted.map(({ value }) => value));
  const kinds = new Set([...sites].filter(([, { value }]) => values.has(value)).map(([hook]) => kindOf(hook)));
  return [...sites].filter(([hook]) => kinds.has(kindOf(hook))).map(([, { value }]) => value);
}
