/** `lens ablate` as a program. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AblationResult } from '../../extension/protocol/attention';
import { fixture, reference } from '../support/fixtures';
import { lens } from '../support/lens';

const { folder } = fixture('bert');
const [text] = reference('bert').meta.cases[0]?.text as [string];
interface Target {
  position: number;
  token: number;
  log_prob: number;
  zero: number[][];
}
const { targets } = JSON.parse(readFileSync(join(folder, 'gates.json'), 'utf8')) as { targets: [Target, Target] };

const ablate = (...args: string[]): ReturnType<typeof lens> => lens('ablate', folder, ...args);

function json(...args: string[]): AblationResult {
  const { code, out, err } = ablate('--text', text, '--json', ...args);
  assert.equal(code, 0, err);
  return JSON.parse(out) as AblationResult;
}

const close = (actual: number | undefined, wanted: number | undefined): void =>
  assert.ok(Math.abs((actual ?? NaN) - (wanted ?? NaN)) < 1e-4, `${actual}, not ${wanted}`);

describe('lens ablate', function () {
  this.timeout(60_000);
  const [likeliest, other] = targets;

  it('asks at the first mask for the likeliest token, of all heads', () => {
    const { target, before, after, effects } = json();
    assert.deepEqual([target.position, target.id], [likeliest.position, likeliest.token]);
    close(before.logprob, likeliest.log_prob);
    assert.equal(before.predictions.length, 10);
    assert.equal(after, null);
    assert.equal(effects.length, 12);
    for (const { layer, head, zero } of effects) close(zero, likeliest.zero[layer]?.[head]);
  });

  it('asks for another token by its id, of some heads', () => {
    const { effects, target } = json('--target', `${other.position}:${other.token}`, '--heads', '2.1,0.3', '--mean');
    assert.equal(target.id, other.token);
    assert.deepEqual(
      effects.map(({ layer, head }) => [layer, head]),
      [
        [0, 3],
        [2, 1],
      ],
    );
    for (const { layer, head, zero, mean } of effects) {
      close(zero, other.zero[layer]?.[head]);
      assert.notEqual(mean, null);
    }
  });

  it('changes heads together', () => {
    const [layer, head] = [1, 2];
    const { before, after, effects } = json('--together', '--heads', `${layer}.${head}`, '--top', '3');
    close((after?.logprob ?? NaN) - before.logprob, likeliest.zero[layer]?.[head]);
    assert.equal(after?.predictions.length, 3);
    assert.deepEqual(effects, []);
    const open = json('--together', '--heads', '1.2', '--scale', '1');
    close(open.after?.logprob, open.before.logprob);
  });

  it('ranks heads for people, and says what is wrong', () => {
    const { out, code } = ablate('--text', text, '--importance');
    assert.equal(code, 0);
    const rows = [...out.matchAll(/^L\dH\d .*$/gmu)].map(([row]) => row);
    assert.equal(rows.length, 12);
    // Of all of them, L2H1 changes the prediction most.
    assert.match(rows[0] as string, /^L2H1 +−1\.3770 /u);
    assert.match(out, /central difference/u);
    for (const [args, message] of [
      [['--heads', '4-7'], /“4-7” is no head/u],
      [['--heads', '7.0'], /no layer 7/u],
      [['--target', 'x'], /“x” is no target/u],
      [['--target', '99'], /no token 99/u],
      [['--target', '3:The sailor'], /“The sailor” is \d+ tokens/u],
      [['--together'], /Which heads/u],
      [['--scale', '2'], /--scale is for heads/u],
    ] as const) {
      const refused = ablate('--text', text, ...args);
      assert.equal(refused.code, 2, refused.out);
      assert.match(refused.err, message);
    }
  });
});
