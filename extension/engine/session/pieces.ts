/** Sessions of the model's pieces: of each block, and of the head, as they are asked for. Together they read each weight once. */
import type { EngineSettings } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import type { Anatomy } from '../anatomy/anatomy';
import type { Site } from '../anatomy/hooks';
import { pickOutput } from '../instrument/picks';
import { piecesOf, type Piece } from '../instrument/pieces';
import type { Description } from './describe';
import { atSites, InstrumentedSession, type Feeds, type RunRequest } from './instrumentedSession';
import type { Activation, Intervention, Part } from './internals';
import { LastBlock } from './lastBlock';
import { planReads, takePart } from './parts';

/** A run of a piece, which begins with a stream. */
type PieceRequest = Omit<RunRequest, 'reads' | 'resid'> & { resid: Activation };

export class Pieces {
  private found: (Piece | string)[] | null = null;
  private readonly sessions = new Map<string, InstrumentedSession>();
  /** Null: it must be computed as a whole. Undefined: nobody asked yet. */
  private last: LastBlock | null | undefined;

  constructor(
    private readonly description: Description,
    private readonly settings: EngineSettings,
  ) {}

  /**
   * Piece `index` (block, or the head after the last) from `resid` on, with changes inside. Throws `model-unsupported` when there is
   * no such piece, or no such hook.
   */
  run(
    anatomy: Anatomy,
    index: number,
    feeds: Feeds,
    resid: Activation,
    interventions: readonly Intervention[],
  ): Promise<Activation> {
    const { from, to } = this.pieceAt(anatomy, index);
    const { sites } = anatomy.hooks;
    const changes = atSites(interventions, (hook) => sites.get(hook) ?? this.refuse(`there is no ${hook}`));
    return this.between(anatomy, (sites.get(from) as Site).value, sites.get(to) as Site, { feeds, resid, changes });
  }

  /** Piece `index` without changes inside, at one token of each text: [B,1,D]. Of the last block no more is computed. Throws as `run`. */
  async runAt(anatomy: Anatomy, index: number, feeds: Feeds, resid: Activation, position: number): Promise<Activation> {
    const { from, to } = this.pieceAt(anatomy, index);
    if (index === anatomy.layers - 1) {
      const { sites } = anatomy.hooks;
      const valueOf = (hook: string): string => (sites.get(hook) as Site).value;
      if (this.last === undefined)
        this.last = await LastBlock.create(this.description, anatomy, valueOf(from), valueOf(to), this.settings);
      if (this.last !== null) return this.last.run(feeds, resid, position);
    }
    const whole = await this.run(anatomy, index, feeds, resid, []);
    return takePart(whole, (anatomy.hooks.sites.get(to) as Site).layout, { positions: [position] });
  }

  /** From one value of the graph, as a stream [B,T,D], to another. */
  async between(anatomy: Anatomy, from: string, to: Site, request: PieceRequest): Promise<Activation> {
    const [whole] = await this.partsBetween(anatomy, from, to, [undefined], request);
    return whole as Activation;
  }

  /** As `between`, to parts of the other value; undefined is all of it. */
  async partsBetween(
    { subject }: Anatomy,
    from: string,
    to: Site,
    parts: readonly (Part | undefined)[],
    { feeds, resid, changes = [] }: PieceRequest,
  ): Promise<Activation[]> {
    const names = parts.map((_, index) => `part ${index}`);
    const wanted = parts.flatMap((part, index) => (part === undefined ? [] : [[names[index], part] as [string, Part]]));
    const reads = planReads(subject, new Map(names.map((name) => [name, to])), new Map(wanted));
    const picks = reads.flatMap(({ plan }) => (plan === null ? [] : [plan.pick]));
    const key = JSON.stringify([from, to.value, picks.map(pickOutput)]);
    const gates = new Set(changes.map(({ site }) => site.value));
    let session = this.sessions.get(key);
    if (session === undefined || ![...gates].every((gate) => session?.abilities.gates.has(gate))) {
      const all = new Set([...gates, ...(session?.abilities.gates ?? [])]);
      await session?.release();
      const taps = new Set(picks.length < parts.length ? [to.value] : []);
      const abilities = { taps, picks, gates: all, fed: from, exact: true };
      session = await InstrumentedSession.create(this.description, abilities, this.settings, 'large batches');
      this.sessions.set(key, session);
    }
    const trace = await session.run({ feeds, reads, changes, resid });
    return names.map((name) => trace.get(name) as Activation);
  }

  async release(): Promise<void> {
    for (const session of this.sessions.values()) await session.release();
    this.sessions.clear();
    await this.last?.release();
    this.last = undefined;
  }

  private pieceAt(anatomy: Anatomy, index: number): Piece {
    const pieces = (this.found ??= piecesOf(anatomy));
    const piece = pieces[index] ?? (anatomy.layers === 0 ? pieces[0] : `it has ${anatomy.layers} blocks`);
    return typeof piece === 'object' ? piece : this.refuse(piece ?? 'no block was found');
  }

  private refuse(why: string): never {
    throw new LensError('model-unsupported', `${this.description.info.id} cannot be run block by block: ${why}.`);
  }
}
