/**
 * What a model's inside said before: another head, method or query of the same text is looked at without running the model again.
 * Keyed by what a run is of (rows and interventions), hook by hook, and by the names of weights. The numbers are shared: nobody may
 * write into them.
 */
import { createHash } from 'node:crypto';
import type { Activation, Internals, Intervention, Trace, TraceOptions } from './internals';
import type { InputRow, LanguageModel } from './languageModel';

/** As much as the patterns of a text of 512 tokens in a model of BERT's size, and then some. */
const MOST_BYTES = 256 * 2 ** 20;

interface Entry {
  activation: Promise<Activation>;
  /** 0 until it is there. */
  bytes: number;
}

/** Of one model. It lives as long as the model is loaded. */
export class TraceCache {
  /** Least recently used first. */
  private readonly entries = new Map<string, Entry>();
  private bytes = 0;

  constructor(private readonly mostBytes = MOST_BYTES) {}

  /** The model, asked only for what is not known yet. */
  over(model: LanguageModel & Internals): LanguageModel & Internals {
    return {
      info: model.info,
      tokenizer: model.tokenizer,
      anatomy: () => model.anatomy(),
      logitsAt: (batch, places) => model.logitsAt(batch, places),
      nextSentenceLogits: (...args) => model.nextSentenceLogits(...args),
      weight: (name) => this.use(`weight ${name}`) ?? this.keep(`weight ${name}`, model.weight(name)),
      headLayers: () => model.headLayers(),
      unembedding: (id) => this.use(`unembedding ${id}`) ?? this.keep(`unembedding ${id}`, model.unembedding(id)),
      trace: (rows, hooks, interventions = [], options = {}) => this.trace(model, rows, hooks, interventions, options),
      // Their rows are changed ones, each asked for once.
      traceFrom: (...args) => model.traceFrom(...args),
      runBlock: (...args) => model.runBlock(...args),
      runBlockAt: (...args) => model.runBlockAt(...args),
      runBlockEnd: (...args) => model.runBlockEnd(...args),
      runHead: (resid) => model.runHead(resid),
      runTransform: (resid) => model.runTransform(resid),
      wordScores: (vectors) => model.wordScores(vectors),
      wordEnds: (...asked) => model.wordEnds(...asked),
    };
  }

  private async trace(
    model: Internals,
    rows: readonly InputRow[],
    hooks: readonly string[],
    interventions: readonly Intervention[],
    options: TraceOptions,
  ): Promise<Trace> {
    const run = keyOf(rows, interventions);
    const key = (hook: string): string => `${run} ${hook} ${JSON.stringify(options.parts?.get(hook) ?? null)}`;
    const found = new Map(hooks.map((hook) => [hook, this.use(key(hook))]));
    const unknown = hooks.filter((hook) => found.get(hook) === undefined);
    if (unknown.length > 0) {
      const trace = model.trace(rows, unknown, interventions, options);
      for (const hook of unknown)
        found.set(
          hook,
          this.keep(
            key(hook),
            trace.then((answer) => answer.get(hook) as Activation),
          ),
        );
    }
    const answers = await Promise.all(hooks.map((hook) => found.get(hook) as Promise<Activation>));
    return new Map(hooks.map((hook, index) => [hook, answers[index] as Activation]));
  }

  private use(key: string): Promise<Activation> | undefined {
    const entry = this.entries.get(key);
    if (entry === undefined) return undefined;
    this.entries.delete(key);
    this.entries.set(key, entry);
    return entry.activation;
  }

  /** Known from now on, also to those who ask before it is there; forgotten when it fails, or when others need the room. */
  private keep(key: string, activation: Promise<Activation>): Promise<Activation> {
    const entry: Entry = { activation, bytes: 0 };
    this.entries.set(key, entry);
    activation.then(
      ({ data }) => {
        if (this.entries.get(key) !== entry) return;
        entry.bytes = data.byteLength;
        this.bytes += entry.bytes;
        this.makeRoom();
      },
      () => {
        if (this.entries.get(key) === entry) this.entries.delete(key);
      },
    );
    return activation;
  }

  private makeRoom(): void {
    for (const [key, { bytes }] of this.entries) {
      if (this.bytes <= this.mostBytes) return;
      // What is still on its way has no size yet, and somebody waits for it.
      if (bytes === 0) continue;
      this.entries.delete(key);
      this.bytes -= bytes;
    }
  }
}

/** Of everything that decides the numbers of a run. */
function keyOf(rows: readonly InputRow[], interventions: readonly Intervention[]): string {
  const hash = createHash('sha256');
  const add = (name: string, numbers: Int32Array | Float32Array | readonly number[] | undefined): void => {
    hash.update(`${name} ${numbers?.length ?? 'none'}\n`);
    if (numbers !== undefined) hash.update(ArrayBuffer.isView(numbers) ? bytesOf(numbers) : JSON.stringify(numbers));
  };
  for (const { ids, segments } of rows) {
    add('ids', ids);
    add('segments', segments);
  }
  for (const { hook, scale, offset } of interventions) {
    hash.update(`${JSON.stringify(hook)}\n`);
    for (const part of [scale, offset]) {
      add('dims', part?.dims);
      add('data', part?.data);
    }
  }
  return hash.digest('base64');
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Int32Array | Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);
