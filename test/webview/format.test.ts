/** Numbers and tokens as the views write them. */
import assert from 'node:assert/strict';
import { bits, count, difference, probability, readable, signed, visible } from '../../webviews/common/format';

describe('format', () => {
  it('writes probabilities with three places and no leading zero', () => {
    assert.equal(probability(0.3906), '.391');
    assert.equal(probability(1), '1.000');
    assert.equal(probability(0.99996), '1.000');
    assert.equal(probability(0), '.000');
    assert.equal(probability(0.0005), '.001');
    assert.equal(probability(2.34e-7), '2e−7');
  });

  it('writes log-probabilities with two places and a true minus sign', () => {
    assert.equal(signed(-0.944), '−0.94');
    assert.equal(signed(-12.411), '−12.41');
    assert.equal(signed(-0.001), '0.00');
    assert.equal(signed(-Infinity), '−Infinity');
    assert.equal(signed(-1.23456, 3), '−1.235');
  });

  it('writes differences with their sign', () => {
    assert.equal(difference(0.5), '+0.50');
    assert.equal(difference(-0.5), '−0.50');
    assert.equal(difference(-0.004), '+0.00');
  });

  it('writes surprisal in bits: a probability of one in eight has three', () => {
    assert.equal(bits(Math.log(1 / 8)), '3.00');
    assert.equal(bits(0), '0.00');
  });

  it('groups large counts', () => {
    assert.equal(count(28996), '28,996');
  });

  it('takes the marks of every kind of tokenizer away', () => {
    for (const [token, text] of [
      ['##ius', 'ius'],
      ['##', '##'],
      ['Ġthe', 'the'],
      ['▁the', 'the'],
      ['the</w>', 'the'],
      ['Ã©tÃ©', 'été'],
      ['été', 'été'],
      ['日本', '日本'],
      ['[MASK]', '[MASK]'],
      ['Ċ', '⏎'],
    ] as const)
      assert.equal(readable(token), text, token);
  });

  it('makes white space and control characters visible, so that no text can hide or turn another', () => {
    assert.equal(visible('a\r\nb\tc'), 'a⏎b⇥c');
    assert.equal(visible('   '), '␣␣␣');
    assert.equal(visible('\u202eevil\u0000'), '·evil·');
    assert.equal(visible('a b'), 'a b');
  });
});
