/** A tokenizer and a model that are small enough to compute by hand what an analysis must say. */
import type { ModelInfo } from '../../extension/protocol/engine';
import type { InputRow, LanguageModel, LogitPlace, LogitRows } from '../../extension/engine/session/languageModel';
import type { Encoding } from '../../extension/engine/text/encoding';
import type { LensTokenizer } from '../../extension/engine/text/tokenizer';

const SPECIALS = ['[PAD]', '[CLS]', '[SEP]', '[MASK]', '[UNK]'];
const PIECE_LENGTH = 4;

/** Words and single punctuation marks; longer words are cut into pieces of four letters (`capi ##tal`). Ids grow as words are met. */
export class FakeTokenizer implements LensTokenizer {
  readonly type = 'fake';
  readonly lowercase = false;
  readonly padId = 0;
  readonly maskToken: string | null;
  readonly maskId: number | null;
  private readonly vocabulary: string[] = [...SPECIALS];

  /** `start`: the template puts a token before a text; `causal`: no mask, no [SEP]. */
  constructor(private readonly options: { causal?: boolean; start?: boolean; words?: readonly string[] } = {}) {
    this.maskToken = options.causal === true ? null : '[MASK]';
    this.maskId = options.causal === true ? null : 3;
    this.vocabulary.push(...(options.words ?? []));
  }

  get vocabSize(): number {
    return this.vocabulary.length;
  }

  isSpecial(id: number): boolean {
    return id < SPECIALS.length;
  }

  encode(text: string): Encoding {
    return this.assemble([text]);
  }

  encodePair(first: string, second: string): Encoding {
    return this.assemble([first, second]);
  }

  encodeContent(text: string): Encoding {
    const encoding: Encoding = this.empty();
    this.put(encoding, text, 0);
    return this.close(encoding);
  }

  together<T>(work: () => T): T {
    return work();
  }

  wrap(contentIds: Int32Array): { ids: Int32Array; offset: number } {
    const { before, after } = this.template();
    return { ids: Int32Array.from([...before, ...contentIds, ...after]), offset: before.length };
  }

  token(id: number): string {
    const token = this.vocabulary[id];
    if (token === undefined) throw new RangeError(`no token ${id}`);
    return token;
  }

  text(id: number): string {
    return this.token(id).replace(/^##/u, '');
  }

  join(ids: Iterable<number>): string {
    return [...ids]
      .map((id) => this.token(id))
      .join(' ')
      .replaceAll(' ##', '')
      .replace(/^##/u, '');
  }

  continuesWord(id: number): boolean {
    return this.token(id).startsWith('##');
  }

  id(token: string): number {
    const known = this.vocabulary.indexOf(token);
    if (known >= 0) return known;
    if (this.options.words !== undefined) return 4;
    return this.vocabulary.push(token) - 1;
  }

  private template(): { before: number[]; after: number[] } {
    return this.options.causal === true
      ? { before: this.options.start === true ? [1] : [], after: [] }
      : { before: [1], after: [2] };
  }

  private empty(): Encoding & { specials: number[]; ids_: number[]; segments_: number[] } {
    return {
      ids: new Int32Array(0),
      tokens: [],
      ranges: [],
      special: new Uint8Array(0),
      segments: new Int32Array(0),
      specials: [],
      ids_: [],
      segments_: [],
    };
  }

  private close(encoding: Encoding): Encoding {
    const { ids_, specials, segments_, tokens, ranges } = encoding as ReturnType<FakeTokenizer['empty']>;
    return {
      ids: Int32Array.from(ids_),
      tokens,
      ranges,
      special: Uint8Array.from(specials),
      segments: Int32Array.from(segments_),
    };
  }

  private assemble(texts: readonly string[]): Encoding {
    const { before, after } = this.template();
    const encoding = this.empty();
    const special = (ids: number[], segment: number): void => {
      for (const id of ids) {
        encoding.ids_.push(id);
        encoding.tokens.push(this.token(id));
        encoding.ranges.push(null);
        encoding.specials.push(1);
        encoding.segments_.push(segment);
      }
    };
    special(before, 0);
    texts.forEach((text, segment) => {
      this.put(encoding, text, segment);
      special(after, segment);
    });
    return this.close(encoding);
  }

  private put(encoding: Encoding, text: string, segment: number): void {
    const target = encoding as ReturnType<FakeTokenizer['empty']>;
    const known = this.maskToken === null ? '' : '\\[MASK\\]|';
    for (const match of text.matchAll(new RegExp(`${known}[\\p{L}\\p{N}]+|[^\\s]`, 'gu'))) {
      const [word] = match;
      const size = word.startsWith('[MASK]') ? word.length : PIECE_LENGTH;
      for (let at = 0; at < word.length; at += size) {
        const piece = word.slice(at, at + size);
        const token = at === 0 ? piece : `##${piece}`;
        target.ids_.push(this.id(token));
        target.tokens.push(this.token(this.id(token)));
        target.ranges.push({ start: match.index + at, end: match.index + at + piece.length });
        target.specials.push(0);
        target.segments_.push(segment);
      }
    }
  }
}

/** Logits at one place, from the whole row and the position. */
export type LogitRule = (ids: readonly number[], position: number) => readonly number[];

const NO_ANATOMY: ModelInfo['anatomy'] = {
  layers: 0,
  heads: null,
  keyHeads: null,
  headWidth: null,
  width: null,
  ffnWidth: null,
  activation: null,
  gated: false,
  parallel: false,
  norm: null,
  positions: 'none',
  causal: null,
  windows: [],
  tiedLayers: false,
  tiedEmbeddings: null,
  hooks: [],
  missing: [],
  problems: [],
};

export class FakeModel implements LanguageModel {
  readonly info: ModelInfo;
  /** Every row that was run. */
  readonly rows: number[][] = [];
  runs = 0;

  constructor(
    readonly tokenizer: LensTokenizer,
    private readonly rule: LogitRule,
    info: Partial<ModelInfo> = {},
  ) {
    this.info = {
      id: 'fake',
      folder: '/fake',
      file: 'model.onnx',
      kind: 'masked',
      architecture: null,
      inputs: [],
      outputs: [],
      bytes: 0,
      parameters: 0,
      opset: {},
      irVersion: 8,
      producer: '',
      layers: null,
      heads: null,
      hiddenSize: null,
      anatomy: NO_ANATOMY,
      tokenizer: null,
      vocabSize: null,
      maxTokens: 64,
      hasNextSentenceHead: true,
      notes: [],
      ...info,
    };
  }

  async logitsAt(batch: readonly InputRow[], places: readonly LogitPlace[]): Promise<LogitRows> {
    this.runs++;
    const rows = batch.map(({ ids }) => [...ids]);
    this.rows.push(...rows);
    const logits = places.map(({ row, position }) => this.rule(rows[row] ?? [], position));
    return { data: Float32Array.from(logits.flat()), vocabSize: logits[0]?.length ?? 0 };
  }

  async nextSentenceLogits(batch: readonly InputRow[]): Promise<Float32Array> {
    this.rows.push(...batch.map(({ ids }) => [...ids]));
    return Float32Array.from([Math.log(3), 0]);
  }
}

export const quiet = (): { signal: AbortSignal; progress: () => void } => ({
  signal: new AbortController().signal,
  progress: () => undefined,
});

/** Natural-log softmax of a few numbers, written out plainly as the reference. */
export function logSoftmax(logits: readonly number[]): number[] {
  const normaliser = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
  return logits.map((logit) => logit - normaliser);
}
