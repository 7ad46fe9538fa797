"""Words that the values of BERT-base's memories promote and suppress, computed apart from the product: numpy on dequantised weights.

    python scripts/reference/values.py models/bert-base-cased > test/fixtures/bert-base-cased/values.json

The file stores weights as int8 with a float32 scale a channel. A value v goes through the MLM transform t, LN(gelu(W v + b)), and the
decoder; its scores are what it adds to those of no value, e·(t(v) - t(0)). 20 values are drawn with a fixed seed. `top` and `bottom`:
the ten largest and smallest scores, with ids.
"""
import json
import sys

import numpy as np
import onnx
from onnx import numpy_helper
from scipy.special import erf

COUNT, WORDS, SEED = 20, 10, 20
LAYERS, FFN, EPSILON = 12, 3072, 1e-12


def main(folder):
    graph = onnx.load(f'{folder}/model.onnx').graph
    stored = {each.name: each for each in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}

    def tensor(name):
        if name in stored:
            return numpy_helper.to_array(stored[name])
        node = makers[name]
        if node.op_type == 'Transpose':
            return tensor(node.input[0]).T
        assert node.op_type == 'DequantizeLinear', node.op_type
        data, scale = tensor(node.input[0]).astype(np.float64), tensor(node.input[1]).astype(np.float64)
        axis = next((a.i for a in node.attribute if a.name == 'axis'), 1)
        assert len(node.input) < 3 or not node.input[2] or not tensor(node.input[2]).any()
        return data * (np.expand_dims(scale, [a for a in range(data.ndim) if a != axis % data.ndim]) if scale.ndim else scale)

    def weight(name):
        node = next(node for node in graph.node if node.name == name)
        assert node.op_type == 'MatMul'
        return tensor(node.input[1])

    values = [weight(f'/bert/encoder/layer.{layer}/output/dense/MatMul') for layer in range(LAYERS)]
    assert values[0].shape == (FFN, 768)
    dense, decoder = weight('/cls/predictions/transform/dense/MatMul'), weight('/cls/predictions/decoder/MatMul')
    bias, scale, shift = (tensor(f'cls.predictions.transform.{name}').astype(np.float64) for name in ('dense.bias', 'LayerNorm.weight', 'LayerNorm.bias'))

    def transform(value):
        x = value @ dense + bias
        x = 0.5 * x * (1 + erf(x / np.sqrt(2)))
        return (x - x.mean()) / np.sqrt(x.var() + EPSILON) * scale + shift

    nothing = transform(np.zeros(768))
    random = np.random.default_rng(SEED)
    out = []
    for _ in range(COUNT):
        layer, neuron = int(random.integers(LAYERS)), int(random.integers(FFN))
        scores = (transform(values[layer][neuron]) - nothing) @ decoder
        order = np.argsort(-scores, kind='stable')
        ends = {'top': order[:WORDS], 'bottom': order[::-1][:WORDS]}
        out.append({'layer': layer, 'neuron': neuron, 'norm': float(np.linalg.norm(values[layer][neuron])),
                    **{name: [[int(i), round(float(scores[i]), 5)] for i in ids] for name, ids in ends.items()}})
    json.dump({'values': out}, sys.stdout)


if __name__ == '__main__':
    main(sys.argv[1])
