/** `lens logit-lens` as a program. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { LogitLens, LogitLensTable } from '../../extension/protocol/ffn';
import { fixture, reference } from '../support/fixtures';

const { folder } = fixture('bert');
const [text] = reference('bert').meta.cases[0]?.text as [string];
const { answer, position } = JSON.parse(readFileSync(join(folder, 'lens.json'), 'utf8')) as {
  answer: number;
  position: number;
};

function lens(...args: string[]): { code: number | null; out: string; err: string } {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [resolve('dist/lens.js'), 'logit-lens', folder, '--text', text, ...args],
    { encoding: 'utf8' },
  );
  return { code: status, out: stdout, err: stderr };
}

describe('lens logit-lens', function () {
  this.timeout(60_000);

  it('asks at the first mask, and follows the tokens that are named', () => {
    const { code, out, err } = lens('--json', '--watch', '5', '--top', '2');
    assert.equal(code, 0, err);
    const { target, states, watched } = JSON.parse(out) as LogitLens;
    assert.deepEqual([target.position, target.id], [position, answer]);
    assert.equal(states.length, 7);
    assert.equal(states[0]?.predictions.length, 2);
    assert.deepEqual(
      watched.slice(0, 2).map(({ id }) => id),
      [answer, 5],
    );
    assert.match(lens().out, /L2 attention .*\nL2 FFN/u);
  });

  it('shows every token in a table', () => {
    const { code, out, err } = lens('--json', '--table');
    assert.equal(code, 0, err);
    const { places, tokens, top } = JSON.parse(out) as LogitLensTable;
    assert.deepEqual(places.length, 4);
    assert.equal(top.length, 4 * tokens.length);
    assert.equal(top[3 * tokens.length + position], answer);
    assert.match(lens('--table', '--attention').out, /L0 attention/u);
  });

  it('refuses what is not for it', () => {
    for (const args of [['--table', '--watch', '5'], ['--attention'], ['--position', 'x'], ['--watch', 'zzzzz zzzz']]) {
      const { code, err } = lens(...args);
      assert.equal(code, 2);
      assert.match(err, /^lens logit-lens: /u);
    }
  });
});
