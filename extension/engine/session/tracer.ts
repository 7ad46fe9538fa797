/** Runs a model with its internals in the open: named activations out, interventions in. */
import { basename } from 'node:path';
import { Tensor, type InferenceSession } from 'onnxruntime-node';
import type { EngineSettings } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import type { Anatomy } from '../anatomy/anatomy';
import type { Site } from '../anatomy/hooks';
import { instrument, offsetInput, scaleInput } from '../instrument/instrument';
import { encodeModel } from '../onnx/model';
import type { Description } from './describe';
import { planInputs, type InputPlan } from './inputs';
import type { InputRow } from './languageModel';
import type { Activation, Intervention, Trace } from './internals';
import { createSession, floats, headShape, runtimeError, weightsFile } from './runtime';

/** The inside of one model; its session is made when it is first asked for something. */
export class Tracer {
  readonly anatomy: Anatomy;
  readonly fill: InputPlan;
  /** The one session, with all taps and gates that were asked for so far. */
  private current: Promise<Opened | null> = Promise.resolve(null);

  constructor(
    private readonly description: Description,
    private readonly settings: EngineSettings,
  ) {
    this.anatomy = description.anatomy;
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
    const gates = new Map<string, GatePart>();
    for (const each of interventions) {
      const site = this.site(each.hook);
      if (gates.has(site.value))
        throw new LensError(
          'bad-input',
          `There are several interventions at ${each.hook}, or at hooks that are parts of one tensor.`,
          'Put them into one scale and one offset.',
        );
      gates.set(site.value, { ...each, site });
    }
    const names = [...new Set([...sites.values()].map(({ value }) => value))];
    const { session, inputs, gates: open } = await this.sessionWith(names, [...gates.keys()]);
    const [batch, length] = (feeds['input_ids']?.dims ?? []) as [number, number];
    const all: Record<string, Tensor> = {};
    for (const [name, tensor] of Object.entries(feeds)) if (inputs.has(name)) all[name] = tensor;
    for (const value of open) {
      const rank = this.anatomy.subject.values.get(value)?.dims.length ?? 3;
      const part = gates.get(value);
      all[scaleInput(value)] = part === undefined ? neutral(1, rank) : gateTensor(part, 'scale', rank, batch, length);
      all[offsetInput(value)] = part === undefined ? neutral(0, rank) : gateTensor(part, 'offset', rank, batch, length);
    }
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
    const open = await this.current;
    this.current = Promise.resolve(null);
    await open?.session.release();
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

  /** A session with at least these taps and gates. */
  private async sessionWith(taps: readonly string[], gates: readonly string[]): Promise<Opened> {
    const current = await this.current;
    if (
      current !== null &&
      taps.every((tap) => current.taps.has(tap)) &&
      gates.every((gate) => current.gates.has(gate))
    )
      return current;
    const next = this.open(current, taps, gates);
    // A failure is this request's alone: the next one begins anew.
    this.current = next.catch(() => null);
    return next;
  }

  /**
   * A new session with these taps and gates and those of the one before, which is closed first: one copy of the weights at a time.
   * A hook of one block brings those of all blocks with it, as they are what is looked at next and cost nothing until fetched.
   */
  private async open(before: Opened | null, newTaps: readonly string[], newGates: readonly string[]): Promise<Opened> {
    const taps = new Set([...(before?.taps ?? []), ...this.inAllBlocks(newTaps)]);
    const gates = new Set([...(before?.gates ?? []), ...this.inAllBlocks(newGates)]);
    await before?.session.release();
    const { model, inputs } = instrument(this.anatomy.subject, taps, gates);
    const weights = weightsFile(this.description);
    const bytes = encodeModel(model, basename(weights));
    const session = await createSession(bytes, weights, this.settings, this.description.info.id);
    return { session, inputs, taps, gates };
  }

  private inAllBlocks(values: readonly string[]): string[] {
    const { sites } = this.anatomy.hooks;
    const wanted = new Set(values);
    const kind = (hook: string): string => hook.replace(/^blocks\.\d+\./, '');
    const kinds = new Set([...sites].filter(([, { value }]) => wanted.has(value)).map(([hook]) => kind(hook)));
    return [...sites].filter(([hook]) => kinds.has(kind(hook))).map(([, { value }]) => value);
  }
}

interface Opened {
  session: InferenceSession;
  /** Inputs of the user's model that it still reads. */
  inputs: ReadonlySet<string>;
  taps: ReadonlySet<string>;
  gates: ReadonlySet<string>;
}

interface GatePart extends Intervention {
  site: Site;
}

const sizeOf = (dims: readonly number[]): number => dims.reduce((product, dim) => product * dim, 1);

/** An open gate: x·1 + 0. */
const neutral = (value: number, rank: number): Tensor =>
  new Tensor('float32', Float32Array.of(value), new Array<number>(rank).fill(1));

/** The gate's input for the tensor as the graph has it: [B|1,T|1,W], [B·T|1,W] or, for pairs, [B|1,H|1,T|1,T|1]. */
function gateTensor(
  { hook, site, ...parts }: GatePart,
  part: 'scale' | 'offset',
  rank: number,
  batch: number,
  length: number,
): Tensor {
  const { layout } = site;
  const fill = part === 'scale' ? 1 : 0;
  const given = parts[part];
  if (given === undefined) return neutral(fill, rank);
  const unfit = (shape: string): LensError =>
    new LensError(
      'bad-input',
      `The ${part} for ${hook} has the shape [${given.dims.join(', ')}]; it must fit [${shape}].`,
    );
  if (layout.kind === 'plain' || (layout.kind === 'pairs' && rank !== 4))
    throw new LensError(
      'model-unsupported',
      `${hook} cannot be changed in this graph.`,
      'Change what is computed from it.',
    );
  if (layout.kind === 'pairs') {
    if (given.dims.length !== 4) throw unfit('B, H, T, T');
    return new Tensor('float32', given.data, given.dims);
  }
  const shape = [batch, length, ...layout.rest];
  const fits = given.dims.length === shape.length && given.dims.every((dim, axis) => dim === 1 || dim === shape[axis]);
  if (!fits || sizeOf(given.dims) !== given.data.length) throw unfit(shape.join(', '));
  const { width, columns } = layout;
  const [givenRows, givenTokens, ...inner] = given.dims as [number, number, ...number[]];
  // A tensor of [B·T,W] takes one gate for all tokens, or one for each.
  const isEach = givenRows > 1 || givenTokens > 1;
  const [rows, tokens] = rank === 2 && isEach ? [batch, length] : [givenRows, givenTokens];
  const data = new Float32Array(rows * tokens * width).fill(fill);
  const rest = sizeOf(layout.rest);
  const innerSize = sizeOf(inner);
  for (let row = 0; row < rows; row++)
    for (let token = 0; token < tokens; token++) {
      const from = ((givenRows > 1 ? row : 0) * givenTokens + (givenTokens > 1 ? token : 0)) * innerSize;
      const to = (row * tokens + token) * width;
      for (let index = 0; index < rest; index++) {
        const column = columns === null ? index : (columns[index] as number);
        data[to + column] = given.data[from + broadcastIndex(index, layout.rest, inner)] as number;
      }
    }
  return new Tensor('float32', data, rank === 2 ? [rows * tokens, width] : [rows, tokens, width]);
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
