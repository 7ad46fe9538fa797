import assert from 'node:assert/strict';
import { decodeElements, floatToHalf, halfToFloat } from '../../extension/engine/onnx/elements';

describe('elements of tensors', () => {
  it('every half precision number is itself again', () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      const value = halfToFloat(bits);
      if (!Number.isNaN(value)) assert.equal(floatToHalf(value), bits);
    }
  });

  it('rounds to the nearest half', () => {
    assert.equal(halfToFloat(floatToHalf(1 + 2 ** -12)), 1);
    assert.equal(halfToFloat(floatToHalf(1 + 3 * 2 ** -12)), 1 + 2 ** -10);
    assert.equal(halfToFloat(floatToHalf(1e6)), Infinity);
    assert.equal(halfToFloat(floatToHalf(1e-9)), 0);
  });

  it('reads each type little endian', () => {
    const raw = Uint8Array.of(0, 0, 128, 63, 255, 255, 255, 255);
    assert.deepEqual(decodeElements(1, raw, 1), Float64Array.of(1)); // float
    assert.deepEqual(decodeElements(16, raw.subarray(2), 1), Float64Array.of(1)); // bfloat16
    assert.deepEqual(decodeElements(6, raw.subarray(4), 1), Float64Array.of(-1)); // int32
    assert.deepEqual(decodeElements(2, raw, 3), Float64Array.of(0, 0, 128)); // uint8
    assert.equal(decodeElements(8, raw, 1), null); // string
  });
});
