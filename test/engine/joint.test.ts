/** Joint fills against independent ones on real text, with the bundled model. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { randomBelow, seededRandom } from '../../extension/engine/analysis/random';
import type { FillMaskResult, TextRange } from '../../extension/protocol/engine';
import { suiteEngine } from '../support/engine';
import { quiet } from '../support/fakeModel';
import { BUNDLED as MODEL, extraData } from '../support/fixtures';

const TEXT = extraData('data/prose/wikitext2_raw/wiki.valid.raw');
const SPANS = 200;
const BEAM = 5;
/** In words; short sentences keep the test short. */
const SENTENCE = { least: 6, most: 14 };

/** Sentences of the corpus as it stands: words apart by spaces, a full stop at the end. */
function sentences(file: string): string[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => !line.trim().startsWith('=') && line.trim() !== '')
    .flatMap((line) => line.trim().split(/(?<= \.) /u))
    .filter((sentence) => {
      const length = sentence.split(' ').length;
      return sentence.endsWith(' .') && length >= SENTENCE.least && length <= SENTENCE.most;
    });
}

describe('joint fill on WikiText-2', function () {
  this.timeout(600_000);
  const engine = suiteEngine();

  it(`finds likelier spans than each mask alone, and at least as many exact ones, on ${SPANS} spans`, async function () {
    if (TEXT === null) {
      process.stderr.write('      skipped: data/prose/wikitext2_raw is not there (set ONNX_LENS_TEST_DATA)\n');
      this.skip();
    }
    const random = seededRandom(2026);
    const all = sentences(TEXT);
    const counts = { spans: 0, likelier: 0, exactJoint: 0, exactIndependent: 0 };
    let gain = 0;
    while (counts.spans < SPANS) {
      const text = all[randomBelow(random, all.length)] as string;
      const { tokens } = await engine.handle('tokens', { model: MODEL, text }, quiet());
      const size = 2 + randomBelow(random, 2);
      // A span of letters: two or three tokens that stand side by side, punctuation left out.
      const first = 1 + randomBelow(random, tokens.length - 2 - size);
      const span = tokens.slice(first, first + size);
      const real = span.map(({ id }) => id);
      if (!span.every(({ token }) => /^(##)?\p{L}+$/u.test(token))) continue;
      const range: TextRange = { start: span[0]?.range?.start ?? 0, end: span.at(-1)?.range?.end ?? 0 };
      const result: FillMaskResult = await engine.handle(
        'fillMask',
        { model: MODEL, text, targets: [{ range }], topK: 1, joint: { beam: BEAM } },
        quiet(),
      );
      const best = result.joint[0];
      const independent = result.joint.find((fill) => fill.independent);
      assert.ok(best !== undefined && independent !== undefined);
      assert.deepEqual(
        result.masks.map(({ actual }) => actual?.id),
        real,
      );
      assert.ok(best.logprob >= independent.logprob, 'never less likely than each mask alone');
      counts.spans++;
      gain += best.logprob - independent.logprob;
      if (best.logprob > independent.logprob) counts.likelier++;
      if (String(best.ids[0]) === String(real)) counts.exactJoint++;
      if (String(independent.ids[0]) === String(real)) counts.exactIndependent++;
    }
    process.stderr.write(
      `      of ${counts.spans} spans, together likelier: ${counts.likelier} (mean gain ${(gain / SPANS).toFixed(2)} nats); ` +
        `exact: ${counts.exactJoint} together, ${counts.exactIndependent} each alone\n`,
    );
    assert.ok(counts.likelier > 0);
    assert.ok(counts.exactJoint >= counts.exactIndependent);
  });
});
