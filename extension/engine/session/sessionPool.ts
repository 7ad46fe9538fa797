/**
 * The sessions on instrumented graphs of one model. One that lacks a tap or a gate is replaced by one that has it too; runs that
 * begin at a block have sessions of their own, and so have those that end where nothing more is asked for. The least recently used go when together they would hold too much.
 */
import type { EngineSettings } from '../../protocol/engine';
import { pickOutput, type Pick } from '../instrument/picks';
import type { Description } from './describe';
import { InstrumentedSession, weightCount, type Abilities } from './instrumentedSession';

/** Weights of all sessions together, as a multiple of the model's own. */
const MOST_WEIGHTS = 2;

export class SessionPool {
  /** The most recently used is last. */
  private readonly sessions: InstrumentedSession[] = [];

  constructor(
    private readonly description: Description,
    private readonly settings: EngineSettings,
  ) {}

  /** A session that can do at least this. Throws `model-*`, `memory`. */
  async get(wanted: Abilities): Promise<InstrumentedSession> {
    const before = this.sessions.find(({ abilities: { fed, exact } }) => fed === wanted.fed && exact === wanted.exact);
    if (before !== undefined) this.sessions.splice(this.sessions.indexOf(before), 1);
    if (before !== undefined && fits(before.abilities, wanted)) {
      this.sessions.push(before);
      return before;
    }
    await before?.release();
    const { description, settings } = this;
    const abilities = wanted.exact ? wanted : union(before?.abilities ?? wanted, wanted);
    const session = await InstrumentedSession.create(description, abilities, settings, 'many runs', (weights) =>
      this.makeRoom(weights),
    );
    this.sessions.push(session);
    return session;
  }

  async release(): Promise<void> {
    await this.makeRoom(Infinity);
  }

  private async makeRoom(weights: number): Promise<void> {
    const most = this.settings.lowMemory ? 0 : MOST_WEIGHTS * weightCount(this.description.model);
    let sum = weights + this.sessions.reduce((total, session) => total + session.weights, 0);
    while (sum > most) {
      const oldest = this.sessions.shift();
      if (oldest === undefined) return;
      sum -= oldest.weights;
      await oldest.release();
    }
  }
}

const fits = (has: Abilities, wanted: Abilities): boolean =>
  isEnough(has, wanted) && (!wanted.exact || isEnough(wanted, has));

function isEnough(has: Abilities, wanted: Abilities): boolean {
  const outputs = new Set(has.picks.map(pickOutput));
  return (
    [...wanted.taps].every((value) => has.taps.has(value)) &&
    [...wanted.gates].every((value) => has.gates.has(value)) &&
    wanted.picks.every((pick) => outputs.has(pickOutput(pick)))
  );
}

function union(one: Abilities, other: Abilities): Abilities {
  const picks = new Map<string, Pick>([...one.picks, ...other.picks].map((pick) => [pickOutput(pick), pick]));
  return {
    taps: new Set([...one.taps, ...other.taps]),
    gates: new Set([...one.gates, ...other.gates]),
    picks: [...picks.values()],
    fed: one.fed,
    exact: one.exact,
  };
}
