/** One session on an instrumented graph. */
import { basename } from 'node:path';
import type { Tensor } from 'onnxruntime-node';
import { type InferenceSession } from 'onnxruntime-node';
import type { EngineSettings } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import type { Anatomy } from '../anatomy/anatomy';
import type { Site } from '../anatomy/hooks';
import { fedInput } from '../instrument/cut';
import { instrument, offsetInput, scaleInput } from '../instrument/instrument';
import { encodeModel } from '../onnx/model';
import type { Description } from './describe';
import type { Activation, Intervention, Trace } from './internals';
import { canonical, gateTensor, openGate, streamTensor } from './layout';
import { createSession, runtimeError, weightsFile, type Purpose } from './runtime';

export type Feeds = Readonly<Record<string, Tensor>>;

export class InstrumentedSession {
  private constructor(
    private readonly session: InferenceSession,
    private readonly anatomy: Anatomy,
    private readonly id: string,
    /** Inputs of the user's model that it still reads. */
    private readonly inputs: ReadonlySet<string>,
    /** Values of the graph that it hands out, and that it lets change. */
    readonly taps: ReadonlySet<string>,
    readonly gates: ReadonlySet<string>,
    /** The value that its runs begin with; null: at the tokens. */
    readonly fed: string | null,
  ) {}

  /** Throws `model-*`, `memory`. */
  static async create(
    description: Description,
    taps: ReadonlySet<string>,
    gates: ReadonlySet<string>,
    settings: EngineSettings,
    purpose: Purpose,
    fed: string | null = null,
  ): Promise<InstrumentedSession> {
    const { anatomy, info } = description;
    const { model, inputs } = instrument(anatomy.subject, taps, gates, fed);
    const weights = weightsFile(description);
    const session = await createSession(encodeModel(model, basename(weights)), weights, settings, info.id, purpose);
    return new InstrumentedSession(session, anatomy, info.id, inputs, taps, gates, fed);
  }

  /** Hooks at their sites, for token ids [B,T] in `feeds.input_ids`; `start` is the fed value [B,T,D]. */
  async run(
    feeds: Feeds,
    sites: ReadonlyMap<string, Site>,
    interventions: readonly { intervention: Intervention; site: Site }[] = [],
    start: Activation | null = null,
  ): Promise<Trace> {
    const [batch, length] = (feeds['input_ids']?.dims ?? []) as [number, number];
    const all: Record<string, Tensor> = {};
    for (const [name, tensor] of Object.entries(feeds)) if (this.inputs.has(name)) all[name] = tensor;
    const dimsOf = (value: string): readonly number[] | undefined => this.anatomy.subject.values.get(value)?.dims;
    if (this.fed !== null && start !== null)
      all[fedInput(this.fed)] = streamTensor(start, dimsOf(this.fed), batch, length);
    for (const value of this.gates) {
      const dims = dimsOf(value) ?? [batch, length, 1];
      const change = interventions.find(({ site }) => site.value === value);
      const fed = (part: 'scale' | 'offset'): Tensor =>
        change === undefined
          ? openGate(part, dims.length)
          : gateTensor(change.intervention, change.site, part, dims, batch, length);
      all[scaleInput(value)] = fed('scale');
      all[offsetInput(value)] = fed('offset');
    }
    const names = [...new Set([...sites.values()].map(({ value }) => value))];
    let results: InferenceSession.OnnxValueMapType;
    try {
      results = await this.session.run(all, names);
    } catch (thrown) {
      throw runtimeError(thrown, this.id);
    }
    return new Map(
      [...sites].map(([hook, site]) => [hook, canonical(results[site.value] as Tensor, site, batch, length, hook)]),
    );
  }

  release(): Promise<void> {
    return this.session.release();
  }
}

/** Interventions by the values that they change. Throws `bad-input` when two change the same. */
export function atSites(
  interventions: readonly Intervention[],
  siteOf: (hook: string) => Site,
): { intervention: Intervention; site: Site }[] {
  const taken = new Set<string>();
  return interventions.map((intervention) => {
    const site = siteOf(intervention.hook);
    if (taken.has(site.value))
      throw new LensError(
        'bad-input',
        `There are several interventions at ${intervention.hook}, or at hooks that are parts of one tensor.`,
        'Put them into one scale and one offset.',
      );
    taken.add(site.value);
    return { intervention, site };
  });
}
