"""Training of a tuned lens by PyTorch, for test/engine/tunedLens.test.ts: divergence, gradients and a few steps of Adam, by autograd in
float64 on the weights of the fixtures' heads, apart from the product's hand-written graph (extension/engine/session/headGraph.ts).

    pip install torch onnx
    python scripts/reference/tuned_lens.py

States, maps and what the model says in the end are random; the head is the fixture's: BERT's transform (dense, gelu, LayerNorm) and
decoder, GPT-2's LayerNorm and unembedding, Llama's RMSNorm and unembedding. h' = h + h·A + b, loss = mean over rows of KL(p ‖ q).
"""
import json

import numpy as np
import onnx
import torch
from onnx import numpy_helper

ROWS, STEPS, RATE = 6, 5, 0.01


def load(name):
    graph = onnx.load(f'test/fixtures/{name}/model.onnx').graph
    stored = {each.name: torch.tensor(numpy_helper.to_array(each).astype(np.float64)) for each in graph.initializer if each.data_type == 1}
    makers = {output: node for node in graph.node for output in node.output}

    def constant(value):
        if value in stored:
            return stored[value]
        node = makers[value]
        if node.op_type == 'Constant':
            return torch.tensor(numpy_helper.to_array(node.attribute[0].t).astype(np.float64))
        if node.op_type == 'Transpose':
            return constant(node.input[0]).T
        raise ValueError(node.op_type)

    # The matrix that the last product reads.
    last = next(node for node in reversed(graph.node) if node.op_type == 'MatMul')
    decoder = constant(last.input[1])
    config = json.load(open(f'test/fixtures/{name}/config.json'))
    return graph, stored, constant, decoder, config


def bert():
    graph, stored, constant, decoder, config = load('bert')
    prefix = 'cls.predictions.transform.'
    dense = constant(next(n for n in graph.node if n.op_type == 'MatMul' and 'transform/dense' in n.output[0]).input[1])
    parts = [stored[prefix + each] for each in ('dense.bias', 'LayerNorm.weight', 'LayerNorm.bias')]

    def head(h):
        x = torch.nn.functional.gelu(h @ dense + parts[0])
        return torch.nn.functional.layer_norm(x, x.shape[-1:], parts[1], parts[2], config['layer_norm_eps']) @ decoder + stored['cls.predictions.bias']
    return head, decoder.shape


def gpt2():
    _, stored, _, decoder, config = load('gpt2')
    scale, shift = stored['transformer.ln_f.weight'], stored['transformer.ln_f.bias']
    return lambda h: torch.nn.functional.layer_norm(h, h.shape[-1:], scale, shift, config['layer_norm_epsilon']) @ decoder, decoder.shape


def llama():
    _, stored, _, decoder, config = load('llama')
    scale = stored['model.norm.weight']
    return lambda h: torch.nn.functional.rms_norm(h, h.shape[-1:], scale, config['rms_norm_eps']) @ decoder, decoder.shape


def rounded(values):
    """Short in the file, and the same in float32."""
    return torch.tensor(np.round(values, 3), dtype=torch.float64)


def main():
    out = {'rows': ROWS, 'steps': STEPS, 'rate': RATE, 'cases': []}
    for seed, (name, build) in enumerate([('bert', bert), ('gpt2', gpt2), ('llama', llama)]):
        head, (width, _) = build()
        random = np.random.default_rng(seed)
        states, final = (rounded(random.normal(size=(ROWS, width))) for _ in range(2))
        matrix = rounded(random.normal(size=(width, width)) * 0.05).requires_grad_()
        bias = rounded(random.normal(size=width) * 0.1).requires_grad_()
        expected = torch.log_softmax(head(final), -1)
        optimiser = torch.optim.Adam([matrix, bias], lr=RATE)
        case = {'model': name, 'width': width, 'states': states.ravel().tolist(), 'final': final.ravel().tolist(),
                'matrix': matrix.tolist(), 'bias': bias.tolist()}
        for step in range(STEPS):
            optimiser.zero_grad()
            found = torch.log_softmax(head(states + states @ matrix + bias), -1)
            each = torch.nn.functional.kl_div(found, expected, log_target=True, reduction='none').sum(-1)
            each.mean().backward()
            if step == 0:
                case.update(divergences=each.tolist(), matrixGradient=matrix.grad.tolist(), biasGradient=bias.grad.tolist())
            optimiser.step()
        case.update(matrixAfter=matrix.tolist(), biasAfter=bias.tolist())
        # Whole matrices would make a large file: every 7th row.
        for key in ('matrixGradient', 'matrixAfter'):
            case[key] = case[key][::7]
        case['matrix'] = np.ravel(case['matrix']).tolist()
        out['cases'].append(case)
    text = json.dumps(out, separators=(',', ':'))
    with open('test/fixtures/ffn/tuned.json', 'w') as file:
        # As many digits as float32 has.
        json.dump(json.loads(text, parse_float=lambda x: float(f'{float(x):.8g}')), file, separators=(',', ':'))


if __name__ == '__main__':
    main()
