/** One session on an instrumented graph. */
import { basename } from 'node:path';
import { Tensor, type InferenceSession } from 'onnxruntime-node';
import type { EngineSettings } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import type { Anatomy } from '../anatomy/anatomy';
import type { Site } from '../anatomy/hooks';
import { fedInput } from '../instrument/cut';
import { gateWidth, instrument, offsetInput, scaleInput } from '../instrument/instrument';
import { pickInput, pickOutput, pickOutputs, topIndices, topInput, type Pick } from '../instrument/picks';
import { elementCount, encodeModel, type OnnxModel } from '../onnx/model';
import type { Description } from './describe';
import type { Activation, Intervention, Trace } from './internals';
import { canonical, gateTensor, openGate, streamTensor } from './layout';
import { partDims, partOf, takePart, type Read } from './parts';
import { createSession, runtimeError, weightsFile, type Purpose } from './runtime';

export type Feeds = Readonly<Record<string, Tensor>>;

/** What a session can do: two that are alike in it are the same. */
export interface Abilities {
  /** Values of the graph that it hands out, whole and in part, and that it lets change. */
  taps: ReadonlySet<string>;
  picks: readonly Pick[];
  gates: ReadonlySet<string>;
  /** The value that its runs begin with; null: at the tokens. */
  fed: string | null;
  /** It stays as it is: what it computes ends where the last of these is made. */
  exact: boolean;
}

export interface RunRequest {
  /** Token ids [B,T] as `input_ids` among them. */
  feeds: Feeds;
  reads: readonly Read[];
  changes?: readonly { intervention: Intervention; site: Site }[];
  /** The fed value [B,T,D]. */
  resid?: Activation | undefined;
}

export class InstrumentedSession {
  private constructor(
    private readonly session: InferenceSession,
    private readonly anatomy: Anatomy,
    private readonly id: string,
    /** Inputs of the user's model that it still reads. */
    private readonly inputs: ReadonlySet<string>,
    readonly abilities: Abilities,
    /** Elements of the weights that it holds. */
    readonly weights: number,
  ) {}

  /** Throws `model-*`, `memory`. */
  static async create(
    description: Description,
    abilities: Abilities,
    settings: EngineSettings,
    purpose: Purpose,
    makeRoom: (weights: number) => Promise<void> = () => Promise.resolve(),
  ): Promise<InstrumentedSession> {
    const { anatomy, info } = description;
    const { model, inputs } = instrument(anatomy.subject, abilities);
    const weights = weightCount(model);
    await makeRoom(weights);
    const file = weightsFile(description);
    const session = await createSession(encodeModel(model, basename(file)), file, settings, info.id, purpose);
    return new InstrumentedSession(session, anatomy, info.id, inputs, abilities, weights);
  }

  /** Hooks at their sites, or their parts. */
  async run({ feeds, reads, changes = [], resid }: RunRequest): Promise<Trace> {
    const [batch, length] = (feeds['input_ids']?.dims ?? []) as [number, number];
    const { gates, picks, fed } = this.abilities;
    const { subject } = this.anatomy;
    const all: Record<string, Tensor> = {};
    for (const [name, tensor] of Object.entries(feeds)) if (this.inputs.has(name)) all[name] = tensor;
    // Before anything runs: a part that is not there is refused.
    const shapes = new Map(
      reads.flatMap(({ hook, site, part }) =>
        part === undefined ? [] : [[hook, partDims(hook, site.layout, part, batch, length)]],
      ),
    );
    const dimsOf = (value: string): readonly number[] | undefined => subject.values.get(value)?.dims;
    if (fed !== null && resid !== undefined)
      all[fedInput(fed)] = streamTensor(resid, dimsOf(fed)?.at(-1), batch, length);
    for (const value of gates) {
      const dims = dimsOf(value) ?? [batch, length, 1];
      const change = changes.find(({ site }) => site.value === value);
      const gate = (part: 'scale' | 'offset'): Tensor => {
        const given = change?.intervention[part];
        return change === undefined || given === undefined
          ? openGate(part, dims.length, gateWidth(subject, value))
          : gateTensor(change.intervention.hook, change.site, part, given, dims, batch, length);
      };
      all[scaleInput(value)] = gate('scale');
      all[offsetInput(value)] = gate('offset');
    }
    const give = (input: string, numbers: readonly number[]): void => {
      all[input] = new Tensor('int64', BigInt64Array.from(numbers, BigInt), [numbers.length]);
    };
    // What is not looked at now is one element; nobody fetches it.
    for (const pick of picks) {
      for (const axis of pick.axes) give(pickInput(pick, axis), [0]);
      if (pick.end !== null) give(topInput(pick), [1]);
    }
    for (const { hook, plan } of reads) {
      if (plan === null) continue;
      const { pick, indices } = plan;
      pick.axes.forEach((axis, at) => give(pickInput(pick, axis), indices(batch, length)[at] as number[]));
      if (pick.end !== null) give(topInput(pick), [shapes.get(hook)?.at(-1) ?? 1]);
    }
    const names = [
      ...new Set(reads.flatMap(({ plan, site }) => (plan === null ? [site.value] : pickOutputs(plan.pick)))),
    ];
    let results: InferenceSession.OnnxValueMapType;
    try {
      results = await this.session.run(all, names);
    } catch (thrown) {
      throw runtimeError(thrown, this.id);
    }
    return new Map(
      reads.map((read): [string, Activation] => {
        const { hook, site, part, plan } = read;
        const tensorOf = (name: string): Tensor => results[name] as Tensor;
        if (plan !== null) {
          const { pick } = plan;
          const indices = pick.end === null ? undefined : tensorOf(topIndices(pick));
          return [hook, partOf(tensorOf(pickOutput(pick)), indices, shapes.get(hook) ?? [], hook)];
        }
        const tensor = tensorOf(site.value);
        const whole = canonical(tensor, site, batch, length, hook);
        return [hook, part === undefined ? whole : takePart(whole, site.layout, part)];
      }),
    );
  }

  release(): Promise<void> {
    return this.session.release();
  }
}

/** Elements of a model's weights: what sessions are made of, however the file packs them. */
export const weightCount = ({ graph }: OnnxModel): number =>
  [...graph.initializers.values()].reduce((sum, initializer) => sum + elementCount(initializer), 0);

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
