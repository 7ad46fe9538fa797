/** Numbers and tokens as people see them, wherever they see them. */
import assert from 'node:assert/strict';
import {
  bits,
  count,
  counted,
  difference,
  fileSize,
  perplexity,
  precise,
  probability,
  readable,
  share,
  shortened,
  signed,
  textBar,
  visible,
} from '../../extension/protocol/format';

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
    assert.equal(counted(1, 'token'), '1 token');
    assert.equal(counted(1234, 'token'), '1,234 tokens');
  });

  it('keeps every digit where all are wanted', () => {
    assert.equal(precise(-1.25e-7), '−1.25e−7');
    assert.equal(precise(-0.9441234567890123), '−0.9441234567890123');
  });

  it('writes a perplexity of any size without losing its order', () => {
    assert.deepEqual([1, 18.444, 999.994, 1234.5, 999_999, 12_345_678].map(perplexity), [
      '1.00',
      '18.44',
      '999.99',
      '1,235',
      '999,999',
      '1.23e7',
    ]);
  });

  it('says that a whole is done only when it is', () => {
    assert.deepEqual([0, 0.456, 0.9999, 1].map(share), ['0 %', '45 %', '99 %', '100 %']);
  });

  it('writes sizes in decimal units', () => {
    assert.equal(fileSize(108_500_000), '109 MB');
    assert.equal(fileSize(12), '12 B');
  });

  it('draws bars of a fixed width', () => {
    assert.equal(textBar(1, 4), '████');
    assert.equal(textBar(0.5, 4), '██  ');
    assert.equal(textBar(0.03125, 4), '▏   ');
    assert.equal(textBar(0, 4), '    ');
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
    assert.equal(shortened('abcdef', 4), 'abc…');
    assert.equal(shortened('a\tb', 4), 'a⇥b');
  });
});
