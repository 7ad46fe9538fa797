// Tokenizers of the kinds that models in the wild have (small ones, built here), broken files, hostile patterns, speed.
import assert from 'node:assert/strict';
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadTokenizer } from '../../extension/engine/text/huggingFaceTokenizer';
import type { Encoding } from '../../extension/engine/text/encoding';
import type { LensTokenizer } from '../../extension/engine/text/tokenizer';
import { LensError } from '../../extension/protocol/errors';

const FIXTURES = join(process.cwd(), 'test', 'fixtures', 'tokenizers');
/** The words of Llama 3. */
const LLAMA3 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

function vocabulary(tokens: string[]): Record<string, number> {
  return Object.fromEntries(tokens.map((token, id) => [token, id]));
}

function special(id: number, content: string, options: object = {}): object {
  return {
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
    ...options,
  };
}

function covered(text: string, { ranges }: Encoding): (string | null)[] {
  return ranges.map((range) => (range === null ? null : text.slice(range.start, range.end)));
}

describe('tokenizer: kinds in the wild', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lens-tokenizer-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  async function build(definition: object, config: object = {}, timeLimit = 10_000): Promise<LensTokenizer> {
    await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(definition));
    await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify(config));
    return loadTokenizer(folder, { timeLimit });
  }

  it('RoBERTa: a mask swallows the space before it, its range does not', async () => {
    const tokenizer = await build(
      {
        added_tokens: [
          special(0, '<s>'),
          special(1, '<pad>'),
          special(2, '</s>'),
          special(3, '<mask>', { lstrip: true }),
        ],
        normalizer: null,
        pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true },
        post_processor: { type: 'RobertaProcessing', sep: ['</s>', 2], cls: ['<s>', 0], trim_offsets: true },
        decoder: null,
        model: {
          type: 'BPE',
          vocab: vocabulary(['<s>', '<pad>', '</s>', '<mask>', 'a', 'b', 'Ġ', 'Ġb', '.', 'Ã', '©']),
          merges: ['Ġ b'],
        },
      },
      { mask_token: { content: '<mask>', lstrip: true } },
    );
    const text = 'a  <mask> b.é';
    const encoding = tokenizer.encode(text);
    assert.deepEqual([...encoding.ids], [0, 4, 3, 7, 8, 9, 10, 2]);
    assert.deepEqual([...encoding.special], [1, 0, 0, 0, 0, 0, 0, 1]);
    assert.deepEqual(covered(text, encoding), [null, 'a', '<mask>', 'b', '.', 'é', 'é', null]);
    assert.deepEqual([tokenizer.maskToken, tokenizer.maskId, tokenizer.padId], ['<mask>', 3, 1]);
    const pair = tokenizer.encodePair('a', 'b');
    assert.deepEqual([...pair.ids], [0, 4, 2, 2, 5, 2]);
    assert.deepEqual([...pair.segments], [0, 0, 0, 0, 0, 0]);
    assert.deepEqual(pair.ranges[4], { start: 0, end: 1 });
    assert.deepEqual([tokenizer.text(7), tokenizer.continuesWord(7), tokenizer.continuesWord(4)], [' b', false, true]);
    assert.equal(tokenizer.join([6, 4, 9, 10, 7]), 'aé b');
  });

  it('Llama 3: words by a pattern, whole words before merges, template after bytes', async () => {
    const tokenizer = await build({
      added_tokens: [special(0, '<|begin_of_text|>')],
      normalizer: null,
      pre_tokenizer: {
        type: 'Sequence',
        pretokenizers: [
          { type: 'Split', pattern: { Regex: LLAMA3 }, behavior: 'Isolated', invert: false },
          { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
        ],
      },
      post_processor: {
        type: 'Sequence',
        processors: [
          { type: 'ByteLevel', add_prefix_space: true, trim_offsets: false, use_regex: true },
          {
            type: 'TemplateProcessing',
            single: [{ SpecialToken: { id: '<|begin_of_text|>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
            pair: [
              { SpecialToken: { id: '<|begin_of_text|>', type_id: 0 } },
              { Sequence: { id: 'A', type_id: 0 } },
              { SpecialToken: { id: '<|begin_of_text|>', type_id: 1 } },
              { Sequence: { id: 'B', type_id: 1 } },
            ],
            special_tokens: {
              '<|begin_of_text|>': { id: '<|begin_of_text|>', ids: [0], tokens: ['<|begin_of_text|>'] },
            },
          },
        ],
      },
      decoder: null,
      model: {
        type: 'BPE',
        ignore_merges: true,
        vocab: vocabulary(['<|begin_of_text|>', 'I', "'", 'L', "'LL", 'Ġgo', '1', '2', '3', '4', '123', 'Ċ', 'Ġ']),
        merges: [],
      },
    });
    const text = "I'LL go1234\n\n";
    const encoding = tokenizer.encode(text);
    assert.deepEqual(encoding.tokens, ['<|begin_of_text|>', 'I', "'LL", 'Ġgo', '123', '4', 'Ċ', 'Ċ']);
    assert.deepEqual(covered(text, encoding), [null, 'I', "'LL", 'go', '123', '4', '\n', '\n']);
    assert.deepEqual([...tokenizer.encodePair('I', 'I').segments], [0, 0, 1, 1]);
    assert.equal(tokenizer.maskId, null);
  });

  it('GPT-1: lower case, word ends are marked', async () => {
    const tokenizer = await build({
      added_tokens: [special(0, '<unk>')],
      normalizer: {
        type: 'BertNormalizer',
        clean_text: true,
        handle_chinese_chars: true,
        strip_accents: true,
        lowercase: true,
      },
      pre_tokenizer: { type: 'BertPreTokenizer' },
      post_processor: null,
      decoder: { type: 'BPEDecoder', suffix: '</w>' },
      model: {
        type: 'BPE',
        unk_token: '<unk>',
        end_of_word_suffix: '</w>',
        vocab: vocabulary(['<unk>', 'c', 'a', 'f', 'e</w>', 's</w>', 'ca', 'caf', '.</w>', 'e']),
        merges: ['c a', 'ca f'],
      },
    });
    const text = 'Café CAFES. 😀';
    const encoding = tokenizer.encode(text);
    assert.deepEqual(encoding.tokens, ['caf', 'e</w>', 'caf', 'e', 's</w>', '.</w>', '<unk>']);
    assert.deepEqual(covered(text, encoding), ['Caf', 'é', 'CAF', 'E', 'S', '.', '😀']);
    assert.equal(tokenizer.lowercase, true);
    assert.equal(tokenizer.text(4), 'e');
    assert.equal(tokenizer.join([7, 4, 7, 9, 5]), 'cafe cafes');
  });

  it('DeBERTa-v3: unigram with ▁, unknown characters put together', async () => {
    const tokenizer = await build({
      added_tokens: [special(0, '[PAD]'), special(1, '[CLS]'), special(2, '[SEP]'), special(8, '[MASK]')],
      normalizer: {
        type: 'Sequence',
        normalizers: [{ type: 'Strip', strip_left: true, strip_right: true }, { type: 'NFKC' }],
      },
      pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always' },
      post_processor: { type: 'BertProcessing', sep: ['[SEP]', 2], cls: ['[CLS]', 1] },
      decoder: null,
      model: {
        type: 'Unigram',
        unk_id: 3,
        vocab: [
          ['[PAD]', 0],
          ['[CLS]', 0],
          ['[SEP]', 0],
          ['[UNK]', 0],
          ['▁', -2],
          ['▁fi', -3],
          ['sh', -3],
          ['▁fish', -9],
        ],
      },
    });
    const text = '  ﬁsh [MASK] 日本 \ud800';
    const encoding = tokenizer.encode(text);
    assert.deepEqual(encoding.tokens, ['[CLS]', '▁fi', 'sh', '[MASK]', '▁', '[UNK]', '▁', '[UNK]', '[SEP]']);
    assert.deepEqual(covered(text, encoding), [null, 'ﬁ', 'sh', '[MASK]', '', '日本', ' ', '\ud800', null]);
    assert.deepEqual([...tokenizer.encodePair('fish', 'fish').segments], [0, 0, 0, 0, 1, 1, 1]);
    assert.equal(tokenizer.join([5, 6, 8, 5]), 'fish[MASK] fi');
  });

  it('BERT uncased: accents, ideographs and long words', async () => {
    const tokenizer = await build({
      added_tokens: [special(0, '[UNK]'), special(1, '[MASK]')],
      normalizer: {
        type: 'BertNormalizer',
        clean_text: true,
        handle_chinese_chars: true,
        strip_accents: null,
        lowercase: true,
      },
      pre_tokenizer: { type: 'BertPreTokenizer' },
      post_processor: null,
      decoder: null,
      model: {
        type: 'WordPiece',
        unk_token: '[UNK]',
        continuing_subword_prefix: '##',
        max_input_chars_per_word: 100,
        vocab: vocabulary(['[UNK]', '[MASK]', 'na', '##ive', '漢', '字', 'οδοσ', '𠀀', '+', 'i']),
      },
    });
    const text = `NAÏVE 漢字 ΟΔΟΣ 𠀀+İ ${'x'.repeat(101)} [mask][MASK]`;
    const encoding = tokenizer.encode(text);
    const long = 'x'.repeat(101);
    assert.deepEqual(encoding.tokens, [
      ...['na', '##ive', '漢', '字', 'οδοσ', '𠀀', '+', 'i', '[UNK]', '[UNK]', '[UNK]', '[UNK]', '[MASK]'],
    ]);
    assert.deepEqual(covered(text, encoding), [
      ...['NA', 'ÏVE', '漢', '字', 'ΟΔΟΣ', '𠀀', '+', 'İ', long, '[', 'mask', ']', '[MASK]'],
    ]);
    assert.equal(tokenizer.join([2, 3, 4, 1]), 'naive 漢 [MASK]');
    assert.deepEqual([tokenizer.continuesWord(3), tokenizer.continuesWord(2)], [true, false]);
  });

  it('finds mask and padding in special_tokens_map.json when the configuration has none', async () => {
    await writeFile(
      join(folder, 'special_tokens_map.json'),
      JSON.stringify({ mask_token: '<hole>', pad_token: { content: '<fill>' } }),
    );
    const tokenizer = await build({
      model: { type: 'WordLevel', unk_token: 'u', vocab: vocabulary(['u', '<fill>', '<hole>']) },
    });
    assert.deepEqual([tokenizer.maskId, tokenizer.padId], [2, 1]);
  });

  it('stops a pattern that backtracks without end', async () => {
    const tokenizer = await build(
      {
        pre_tokenizer: { type: 'Split', pattern: { Regex: '(a+)+$' }, behavior: 'Isolated', invert: false },
        model: { type: 'WordLevel', unk_token: 'u', vocab: { u: 0 } },
      },
      {},
      200,
    );
    const started = Date.now();
    assert.throws(
      () => tokenizer.encode('a'.repeat(40) + 'b'),
      (error) => error instanceof LensError && error.code === 'time-limit' && error.hint !== undefined,
    );
    assert.ok(Date.now() - started < 5_000);
    assert.throws(
      () => tokenizer.together(() => ['aab', 'a'.repeat(40) + 'b'].map((text) => tokenizer.encode(text))),
      (error) => error instanceof LensError && error.code === 'time-limit',
    );
    assert.deepEqual([...tokenizer.encode('aab').ids], [0], 'it still works afterwards');
  });

  const broken: [name: string, content: string, message: RegExp][] = [
    ['no JSON', '{"model":', /damaged/],
    ['no object', '[]', /no JSON object/],
    ['no model', '{}', /“model”/],
    ['an unknown model', '{"model":{"type":"Magic"}}', /“model.type”/],
    ['ids that are no numbers', '{"model":{"type":"WordPiece","vocab":{"a":"b"}}}', /model\.vocab\.a/],
    ['a merge outside the vocabulary', '{"model":{"type":"BPE","vocab":{"a":0},"merges":["a b"]}}', /model\.vocab\.b/],
    ['an unknown normaliser', '{"model":{"vocab":{"a":0}},"normalizer":{"type":"X"}}', /normaliser “X”/],
    [
      'a pattern that is none',
      '{"model":{"vocab":{"a":0}},"pre_tokenizer":{"type":"Split","pattern":{"Regex":"("},"behavior":"Isolated"}}',
      /expression/,
    ],
    [
      'a damaged character map',
      '{"model":{"vocab":{"a":0}},"normalizer":{"type":"Precompiled","precompiled_charsmap":"AAAA"}}',
      /character map/,
    ],
  ];
  for (const [name, content, message] of broken) {
    it(`says what is wrong: ${name}`, async () => {
      await writeFile(join(folder, 'tokenizer.json'), content);
      await assert.rejects(loadTokenizer(folder), (error) => {
        assert.ok(error instanceof LensError);
        assert.equal(error.code, 'tokenizer');
        assert.match(error.message, message);
        assert.ok(error.hint !== undefined && error.hint !== '');
        return true;
      });
    });
  }

  it('refuses a missing file and one of more than 64 MB', async () => {
    const isTokenizerError = (error: unknown): boolean => error instanceof LensError && error.code === 'tokenizer';
    await assert.rejects(loadTokenizer(folder), isTokenizerError);
    await writeFile(join(folder, 'tokenizer.json'), '{}');
    await truncate(join(folder, 'tokenizer.json'), 64 * 2 ** 20 + 1);
    await assert.rejects(loadTokenizer(folder), /64 MB/);
  });

  it('knows no id outside its vocabulary', async () => {
    const tokenizer = await build({ model: { type: 'WordLevel', unk_token: 'u', vocab: { u: 0 } } });
    assert.throws(() => tokenizer.token(1), LensError);
    assert.throws(() => tokenizer.token(-1), LensError);
  });
});

describe('tokenizer: speed', () => {
  const prose = 'It was the best of times, it was the worst of times; it was the age of wisdom — and of foolishness. ';
  for (const name of ['wp_cased', 'bpe_gpt2', 'bpe_llama2', 'uni_xlmr', 'uni_albert']) {
    it(`${name}: 100 kB of English in a second, lines of 1 MB in linear time`, async function () {
      this.timeout(180_000);
      const tokenizer = await loadTokenizer(join(FIXTURES, name), { timeLimit: 60_000 });
      // The processor's time and the best of three: other processes may be at work.
      const times = [0, 1, 2].map((run) => {
        const started = process.cpuUsage();
        tokenizer.encode(`${run} ${prose.repeat(1_000)}`);
        const { user, system } = process.cpuUsage(started);
        return (user + system) / 1_000;
      });
      assert.ok(Math.min(...times) < 1_000, `${times.join(', ')} ms`);
      // Work that grew with the square of the length would take minutes.
      for (const unit of ['xyz', '漢字', ' ']) {
        const text = unit.repeat(Math.ceil(2 ** 20 / unit.length));
        const last = tokenizer.encode(text).ranges.findLast((range) => range !== null);
        assert.ok(last === undefined || last?.end === text.length);
      }
    });
  }
});
