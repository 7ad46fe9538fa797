import assert from 'node:assert/strict';
import fc from 'fast-check';
import { encodeFrame, FrameDecoder } from '../../extension/protocol/frames';

/** Encodes, cuts the stream into chunks of the given sizes, decodes. */
function roundTrip(messages: unknown[], chunkSize: number): unknown[] {
  const bytes = Buffer.concat(messages.flatMap((message) => encodeFrame(message)));
  const received: unknown[] = [];
  const decoder = new FrameDecoder((message) => received.push(message));
  for (let at = 0; at < bytes.length; at += chunkSize) decoder.push(bytes.subarray(at, at + chunkSize));
  return received;
}

describe('frames', () => {
  const message = {
    text: 'naïve 😀 "quoted"',
    arrays: [new Float32Array([1.5, -0, Infinity]), new Uint8Array([1, 2, 3])],
    nested: { ids: new BigInt64Array([-1n, 2n ** 60n]), columns: new Float64Array([Math.PI]) },
    empty: new Int32Array(0),
    none: null,
  };

  for (const chunkSize of [1, 3, 7, 64, 1 << 20])
    it(`keeps values and array types, in chunks of ${chunkSize} bytes`, () => {
      assert.deepEqual(roundTrip([message, { second: true }, message], chunkSize), [
        message,
        { second: true },
        message,
      ]);
    });

  it('sends a view of a larger buffer without the rest of it', () => {
    const large = Float32Array.from({ length: 1000 }, (_, index) => index);
    const [decoded] = roundTrip([{ part: large.subarray(10, 12) }], 100) as [{ part: Float32Array }];
    assert.deepEqual(decoded.part, new Float32Array([10, 11]));
    assert.equal(decoded.part.buffer.byteLength, 8);
  });

  it('keeps any JSON value', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.integer({ min: 1, max: 50 }), (value, chunkSize) => {
        assert.deepEqual(roundTrip([{ value }], chunkSize), [JSON.parse(JSON.stringify({ value }))]);
      }),
      { seed: 1 },
    );
  });

  it('refuses a stream that is out of step instead of waiting for gigabytes', () => {
    const decoder = new FrameDecoder(() => undefined);
    assert.throws(() => decoder.push(new Uint8Array(16).fill(0xff)), RangeError);
  });

  it('refuses arrays that have no agreed form', () => {
    assert.throws(() => encodeFrame({ view: new DataView(new ArrayBuffer(1)) }), TypeError);
  });
});
