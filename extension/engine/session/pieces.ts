/** Sessions of the model's pieces: of each block, and of the head, as they are asked for. Together they read each weight once. */
import type { EngineSettings } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import type { Anatomy } from '../anatomy/anatomy';
import type { Site } from '../anatomy/hooks';
import { piecesOf, type Piece } from '../instrument/pieces';
import type { Description } from './describe';
import { atSites, InstrumentedSession, type Feeds } from './instrumentedSession';
import type { Activation, Intervention } from './internals';
import { planReads } from './parts';

/** What happens to a block's z. */
export type HeadGates = Omit<Intervention, 'hook'>;

export class Pieces {
  private found: (Piece | string)[] | null = null;
  private readonly sessions = new Map<number, InstrumentedSession>();

  constructor(
    private readonly description: Description,
    private readonly settings: EngineSettings,
  ) {}

  /** Piece `index` (block, or the head after the last) from `resid` on. Throws `model-unsupported` when there is no such piece. */
  async run(anatomy: Anatomy, index: number, feeds: Feeds, resid: Activation, heads: HeadGates): Promise<Activation> {
    const { from, to, gate } = this.pieceAt(anatomy, index);
    const { hooks, subject } = anatomy;
    const siteOf = (hook: string): Site => hooks.sites.get(hook) as Site;
    const changes = gate === null ? [] : atSites([{ ...heads, hook: gate }], siteOf);
    let session = this.sessions.get(index);
    if (session === undefined) {
      const abilities = {
        taps: new Set([siteOf(to).value]),
        picks: [],
        gates: new Set(changes.map(({ site }) => site.value)),
        fed: siteOf(from).value,
      };
      session = await InstrumentedSession.create(this.description, abilities, this.settings, 'large batches');
      this.sessions.set(index, session);
    }
    const reads = planReads(subject, new Map([[to, siteOf(to)]]), new Map());
    return (await session.run({ feeds, reads, changes, resid })).get(to) as Activation;
  }

  async release(): Promise<void> {
    for (const session of this.sessions.values()) await session.release();
    this.sessions.clear();
  }

  private pieceAt(anatomy: Anatomy, index: number): Piece {
    const pieces = (this.found ??= piecesOf(anatomy));
    const piece = pieces[index] ?? (anatomy.layers === 0 ? pieces[0] : `it has ${anatomy.layers} blocks`);
    if (typeof piece === 'object') return piece;
    throw new LensError('model-unsupported', `${this.description.info.id} cannot be run block by block: ${piece}.`);
  }
}
