// A tokenizer.json of the Hugging Face tokenizers library, as a `LensTokenizer`.
// Its pipeline: added tokens → normaliser → pre-tokenizer → model → template. Text stays `SourceText` all the way.
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { TextRange } from '../../protocol/engine';
import { LensError } from '../../protocol/errors';
import { AddedTokenFinder, type AddedToken } from './addedTokens';
import type { Encoding } from './encoding';
import { asArray, asId, asRecord, asString, type Json, type JsonRecord } from './json';
import { createModel } from './createModel';
import { createNormalizer, type Normalizer } from './normalize';
import { createPreTokenizer, findAlphabet, type PreTokenizer } from './preTokenize';
import { isContinuation, readToken, readTokens, type Spelling } from './readable';
import { SourceText } from './sourceText';
import type { Piece, SubwordModel } from './subwordModel';
import { createTemplate, type Template, type TemplateItem } from './template';
import { withTimeLimit } from './timeLimit';
import type { LensTokenizer } from './tokenizer';

export interface TokenizerOptions {
  /** Milliseconds that one encoding may take. */
  timeLimit?: number;
}

const DEFAULT_TIME_LIMIT = 10_000;
const MAX_FILE_BYTES = 64 * 2 ** 20;
/** Words whose pieces are remembered: enough for the vocabulary of a long text. */
const MEMO_WORDS = 20_000;
const MEMO_WORD_LENGTH = 64;

/** Reads the tokenizer of a model's folder; only tokenizer.json must be there. Throws `LensError` (`tokenizer`). */
export async function loadTokenizer(folder: string, options: TokenizerOptions = {}): Promise<LensTokenizer> {
  const [definition, config, specials] = await Promise.all([
    readJson(folder, 'tokenizer.json'),
    readJson(folder, 'tokenizer_config.json'),
    readJson(folder, 'special_tokens_map.json'),
  ]);
  if (definition === null) {
    throw new LensError(
      'tokenizer',
      `There is no tokenizer.json in ${folder}.`,
      'Put the tokenizer.json of the model beside its .onnx file.',
    );
  }
  const timeLimit = options.timeLimit ?? DEFAULT_TIME_LIMIT;
  try {
    return new HuggingFaceTokenizer(definition, { ...specials, ...config }, timeLimit);
  } catch (error) {
    if (error instanceof LensError) throw error;
    throw new LensError(
      'tokenizer',
      `The tokenizer.json in ${folder} cannot be used: ${error instanceof Error ? error.message : String(error)}`,
      'Download or export the tokenizer again.',
      { cause: error },
    );
  }
}

/** The file's object; null when there is no such file. */
async function readJson(folder: string, name: string): Promise<JsonRecord | null> {
  const path = join(folder, name);
  const again = 'Download or export the tokenizer again.';
  let content: string;
  try {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      if (size > MAX_FILE_BYTES) {
        throw new LensError('tokenizer', `${path} is larger than 64 MB, so it is no usable tokenizer file.`, again);
      }
      content = await file.readFile('utf8');
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof LensError) throw error;
    const code = error instanceof Error && 'code' in error ? error.code : null;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw new LensError('tokenizer', `${path} cannot be read.`, 'Check that the file may be read.', { cause: error });
  }
  let json: Json;
  try {
    json = JSON.parse(content) as Json;
  } catch (error) {
    throw new LensError('tokenizer', `${path} is damaged: it is no complete JSON.`, again, { cause: error });
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new LensError('tokenizer', `${path} is no JSON object.`, again);
  }
  return json;
}

/** Tokens of one text, before the template: columns of equal length. */
interface Content {
  ids: number[];
  ranges: TextRange[];
}

class HuggingFaceTokenizer implements LensTokenizer {
  readonly type: string;
  readonly vocabSize: number;
  readonly lowercase: boolean;
  readonly maskToken: string | null;
  readonly maskId: number | null;
  readonly padId: number;

  private readonly tokens: string[] = [];
  private readonly added = new Map<number, AddedToken>();
  private readonly plainFinder: AddedTokenFinder;
  private readonly normalizedFinder: AddedTokenFinder;
  private readonly normalize: Normalizer;
  private readonly preTokenize: PreTokenizer;
  private readonly model: SubwordModel;
  private readonly template: Template;
  private readonly spelling: Spelling;
  private readonly memo = new Map<string, Piece[]>();

  constructor(
    definition: JsonRecord,
    config: JsonRecord,
    private readonly timeLimit: number,
  ) {
    this.model = createModel(definition['model']);
    this.type = this.model.type;
    this.normalize = createNormalizer(definition['normalizer']);
    this.preTokenize = createPreTokenizer(definition['pre_tokenizer']);
    this.template = createTemplate(definition['post_processor']);
    this.spelling = {
      ...findAlphabet(definition['pre_tokenizer'], definition['normalizer']),
      continuingPrefix: this.model.continuingPrefix,
      endOfWord: this.model.endOfWord,
    };
    const added = asArray(definition['added_tokens'] ?? [], 'added_tokens').map(readAddedToken);
    for (const [token, id] of this.model.vocabulary) this.tokens[id] = token;
    for (const token of added) {
      this.tokens[token.id] = token.content;
      this.added.set(token.id, token);
    }
    this.vocabSize = this.tokens.length;
    this.plainFinder = new AddedTokenFinder(
      added.filter((token) => !token.normalized).map((token) => [token.content, token]),
    );
    this.normalizedFinder = new AddedTokenFinder(
      added.filter((token) => token.normalized).map((token) => [this.normalized(token.content), token]),
    );
    this.lowercase = this.normalized('A').includes('a');
    const idOf = (content: string): number | undefined =>
      added.find((token) => token.content === content)?.id ?? this.model.vocabulary.get(content);
    this.maskToken =
      firstKnown([contentOf(config['mask_token']), ...addedNames(added, ['[MASK]', '<mask>'])], idOf) ?? null;
    this.maskId = this.maskToken === null ? null : (idOf(this.maskToken) ?? null);
    const padding = definition['padding'];
    const padToken = firstKnown(
      [
        contentOf(config['pad_token']),
        contentOf(
          typeof padding === 'object' && padding !== null && !Array.isArray(padding) ? padding['pad_token'] : null,
        ),
        ...addedNames(added, ['[PAD]', '<pad>']),
        contentOf(config['eos_token']),
      ],
      idOf,
    );
    // Padded places are masked, so that any id will do where a vocabulary has none for it.
    this.padId = (padToken === undefined ? undefined : idOf(padToken)) ?? 0;
  }

  isSpecial(id: number): boolean {
    return this.added.get(id)?.special === true;
  }

  encode(text: string): Encoding {
    const content = this.together(() => this.encodeText(text));
    return this.assemble(this.template.single, content, content);
  }

  encodePair(first: string, second: string): Encoding {
    const [a, b] = this.together((): [Content, Content] => [this.encodeText(first), this.encodeText(second)]);
    return this.assemble(this.template.pair, a, b);
  }

  encodeContent(text: string): Encoding {
    const content = this.together(() => this.encodeText(text));
    return this.assemble([{ kind: 'text', part: 'A', segment: 0 }], content, content);
  }

  wrap(contentIds: Int32Array): { ids: Int32Array; offset: number } {
    const items = this.template.single;
    const place = items.findIndex((item) => item.kind === 'text');
    const special = (item: TemplateItem): number[] => (item.kind === 'special' ? [item.id] : []);
    const before = items.slice(0, place).flatMap(special);
    const after = items.slice(place + 1).flatMap(special);
    const ids = new Int32Array(before.length + contentIds.length + after.length);
    ids.set(before);
    ids.set(contentIds, before.length);
    ids.set(after, before.length + contentIds.length);
    return { ids, offset: before.length };
  }

  token(id: number): string {
    const token = this.tokens[id];
    if (token !== undefined) return token;
    throw new LensError(
      'tokenizer',
      `The tokenizer has no token with the id ${id}; its ids go from 0 to ${this.vocabSize - 1}.`,
      'Check that tokenizer.json belongs to this model.',
    );
  }

  text(id: number): string {
    const token = this.token(id);
    return this.added.has(id) ? token : readToken(token, this.spelling);
  }

  join(ids: Iterable<number>): string {
    // Added tokens stand for themselves, so ordinary tokens are read in the runs between them.
    const parts: string[] = [];
    let run: string[] = [];
    const spaced = !this.spelling.bytes && this.spelling.metaspace === null;
    const close = (): void => {
      if (run.length > 0) parts.push(readTokens(run, this.spelling));
      run = [];
    };
    for (const id of ids) {
      const token = this.token(id);
      if (this.added.has(id)) {
        close();
        parts.push(token);
      } else {
        run.push(token);
      }
    }
    close();
    return parts.join(spaced ? ' ' : '').trim();
  }

  continuesWord(id: number): boolean {
    return !this.added.has(id) && isContinuation(this.token(id), this.spelling);
  }

  together<T>(work: () => T): T {
    return withTimeLimit(this.timeLimit, 'Cutting the text into tokens', work);
  }

  private normalized(text: string): string {
    return this.together(() => this.normalize(SourceText.of(text)).text);
  }

  private encodeText(original: string): Content {
    const content: Content = { ids: [], ranges: [] };
    // Lone surrogates have no UTF-8; the replacement character is as long.
    const text = original.replace(/\p{Cs}/gu, '\ufffd');
    const add = (id: number, source: SourceText, from: number, to: number): void => {
      const range = trim(text, source.range(from, to));
      const before = content.ranges.at(-1)?.end ?? 0;
      content.ids.push(id);
      // A mark that was put into the expansion of one character (ﷺ is four words) shares that character.
      content.ranges.push(
        range.start < before && range.start === range.end ? { start: range.start, end: before } : range,
      );
    };
    for (const outer of this.plainFinder.split(SourceText.of(text))) {
      if (outer.added !== null) {
        add(outer.added.id, outer.text, 0, outer.text.text.length);
        continue;
      }
      for (const inner of this.normalizedFinder.split(this.normalize(outer.text))) {
        if (inner.added !== null) {
          add(inner.added.id, inner.text, 0, inner.text.text.length);
          continue;
        }
        for (const word of this.preTokenize([inner.text])) {
          for (const piece of this.piecesOf(word.text)) add(piece.id, word, piece.from, piece.to);
        }
      }
    }
    return content;
  }

  private piecesOf(word: string): Piece[] {
    if (word === '') return [];
    const known = this.memo.get(word);
    if (known !== undefined) return known;
    const pieces = this.model.split(word);
    if (word.length <= MEMO_WORD_LENGTH) {
      if (this.memo.size >= MEMO_WORDS) this.memo.clear();
      this.memo.set(word, pieces);
    }
    return pieces;
  }

  private assemble(items: readonly TemplateItem[], a: Content, b: Content): Encoding {
    const size = (item: TemplateItem): number => (item.kind === 'special' ? 1 : (item.part === 'A' ? a : b).ids.length);
    const length = items.reduce((sum, item) => sum + size(item), 0);
    const encoding: Encoding = {
      ids: new Int32Array(length),
      tokens: [],
      ranges: [],
      special: new Uint8Array(length),
      segments: new Int32Array(length),
    };
    let place = 0;
    const put = (id: number, range: TextRange | null, segment: number): void => {
      encoding.ids[place] = id;
      encoding.special[place] = range === null ? 1 : 0;
      encoding.segments[place] = segment;
      encoding.tokens.push(this.token(id));
      encoding.ranges.push(range);
      place++;
    };
    for (const item of items) {
      if (item.kind === 'special') {
        put(item.id, null, item.segment);
        continue;
      }
      const part = item.part === 'A' ? a : b;
      part.ids.forEach((id, index) => put(id, part.ranges[index] ?? null, item.segment));
    }
    return encoding;
  }
}

const SPACE = /\p{White_Space}/u;

/** The range without white space at its ends, unless it is white space throughout. */
function trim(text: string, range: TextRange): TextRange {
  let { start, end } = range;
  while (start < end && SPACE.test(text.charAt(start))) start++;
  if (start === end) return range;
  while (SPACE.test(text.charAt(end - 1))) end--;
  return { start, end };
}

function readAddedToken(json: Json, index: number): AddedToken {
  const place = `added_tokens.${index}`;
  const record = asRecord(json, place);
  const special = record['special'] === true;
  return {
    id: asId(record['id'], `${place}.id`),
    content: asString(record['content'], `${place}.content`),
    singleWord: record['single_word'] === true,
    stripLeft: record['lstrip'] === true,
    stripRight: record['rstrip'] === true,
    normalized: record['normalized'] === undefined ? !special : record['normalized'] === true,
    special,
  };
}

/** A token in a configuration: its string, or an object that holds it. */
function contentOf(value: Json | undefined): string | null {
  const content = typeof value === 'object' && value !== null && !Array.isArray(value) ? value['content'] : value;
  return typeof content === 'string' ? content : null;
}

function addedNames(added: readonly AddedToken[], names: readonly string[]): string[] {
  return names.filter((name) => added.some((token) => token.content === name));
}

function firstKnown(names: readonly (string | null)[], idOf: (name: string) => number | undefined): string | undefined {
  for (const name of names) if (name !== null && idOf(name) !== undefined) return name;
  return undefined;
}
