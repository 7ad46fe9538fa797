/** Products of many rows with one vector: what the runtime does several times as fast as any loop here. */
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { FLOAT, newNode, newValueInfo } from '../onnx/model';
import { bytesField, concat, integerField } from '../onnx/wire';
import { floats } from './runtime';

/** Both are old enough for every runtime. */
const [IR_VERSION, OPSET] = [8, 13];

/** rows [n,D] · vector [D,k] → products [n,k]. */
function productModel(): Uint8Array {
  const graph = concat([
    bytesField(1, newNode('MatMul', ['rows', 'vector'], ['products']).bytes),
    bytesField(11, newValueInfo('rows', FLOAT, ['n', 'd']).bytes),
    bytesField(11, newValueInfo('vector', FLOAT, ['d', 'k']).bytes),
    bytesField(12, newValueInfo('products', FLOAT, ['n', 'k']).bytes),
  ]);
  return concat([integerField(1, IR_VERSION), bytesField(8, integerField(2, OPSET)), bytesField(7, graph)]);
}

/** Rows [n,D] with a vector [D], or with several [D,k], D = `width`: [n] or [n,k]. */
export type RowProducts = (rows: Float32Array, vector: Float32Array, width?: number) => Promise<Float32Array>;

/** Work with as many products as it needs. */
export async function withRowProducts<T>(work: (products: RowProducts) => Promise<T>): Promise<T> {
  // Made in a millisecond, and not held: a process may not end while the runtime holds one.
  const session = await InferenceSession.create(productModel(), { executionProviders: ['cpu'] });
  try {
    return await work(async (rows, vector, width = vector.length) => {
      const results = await session.run({
        rows: new Tensor('float32', rows, [rows.length / width, width]),
        vector: new Tensor('float32', vector, [width, vector.length / width]),
      });
      return floats(results['products'] as Tensor);
    });
  } finally {
    await session.release();
  }
}

export const rowProducts: RowProducts = (...asked) => withRowProducts((products) => products(...asked));
