/** Properties of masked inputs, with real tokenizers: whatever is selected, ranges and ids stay true to the text. */
import assert from 'node:assert/strict';
import { planHoles, HOLE_ID, startTokens } from '../../extension/engine/analysis/leftToRight';
import { planMasks, type Plan } from '../../extension/engine/analysis/masking';
import { randomBelow, seededRandom } from '../../extension/engine/analysis/random';
import { readTargets } from '../../extension/engine/analysis/targets';
import { loadTokenizer } from '../../extension/engine/text/huggingFaceTokenizer';
import type { LensTokenizer } from '../../extension/engine/text/tokenizer';
import type { MaskTarget } from '../../extension/protocol/engine';
import { LensError } from '../../extension/protocol/errors';

const TEXTS = [
  'Paris is the capital of France, and unbelievably beautiful.',
  'Ein naïves Café — “quoted”, 12.5 % of  it\r\n\tindented\u00a0line.',
  'emoji 😀👍🏽 and e\u0301 combining, 日本語のテキスト and العربية.',
  'no_spaces_but_underscores(and, brackets)[0] // comment',
  'x',
];
const FOLDERS = ['bert-base-cased', 'roberta', 'albert', 'modernbert', 'gpt2', 'llama'] as const;
const ROUNDS = 150;

const folderOf = (name: string): string =>
  name === 'bert-base-cased' ? 'models/bert-base-cased' : `test/fixtures/${name}`;

/** Up to three ranges that do not overlap, some of them side by side. */
function randomTargets(text: string, random: () => number): MaskTarget[] {
  const cuts = Array.from({ length: 2 + randomBelow(random, 5) }, () => randomBelow(random, text.length + 1));
  cuts.sort((a, b) => a - b);
  const targets: MaskTarget[] = [];
  for (let index = 0; index + 1 < cuts.length && targets.length < 3; index++) {
    const [start, end] = [cuts[index] as number, cuts[index + 1] as number];
    if (start === end || random() < 0.4) continue;
    targets.push({ range: { start, end }, ...(random() < 0.3 ? { masks: 1 + randomBelow(random, 3) } : {}) });
  }
  return targets;
}

function check(
  plan: Plan,
  text: string,
  targets: readonly MaskTarget[],
  tokenizer: LensTokenizer,
  maskId: number,
): void {
  assert.equal(plan.ids.length, plan.tokens.length);
  assert.equal(plan.window.tokens, plan.ids.length);
  const positions = new Set(plan.targets.flatMap((target) => target.positions));
  plan.tokens.forEach(({ index, id, range, special }, place) => {
    assert.equal(index, place);
    assert.equal(id, plan.ids[place]);
    assert.equal(special, range === null);
    const target = plan.targets.find((candidate) => candidate.positions.includes(place));
    if (target !== undefined) {
      assert.equal(id, maskId);
      assert.deepEqual(range, target.result.range);
      return;
    }
    if (range === null) return;
    assert.ok(range.start >= 0 && range.end <= text.length && range.start <= range.end);
    // What is seen beside a mask stands outside of it.
    for (const { result } of plan.targets)
      if (range.start < range.end) assert.ok(range.end <= result.range.start || range.start >= result.range.end);
  });
  plan.targets.forEach(({ result, positions: own, actual }, index) => {
    assert.equal(own.length, result.masks);
    const wanted = targets[index]?.masks;
    if (typeof wanted === 'number') assert.equal(result.masks, wanted);
    assert.equal(text.slice(result.range.start, result.range.end), result.text);
    assert.equal(result.text, result.text.trim());
    if (actual !== null) {
      assert.equal(actual.length, result.masks);
      assert.equal(result.fit, 'tokens');
    }
    assert.equal(result.note === undefined, actual !== null, result.note);
  });
  // With whole tokens only, putting the real ones back gives exactly the text's own input.
  if (plan.targets.every(({ actual }) => actual !== null)) {
    const restored = plan.ids.slice();
    for (const { positions: own, actual } of plan.targets)
      own.forEach((position, mask) => (restored[position] = actual?.[mask] as number));
    const whole = tokenizer.encode(text).ids;
    assert.deepEqual(restored, whole.slice(0, restored.length));
  }
  assert.equal(
    positions.size,
    plan.targets.reduce((sum, { result }) => sum + result.masks, 0),
  );
}

describe('masked inputs', function () {
  this.timeout(60_000);

  for (const name of FOLDERS)
    it(`are true to the text, whatever is selected (${name})`, async () => {
      const tokenizer = await loadTokenizer(folderOf(name));
      const random = seededRandom(11);
      const kinds = { whole: 0, cut: 0, refused: 0 };
      for (const text of TEXTS)
        for (let round = 0; round < ROUNDS; round++) {
          const targets = randomTargets(text, random);
          if (targets.length === 0) continue;
          try {
            const read = readTargets(text, targets, tokenizer);
            const causal = tokenizer.maskId === null;
            const plan = (causal ? planHoles : planMasks)(text, read, tokenizer, 512);
            check(plan, text, targets, tokenizer, causal ? HOLE_ID : tokenizer.maskId);
            for (const { result } of plan.targets) kinds[result.fit === 'tokens' ? 'whole' : 'cut']++;
          } catch (error) {
            // White space, text that the tokenizer drops, or nothing on the left: said, not guessed.
            if (!(error instanceof LensError) || error.code !== 'bad-input')
              throw new Error(`${JSON.stringify(text)} ${JSON.stringify(targets)}`, { cause: error });
            kinds.refused++;
          }
        }
      assert.ok(kinds.whole > 50 && kinds.cut > 50, JSON.stringify(kinds));
      assert.ok(kinds.refused < (kinds.whole + kinds.cut) / 4, JSON.stringify(kinds));
    });

  it('know whether a tokenizer begins a text with a token', async () => {
    assert.equal(startTokens(await loadTokenizer(folderOf('gpt2'))), 0);
    assert.equal(startTokens(await loadTokenizer(folderOf('llama'))), 1);
  });
});
