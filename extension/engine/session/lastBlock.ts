/** The last block alone, computed at one token of each text as far as that can be told apart: from the stream before it to the one after. */
import { basename } from 'node:path';
import { Tensor, type InferenceSession } from 'onnxruntime-node';
import type { EngineSettings } from '../../protocol/engine';
import type { Anatomy } from '../anatomy/anatomy';
import { fedInput } from '../instrument/cut';
import { instrument } from '../instrument/instrument';
import { atTokens, POSITIONS_INPUT, type AtTokens } from '../instrument/tokens';
import { encodeModel } from '../onnx/model';
import type { Description } from './describe';
import type { Feeds } from './instrumentedSession';
import type { Activation } from './internals';
import { streamTensor } from './layout';
import { createSession, floats, runtimeError, weightsFile } from './runtime';

export class LastBlock {
  private constructor(
    private readonly session: InferenceSession,
    private readonly inputs: ReadonlySet<string>,
    private readonly few: AtTokens,
    private readonly from: string,
    private readonly width: number | undefined,
    private readonly id: string,
  ) {}

  /** From one value of the graph to another. Null where nothing of the block can be spared. Throws `model-*`, `memory`. */
  static async create(
    description: Description,
    anatomy: Anatomy,
    from: string,
    to: string,
    settings: EngineSettings,
  ): Promise<LastBlock | null> {
    const few = atTokens(anatomy, to);
    if (few === null) return null;
    const { subject } = anatomy;
    const { model, inputs } = instrument(subject, { taps: new Set(), gates: new Set(), fed: from, few });
    const file = weightsFile(description);
    const { id } = description.info;
    const session = await createSession(encodeModel(model, basename(file)), file, settings, id, 'large batches');
    return new LastBlock(session, inputs, few, from, subject.values.get(from)?.dims.at(-1), id);
  }

  /** Streams [B,T,D] → [B,1,D]. */
  async run(feeds: Feeds, resid: Activation, position: number): Promise<Activation> {
    const [batch, length] = (feeds['input_ids']?.dims ?? []) as [number, number];
    const all: Record<string, Tensor> = {
      [fedInput(this.from)]: streamTensor(resid, this.width, batch, length),
      [POSITIONS_INPUT]: new Tensor('int64', new BigInt64Array(batch).fill(BigInt(position)), [batch, 1]),
    };
    for (const [name, tensor] of Object.entries(feeds)) if (this.inputs.has(name)) all[name] = tensor;
    try {
      const results = await this.session.run(all, [this.few.value]);
      const data = floats(results[this.few.value] as Tensor);
      return { dims: [batch, 1, data.length / batch], data };
    } catch (thrown) {
      throw runtimeError(thrown, this.id);
    }
  }

  release(): Promise<void> {
    return this.session.release();
  }
}
