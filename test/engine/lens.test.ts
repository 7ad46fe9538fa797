/** The command line as a program: what it prints, where, and its exit codes. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { readSafetensors } from '../../scripts/lens/safetensors';
import type { Reference } from '../../scripts/lens/verify';

const LENS = resolve('dist/lens.js');
const FIXTURES = resolve('test/fixtures');

interface Expected {
  fill_mask: {
    text: string;
    masks: { position: number; predictions: { id: number; token: string; logprob: number }[] }[];
  }[];
  pseudo_log_likelihood: { text: string; tokens: string[]; logprobs: number[]; pll: number }[];
  next_sentence: { first: string; second: string; p_is_next: number }[];
}
const expected = JSON.parse(readFileSync(join(FIXTURES, 'bert-base-cased', 'expected.json'), 'utf8')) as Expected;

interface Outcome {
  code: number | null;
  out: string;
  err: string;
}

function lens(args: string[], input = ''): Promise<Outcome> {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, [LENS, ...args]);
    const outcome: Outcome = { code: null, out: '', err: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => (outcome.out += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (outcome.err += text));
    child.on('error', fail);
    child.on('close', (code) => done({ ...outcome, code }));
    child.stdin.on('error', () => undefined); // it may end without reading
    child.stdin.end(input);
  });
}

async function json(args: string[], input = ''): Promise<unknown> {
  const { code, out, err } = await lens([...args, '--json'], input);
  assert.equal(code, 0, err);
  assert.equal(out.trimEnd().includes('\n'), false, 'one line');
  return JSON.parse(out);
}

const close = (actual: unknown, wanted: number, tolerance = 1e-3): void => {
  assert.ok(
    typeof actual === 'number' && Math.abs(actual - wanted) <= tolerance,
    `${String(actual)}, expected ${wanted}`,
  );
};

/** What a shell makes of a line in which `lens` is the program; `$?` and `PIPESTATUS` are bash's. */
const shell = (line: string): { status: string; err: string } => {
  const { stdout, stderr } = spawnSync('bash', ['-c', `lens() { "$NODE" "$LENS" "$@"; }; ${line}`], {
    encoding: 'utf8',
    env: { ...process.env, NODE: process.execPath, LENS },
  });
  return { status: stdout.trim(), err: stderr };
};

describe('lens', function () {
  this.timeout(180_000);

  describe('the inside of a model', () => {
    const folder = mkdtempSync(join(tmpdir(), 'onnx-lens-trace-'));
    after(() => rmSync(folder, { recursive: true }));
    const meta = JSON.parse(readFileSync(join(FIXTURES, 'llama', 'reference.json'), 'utf8')) as Reference;
    const text = meta.cases[0]?.text[0] as string;

    it('inspect --parts: the same numbers as JSON and as a table', async () => {
      const found = (await json(['inspect', join(FIXTURES, 'llama'), '--parts'])) as {
        parameters: number;
        parts: { id: string; parameters: number }[];
      };
      assert.equal(
        found.parts.reduce((sum, { parameters }) => sum + parameters, 0),
        found.parameters,
      );
      assert.ok(!('parts' in ((await json(['inspect', join(FIXTURES, 'llama')])) as object)));
      const { out } = await lens(['inspect', join(FIXTURES, 'llama'), '--parts']);
      assert.match(out, /^ {4}Key +blocks\.2\.attn\.k +1,152 +4\.61 kB +float32$/m);
    });

    it('inspect: what the graph is, under the names of Hugging Face configs', async () => {
      const found = (await json(['inspect', join(FIXTURES, 'llama')])) as Record<string, unknown>;
      for (const name of [
        'architecture',
        'layers',
        'heads',
        'kv_heads',
        'd_head',
        'd_model',
        'd_ffn',
        'vocab',
        'causal',
        'norm',
      ] as const)
        assert.equal(found[name], meta[name], name);
      assert.equal(found['positions'], 'rotary');
      assert.ok((found['hooks'] as string[]).includes('blocks.2.attn.hook_pattern'));
      assert.deepEqual(found['missing'], []);
    });

    it('trace: the hooks asked for, in a file that equals the reference, with the tokens in its metadata', async () => {
      const file = join(folder, 'trace.safetensors');
      const hooks = 'blocks.*.attn.hook_pattern, unembed.logits';
      await json(['trace', join(FIXTURES, 'llama'), '--text', text, '--hooks', hooks, '--out', file]);
      const tensors = readSafetensors(file);
      const wanted = readSafetensors(join(FIXTURES, 'llama', 'reference.safetensors'));
      assert.deepEqual(
        [...tensors.keys()],
        [0, 1, 2].map((layer) => `blocks.${layer}.attn.hook_pattern`).concat('unembed.logits'),
      );
      for (const [name, { shape, data }] of tensors) {
        const reference = wanted.get(`a/${name}`);
        assert.deepEqual(shape, reference?.shape);
        data.forEach((value, index) => close(value, reference?.data[index] as number, meta.tolerance.default));
      }
      const bytes = readFileSync(file);
      const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE(0))).toString()) as {
        __metadata__: { tokens: string };
      };
      const tokens = JSON.parse(header.__metadata__.tokens) as { token: string; text: number }[];
      assert.deepEqual(
        tokens.map(({ token }) => token),
        meta.cases[0]?.tokens[0],
      );
    });

    it('trace: the largest numbers of each hook with their places, equal to those of the reference', async () => {
      const file = join(folder, 'top.safetensors');
      const name = 'unembed.logits';
      await json(['trace', join(FIXTURES, 'llama'), '--text', text, '--hooks', name, '--top', '5', '--out', file]);
      const bytes = readFileSync(file);
      const start = 8 + Number(bytes.readBigUInt64LE(0));
      const header = JSON.parse(bytes.subarray(8, start).toString()) as Record<
        string,
        { dtype: string; shape: number[]; data_offsets: [number, number] }
      >;
      const { dtype, shape, data_offsets: at } = header[`${name}.indices`]!;
      const wanted = readSafetensors(join(FIXTURES, 'llama', 'reference.safetensors')).get(`a/${name}`)!;
      const [, tokens, vocab] = wanted.shape as [number, number, number];
      assert.deepEqual({ dtype, shape }, { dtype: 'I32', shape: [1, tokens, 5] });
      const indices = new Int32Array(new Uint8Array(bytes.subarray(start + at[0], start + at[1])).buffer);
      const values = readSafetensors(file).get(name)?.data as Float32Array;
      for (let token = 0; token < tokens; token++) {
        const row = wanted.data.subarray(token * vocab, (token + 1) * vocab);
        const order = [...row.keys()].sort((one, other) => row[other]! - row[one]!).slice(0, 5);
        assert.deepEqual([...indices.subarray(token * 5, token * 5 + 5)], order);
        order.forEach((id, place) => close(values[token * 5 + place]!, row[id]!, meta.tolerance.default));
      }
    });

    it('trace: says which hooks there are not, and what cannot be written', async () => {
      const unknown = await lens([
        'trace',
        join(FIXTURES, 'llama'),
        '--text',
        text,
        '--hooks',
        'blocks.7.hook_resid_pre',
        '--out',
        'x',
      ]);
      assert.equal(unknown.code, 2);
      assert.match(unknown.err, /no hook “blocks\.7\.hook_resid_pre”/u);
      const unwritable = await lens([
        'trace',
        join(FIXTURES, 'llama'),
        '--text',
        text,
        '--out',
        join(folder, 'no', 'such', 'place'),
      ]);
      assert.equal(unwritable.code, 1);
      assert.match(unwritable.err, /could not be written/u);
    });

    it('verify: 0 when all is right, 1 when a tensor is off, 2 when there is no fixture', async () => {
      const right = await lens(['verify', join(FIXTURES, 'llama'), join(FIXTURES, 'gpt2')]);
      assert.equal(right.code, 0, right.out);
      const copy = join(folder, 'wrong');
      cpSync(join(FIXTURES, 'llama'), copy, { recursive: true });
      const file = join(copy, 'reference.safetensors');
      const bytes = readFileSync(file);
      // One number of the last tensor.
      bytes.writeFloatLE(1e3, bytes.length - 4);
      writeFileSync(file, bytes);
      const wrong = await lens(['verify', copy]);
      assert.equal(wrong.code, 1);
      assert.match(wrong.out, / off$/mu);
      assert.equal((await lens(['verify', folder + '-none'])).code, 2);
    });
  });

  it('fill-mask: the bundled model when none is named, exactly these fields', async () => {
    const [entry] = expected.fill_mask;
    assert.ok(entry !== undefined);
    const result = (await json(['fill-mask', '--text', entry.text, '--top', '10'])) as Record<string, unknown>[];
    const [mask] = result;
    const [wanted] = entry.masks;
    assert.equal(result.length, 1);
    assert.deepEqual(Object.keys(mask ?? {}), ['position', 'start', 'end', 'predictions']);
    const start = entry.text.indexOf('[MASK]');
    assert.deepEqual([mask?.['position'], mask?.['start'], mask?.['end']], [wanted?.position, start, start + 6]);
    const predictions = mask?.['predictions'] as { id: number; token: string; logprob: number; prob: number }[];
    assert.deepEqual(Object.keys(predictions[0] ?? {}), ['id', 'token', 'logprob', 'prob']);
    wanted?.predictions.forEach(({ id, token, logprob }, rank) => {
      assert.deepEqual([predictions[rank]?.id, predictions[rank]?.token], [id, token]);
      close(predictions[rank]?.logprob, logprob);
      close(predictions[rank]?.prob, Math.exp(logprob));
    });
  });

  it('fill-mask: ranges, numbers of masks, candidates and a joint fill', async () => {
    const text = 'The cat sat on the mat.';
    const brief = (await json(['fill-mask', '--text', text, '--targets', '4:7,19:22', '--top', '2'])) as unknown[];
    assert.equal(brief.length, 2);
    const args = [
      '--targets',
      '4:7',
      '--masks',
      '2',
      '--joint',
      '3',
      '--candidate',
      'dog',
      '--candidate',
      'old dog',
      '--full',
    ];
    const full = (await json(['fill-mask', 'bert-base-cased', '--text', text, ...args])) as Record<string, unknown[]>;
    assert.equal(full['masks']?.length, 2);
    assert.equal(full['candidates']?.length, 2);
    assert.ok((full['joint']?.length ?? 0) >= 3);
    const { out } = await lens(['fill-mask', '--text', text, ...args]);
    assert.match(out, /Filled together[^]*Candidates[^]*old dog/u);
  });

  it('score, from standard input too', async () => {
    const [entry] = expected.pseudo_log_likelihood;
    assert.ok(entry !== undefined);
    const result = (await json(['score', 'models/bert-base-cased', '--text', '-'], entry.text)) as {
      kind: string;
      tokens: Record<string, unknown>[];
      total: number;
    };
    assert.deepEqual(Object.keys(result), ['kind', 'tokens', 'total']);
    assert.equal(result.kind, 'pseudo-log-likelihood');
    close(result.total, entry.pll);
    assert.deepEqual(Object.keys(result.tokens[0] ?? {}), ['token', 'start', 'end', 'logprob', 'rank']);
    entry.logprobs.forEach((logprob, index) => close(result.tokens[index]?.['logprob'], logprob));
    const causal = (await json(['score', join(FIXTURES, 'gpt2', 'model.onnx'), '--text', 'the old house'])) as {
      kind: string;
    };
    assert.equal(causal.kind, 'log-likelihood');
  });

  it('nsp', async () => {
    const [entry] = expected.next_sentence;
    assert.ok(entry !== undefined);
    const result = (await json(['nsp', '--text', entry.first, '--pair', entry.second])) as Record<string, unknown>;
    assert.deepEqual(Object.keys(result), ['isNext', 'notNext']);
    close(result['isNext'], entry.p_is_next);
    close(result['notNext'], 1 - entry.p_is_next);
  });

  it('tokens: UTF-16 places, null for special tokens, with a tokenizer.json alone', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'lens-'));
    try {
      cpSync(join(FIXTURES, 'tokenizers', 'wp_cased', 'tokenizer.json'), join(folder, 'tokenizer.json'));
      const text = '😀 the old house';
      const tokens = (await json(['tokens', folder, '--text', text])) as {
        index: number;
        id: number;
        token: string;
        start: number | null;
        end: number | null;
      }[];
      assert.deepEqual(Object.keys(tokens[0] ?? {}), ['index', 'id', 'token', 'start', 'end']);
      assert.deepEqual([tokens[0]?.start, tokens[0]?.end, tokens.at(-1)?.end], [null, null, null]);
      assert.deepEqual(
        tokens.map(({ index }) => index),
        [...tokens.keys()],
      );
      const inside = tokens.filter(({ start }) => start !== null);
      assert.equal(inside[0]?.start, 0);
      assert.equal(inside.at(-1)?.end, text.length);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('inspect and corrupt', async () => {
    const info = (await json(['inspect', join(FIXTURES, 'roberta')])) as Record<string, unknown>;
    assert.deepEqual([info['id'], info['kind']], ['roberta', 'masked']);
    const text = 'The old man walked along the shore.';
    const a = (await json(['corrupt', '--text', text, '--seed', '3'])) as Record<string, unknown>;
    const b = (await json(['corrupt', '--text', text, '--seed', '3'])) as Record<string, unknown>;
    assert.deepEqual({ ...a, elapsed: 0 }, { ...b, elapsed: 0 });
  });

  it('prints tables for people, without control characters of the text', async () => {
    const { code, out } = await lens(['tokens', join(FIXTURES, 'gpt2'), '--text', 'a\u001b[31mb']);
    assert.equal(code, 0);
    assert.match(out, /index\s+id\s+token\s+start\s+end/u);
    assert.equal(out.includes('\u001b'), false);
    const score = await lens(['score', join(FIXTURES, 'bert'), '--text', 'the old house']);
    assert.match(score.out, /pseudo-log-likelihood −\d/u);
  });

  it('takes texts that begin with a dash', async () => {
    const tokens = (await json(['tokens', '--text', '--json'])) as { token: string }[];
    assert.deepEqual(
      tokens.map(({ token }) => token),
      ['[CLS]', '-', '-', 'j', '##son', '[SEP]'],
    );
  });

  it('helps', async () => {
    const { code, out } = await lens(['--help']);
    assert.equal(code, 0);
    for (const command of ['inspect', 'tokens', 'fill-mask', 'score', 'nsp', 'corrupt']) {
      assert.match(out, new RegExp(`^  ${command} `, 'mu'));
      const help = await lens([command, '--help']);
      assert.equal(help.code, 0);
      assert.match(help.out, new RegExp(`^Usage: lens ${command} \\[MODEL\\]`, 'u'));
      assert.match(help.out, /--json/u);
    }
  });

  it('ends with 2 and says why on standard error, for bad use or input', async () => {
    const bad: [string[], RegExp][] = [
      [[], /Usage: lens COMMAND/u],
      [['fly'], /no command “fly”[^]*Usage/u],
      [['tokens', '--text', 'a', '--colour'], /--colour[^]*Usage: lens tokens/u],
      [['tokens'], /--text is missing/u],
      [['tokens', '--text'], /--text[^]*Usage/u],
      [['tokens', 'a', 'b', '--text', 'c'], /Too many arguments/u],
      [['tokens', 'no-such-model', '--text', 'a'], /no model “no-such-model”/u],
      [['tokens', '/no/such/folder', '--text', 'a'], /no model/u],
      [['fill-mask', '--text', 'no mask here'], /no mask/u],
      [['fill-mask', '--text', 'a [MASK]', '--top', 'ten'], /--top must be a whole number/u],
      [['fill-mask', '--text', 'a [MASK]', '--top', '0'], /topK/u],
      [['fill-mask', '--text', 'a b', '--targets', '1-2'], /no range/u],
      [['fill-mask', '--text', 'a b', '--targets', '2:9'], /not inside the text/u],
      [['score', '--text', ''], /no token/u],
      [['nsp', '--text', '-', '--pair', '-'], /Only one text/u],
      [['nsp', join(FIXTURES, 'roberta'), '--text', 'a', '--pair', 'b'], /next-sentence head/u],
      [['fill-mask', join(FIXTURES, 'bert-classifier'), '--text', 'a [MASK]'], /no language-model head/u],
    ];
    for (const [args, message] of bad) {
      const { code, out, err } = await lens(args);
      assert.equal(code, 2, `${args.join(' ')}: ${err}`);
      assert.equal(out, '', args.join(' '));
      assert.match(err, message);
    }
  });

  describe('when its output goes nowhere', function () {
    const TEXT = '--text "$(printf "the old house %.0s" $(seq 5000))"';
    before(function () {
      if (process.platform !== 'linux') this.skip();
    });

    it('is content with a reader that has seen enough', () => {
      for (const reader of ['head -1 > /dev/null', 'true']) {
        const { status, err } = shell(`lens tokens ${TEXT} | ${reader}; echo "\${PIPESTATUS[0]}"`);
        assert.deepEqual([status, err], ['0', ''], reader);
      }
      const score = shell('lens score --text "the old house" | true; echo "${PIPESTATUS[0]}"');
      assert.deepEqual([score.status, score.err], ['0', '']);
    });

    it('says that standard output is full, in two lines', () => {
      for (const command of ['--help', 'tokens --text a', 'score --text "the old house"', `tokens ${TEXT}`]) {
        const { status, err } = shell(`lens ${command} > /dev/full; echo $?`);
        assert.equal(status, '1', command);
        assert.match(err, /^lens: Standard output could not be written: no space is left\.\n.+\n$/, command);
      }
    });

    it('keeps its exit code when standard error goes nowhere', () => {
      assert.equal(shell('lens fly 2> /dev/full; echo $?').status, '2');
      assert.equal(shell('lens fly 2>&1 | true; echo "${PIPESTATUS[0]}"').status, '2');
      assert.equal(shell('lens tokens --text a > /dev/full 2> /dev/full; echo $?').status, '1');
    });
  });

  describe('attention', () => {
    const bert = join(FIXTURES, 'bert');
    const text = ['--text', 'the house was on the hill'];

    interface MapJson {
      tokens: unknown[];
      units: { label: string }[];
      layer: number;
      head: number;
      matrix: number[][];
    }

    it('all heads, one layer or head, and one row', async () => {
      const all = (await json(['attention', bert, ...text])) as { layers: number; statistics: { type: string }[] };
      assert.deepEqual([all.layers, all.statistics.length], [3, 12]);
      const map = (await json([
        'attention',
        bert,
        ...text,
        '--head',
        '1.2',
        '--words',
        '--specials',
        'renormalise',
      ])) as MapJson;
      assert.deepEqual([map.layer, map.head, map.matrix.length], [1, 2, map.units.length]);
      for (const row of map.matrix)
        close(
          row.reduce((sum, weight) => sum + weight, 0),
          1,
        );
      const same = (await json(['attention', bert, ...text, '--layer', '1', '--head', '2'])) as MapJson;
      const steps = (await json(['attention', bert, ...text, '--head', '1.2', '--query', '3'])) as {
        pattern: number[];
        scale: number;
      };
      assert.deepEqual(same.matrix[3], steps.pattern);
      close(steps.scale, 1 / Math.sqrt(12));
      const pair = (await json([
        'attention',
        bert,
        ...text,
        '--pair',
        'a man',
        '--layer',
        '0',
        '--method',
        'rollout',
      ])) as MapJson;
      assert.ok(pair.tokens.length > same.tokens.length);
    });

    it('tables for people, and what is wrong', async () => {
      assert.match((await lens(['attention', bert, ...text])).out, /L2H3 +\w/u);
      assert.match((await lens(['attention', bert, ...text, '--layer', '1'])).out, /From other tokens/u);
      assert.match((await lens(['attention', bert, ...text, '--head', '0.1', '--query', '2'])).out, /scale 0\.289/u);
      for (const wrong of [
        ['--head', '2'],
        ['--query', '1'],
        ['--method', 'norm'],
        ['--layer', '9'],
        ['--layer', '1', '--method', 'x'],
      ])
        assert.equal((await lens(['attention', bert, ...text, ...wrong])).code, 2, wrong.join(' '));
    });
  });
});
