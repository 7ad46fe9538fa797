/** Runs a model with its internals in the open: named activations out, interventions in. */
import { basename } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import type { EngineSettings } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import { findAnatomy, type Anatomy } from '../anatomy/anatomy';
import type { Site } from '../anatomy/hooks';
import { instrument, offsetInput, scaleInput } from '../instrument/instrument';
import { encodeModel } from '../onnx/model';
import type { Description } from './describe';
import { planInputs, type InputPlan } from './inputs';
import type { InputRow } from './languageModel';
import { floats, headShape, runtimeError, sessionOptions, weightsFile } from './runtime';

/** Numbers in row-major order. */
export interface Activation {
  dims: readonly number[];
  data: Float32Array;
}

/**
 * x·scale + offset at a hook, before anything reads it. Both broadcast to the hook's canonical shape, so that one head at one
 * token, every token, or another thing in each row of the batch can be changed. A scale of 0 and an offset replace.
 */
export interface Intervention {
  hook: string;
  scale?: Activation;
  offset?: Activation;
}

/** Hook → numbers in its canonical shape. */
export type Trace = ReadonlyMap<string, Activation>;

/** Sessions that are kept: one plain, and those of the views that are open. */
const MOST_SESSIONS = 4;

export class Tracer {
  readonly anatomy: Anatomy;
  readonly fill: InputPlan;
  private readonly sessions = new Map<string, Promise<{ session: InferenceSession; inputs: ReadonlySet<string> }>>();

  constructor(
    private readonly description: Description,
    private readonly settings: EngineSettings,
  ) {
    this.anatomy = findAnatomy(description.model, description.logits);
    const padId = description.tokenizer?.padId ?? 0;
    this.fill = planInputs(description.info.inputs, { padId, ...headShape(description) });
  }

  /** Runs a batch of rows of tokens, padded and masked as needed. Throws what `run` throws. */
  async trace(
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
  async run(
    feeds: Readonly<Record<string, Tensor>>,
    hooks: readonly string[],
    interventions: readonly Intervention[] = [],
  ): Promise<Trace> {
    const sites = new Map(hooks.map((hook) => [hook, this.site(hook)]));
    const gates = gatesBy(interventions.map((each) => ({ ...each, site: this.site(each.hook) })));
    const { session, inputs } = await this.session(
      new Set([...sites.values()].map(({ value }) => value)),
      new Set(gates.keys()),
    );
    const [batch, length] = (feeds['input_ids']?.dims ?? []) as [number, number];
    const all: Record<string, Tensor> = {};
    for (const [name, tensor] of Object.entries(feeds)) if (inputs.has(name)) all[name] = tensor;
    for (const [value, parts] of gates) {
      const rank = this.anatomy.subject.values.get(value)?.dims.length ?? 3;
      all[scaleInput(value)] = gateTensor(parts, 'scale', rank, batch, length);
      all[offsetInput(value)] = gateTensor(parts, 'offset', rank, batch, length);
    }
    const names = [...new Set([...sites.values()].map(({ value }) => value))];
    let results: InferenceSession.OnnxValueMapType;
    try {
      results = await session.run(all, names);
    } catch (thrown) {
      throw runtimeError(thrown, this.description.info.id);
    }
    return new Map(
      [...sites].map(([hook, site]) => [hook, canonical(results[site.value] as Tensor, site, batch, length, hook)]),
    );
  }

  async release(): Promise<void> {
    const open = [...this.sessions.values()];
    this.sessions.clear();
    for (const each of open) await each.then(({ session }) => session.release()).catch(() => undefined);
  }

  private site(hook: string): Site {
    const site = this.anatomy.hooks.sites.get(hook);
    if (site !== undefined) return site;
    const { missing } = this.anatomy.hooks;
    const why = missing.get(hook) ?? missing.get('blocks.*') ?? 'models of this kind have no such place';
    throw new LensError(
      'model-unsupported',
      `${this.description.info.id} has no ${hook}: ${why}.`,
      '“lens inspect” lists what was found in the model, and why the rest is missing.',
    );
  }

  /** The session with these taps and gates; the one that was not used for longest is closed for a new one. */
  private session(
    taps: ReadonlySet<string>,
    gates: ReadonlySet<string>,
  ): Promise<{ session: InferenceSession; inputs: ReadonlySet<string> }> {
    const key = JSON.stringify([[...taps].sort(), [...gates].sort()]);
    const known = this.sessions.get(key);
    if (known !== undefined) {
      this.sessions.delete(key);
      this.sessions.set(key, known);
      return known;
    }
    const opened = this.open(taps, gates);
    this.sessions.set(key, opened);
    opened.catch(() => this.sessions.delete(key));
    for (const [oldest, session] of this.sessions) {
      if (this.sessions.size <= MOST_SESSIONS) break;
      this.sessions.delete(oldest);
      void session.then((each) => each.session.release()).catch(() => undefined);
    }
    return opened;
  }

  private async open(
    taps: ReadonlySet<string>,
    gates: ReadonlySet<string>,
  ): Promise<{ session: InferenceSession; inputs: ReadonlySet<string> }> {
    const { model, inputs } = instrument(this.anatomy.subject, taps, gates);
    const weights = weightsFile(this.description);
    try {
      const session = await InferenceSession.create(
        encodeModel(model, basename(weights)),
        sessionOptions(weights, this.settings),
      );
      return { session, inputs };
    } catch (thrown) {
      throw runtimeError(thrown, this.description.info.id);
    }
  }
}

interface GatePart extends Intervention {
  site: Site;
}

function gatesBy(interventions: readonly GatePart[]): Map<string, GatePart[]> {
  const gates = new Map<string, GatePart[]>();
  for (const each of interventions) gates.set(each.site.value, [...(gates.get(each.site.value) ?? []), each]);
  return gates;
}

const sizeOf = (dims: readonly number[]): number => dims.reduce((product, dim) => product * dim, 1);

/**
 * The gate's input for the tensor as the graph has it: [B|1,T|1,W], [B·T|1,W] or [B,H,T,T]. Several interventions on one value:
 * the later is applied to what the earlier gives.
 */
function gateTensor(
  parts: readonly GatePart[],
  part: 'scale' | 'offset',
  rank: number,
  batch: number,
  length: number,
): Tensor {
  const [first] = parts as [GatePart];
  const { layout } = first.site;
  const neutral = part === 'scale' ? 1 : 0;
  const given = parts.flatMap((each) => (each[part] === undefined ? [] : [each[part]]));
  if (parts.length > 1 || layout.kind === 'plain')
    throw new LensError(
      'bad-input',
      `Several interventions at ${first.hook}.`,
      'Put them into one scale and one offset.',
    );
  const [activation] = given;
  if (layout.kind === 'pairs') {
    const dims = activation?.dims ?? [1, 1, 1, 1];
    if (rank !== 4)
      throw new LensError('model-unsupported', `The pattern ${first.hook} cannot be changed in this graph.`);
    return new Tensor('float32', activation?.data ?? Float32Array.of(neutral), dims);
  }
  const { width } = layout;
  const rest = sizeOf(layout.rest);
  // Rows of gates: one for all tokens, or one for each.
  const [rowsB, rowsT] =
    activation === undefined ? [1, 1] : [activation.dims[0] as number, activation.dims[1] as number];
  const each = rowsB > 1 || rowsT > 1;
  const [outB, outT] = rank === 2 && each ? [batch, length] : [rowsB, rowsT];
  const data = new Float32Array(outB * outT * width).fill(neutral);
  if (activation !== undefined) {
    const inner = sizeOf(activation.dims.slice(2));
    const innerDims = activation.dims.slice(2);
    for (let b = 0; b < outB; b++)
      for (let t = 0; t < outT; t++) {
        const from = ((rowsB > 1 ? b : 0) * rowsT + (rowsT > 1 ? t : 0)) * inner;
        const to = (b * outT + t) * width;
        for (let index = 0; index < rest; index++) {
          const column = layout.columns === null ? index : (layout.columns[index] as number);
          data[to + column] = activation.data[from + broadcastIndex(index, layout.rest, innerDims)] as number;
        }
      }
  }
  return new Tensor('float32', data, rank === 2 ? [outB * outT, width] : [outB, outT, width]);
}

/** Index into a tensor of `dims` (1 where it repeats) for a flat index into one of `full`. */
function broadcastIndex(index: number, full: readonly number[], dims: readonly number[]): number {
  let at = 0;
  let stride = 1;
  let rest = index;
  for (let axis = full.length - 1; axis >= 0; axis--) {
    const size = full[axis] as number;
    if (dims[axis] !== 1) at += (rest % size) * stride;
    stride *= dims[axis] as number;
    rest = Math.floor(rest / size);
  }
  return at;
}

/** A tensor of the graph in the hook's canonical shape. */
function canonical(tensor: Tensor, { layout }: Site, batch: number, length: number, hook: string): Activation {
  const data = floats(tensor);
  if (layout.kind === 'plain') return { dims: tensor.dims, data };
  const wrong = (): LensError =>
    new LensError(
      'internal',
      `${hook} has the unexpected shape [${tensor.dims.join(', ')}].`,
      'Please report this with the model.',
    );
  if (layout.kind === 'pairs') {
    const [queries, keys] = tensor.dims.slice(-2) as [number, number];
    const dims = [batch, layout.heads, queries, keys];
    if (sizeOf(dims) !== data.length || queries !== length) throw wrong();
    return { dims, data };
  }
  const rest = sizeOf(layout.rest);
  const dims = [batch, length, ...layout.rest];
  const width = tensor.dims.at(-1) as number;
  if (batch * length * width !== data.length) throw wrong();
  if (layout.columns === null) {
    if (width !== rest) throw wrong();
    return { dims, data };
  }
  const picked = new Float32Array(batch * length * rest);
  for (let row = 0; row < batch * length; row++)
    for (let index = 0; index < rest; index++)
      picked[row * rest + index] = data[row * width + (layout.columns[index] as number)] as number;
  return { dims, data: picked };
}
