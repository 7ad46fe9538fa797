"""Memories over a corpus, computed apart from the product: PyTorch and NumPy on the (dequantised) weights of a BERT.

    python scripts/reference/ffn_corpus.py models/bert-base-cased test/fixtures/ffn/corpus.tsv > test/fixtures/ffn/bert-base-cased.json
    python scripts/reference/ffn_corpus.py test/fixtures/bert test/fixtures/ffn/corpus.tsv > test/fixtures/ffn/bert.json

Each line of the corpus is a text. The bundled file stores weights as int8 with a float32 scale a channel.

`triggers`: of some memories, over all tokens but [CLS] and [SEP]: the three texts with the largest and the smallest m, the token where it
is; distribution; counts of bins [i·w, (i+1)·w). `similar`: the five memories with the largest cosine, by key and by value.
`stats`: one token of each text, drawn with mulberry32(seed + line), is masked. At all others: shares of m > 0 and |m| > threshold of each
layer; of each memory the largest m, whose token and next token are compared with the first word of its value, argmax E(t(v) - t(0)).
At the mask: first word of every state behind its norm through the head, and of what each network writes, argmax E(t(y) - t(0)).
"""
import json
import sys

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from tokenizers import Tokenizer
from transformers import BertConfig, BertForMaskedLM

THRESHOLD, SEED, WIDTH = 0.3, 7, 0.25
TOP, SIMILAR = 3, 5
# Set by `main`.
LAYERS, FFN, WIDTH_OF_MODEL, MASK, SPECIAL, NEURONS = 0, 0, 0, 0, set(), []


def load(folder, config):
    graph = onnx.load(f'{folder}/model.onnx').graph
    stored = {each.name: each for each in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}
    nodes = {node.name: node for node in graph.node}

    def tensor(name):
        if name in stored:
            return numpy_helper.to_array(stored[name])
        node = makers[name]
        if node.op_type == 'Transpose':
            return tensor(node.input[0]).T
        data, scale = tensor(node.input[0]).astype(np.float32), tensor(node.input[1]).astype(np.float32)
        axis = next((a.i for a in node.attribute if a.name == 'axis'), 1)
        return data * (np.expand_dims(scale, [a for a in range(data.ndim) if a != axis % data.ndim]) if scale.ndim else scale)

    model = BertForMaskedLM(config).eval()
    state = model.state_dict()
    for name in state:
        if name.endswith('position_ids'):
            continue
        if 'embeddings' in name and 'LayerNorm' not in name:
            data = tensor(name if name in stored else nodes[f'Dequantize/{name}'].output[0])
        elif name == 'cls.predictions.decoder.weight':
            data = state['bert.embeddings.word_embeddings.weight'].numpy()
        elif name == 'cls.predictions.decoder.bias':
            data = tensor('cls.predictions.bias')
        elif name.endswith('weight') and 'LayerNorm' not in name:
            data = tensor(nodes['/' + name[:-len('.weight')].replace('.', '/').replace('layer/', 'layer.') + '/MatMul'].input[1]).T
        else:
            data = tensor(name)
        assert tuple(data.shape) == tuple(state[name].shape), (name, data.shape)
        state[name] = torch.from_numpy(np.ascontiguousarray(data))
    model.load_state_dict(state)
    return model


def mulberry32(seed):
    state = (seed + 0x6D2B79F5) & 0xFFFFFFFF
    imul = lambda a, b: (a * b) & 0xFFFFFFFF
    mixed = imul(state ^ (state >> 15), state | 1)
    mixed ^= (mixed + imul(mixed ^ (mixed >> 7), mixed | 61)) & 0xFFFFFFFF
    return ((mixed ^ (mixed >> 14)) & 0xFFFFFFFF) / 2 ** 32


def run(model, ids):
    """m [L,T,F], outputs of the networks [L,T,D], states behind their norms [1 + 2L,T,D]."""
    post, out, states = [], [], []
    handles = []
    for block in model.bert.encoder.layer:
        handles.append(block.intermediate.register_forward_hook(lambda _, i, o: post.append(o[0])))
        handles.append(block.output.dense.register_forward_hook(lambda _, i, o: out.append(o[0])))
        handles.append(block.attention.output.register_forward_hook(lambda _, i, o: states.append(o[0])))
        handles.append(block.output.register_forward_hook(lambda _, i, o: states.append(o[0])))
    handles.append(model.bert.embeddings.register_forward_hook(lambda _, i, o: states.append(o[0])))
    with torch.inference_mode():
        logits = model(torch.tensor([ids])).logits[0]
    for handle in handles:
        handle.remove()
    return torch.stack(post), torch.stack(out), torch.stack(states), logits


def triggers(model, texts):
    found = []
    for layer, neuron in NEURONS:
        values, ends = [], []
        for index, ids in enumerate(texts):
            m = run(model, ids)[0][layer, :, neuron].double().numpy()
            content = [t for t, each in enumerate(ids) if each not in SPECIAL]
            values.extend(m[content])
            most, least = max(content, key=lambda t: m[t]), min(content, key=lambda t: m[t])
            ends.append((index, most, float(m[most]), least, float(m[least])))
        values = np.array(values)
        first = int(np.floor(values.min() / WIDTH))
        edges = np.arange(first, int(np.floor(values.max() / WIDTH)) + 2) * WIDTH
        found.append({
            'layer': layer, 'neuron': neuron,
            'largest': [list(each[:3]) for each in sorted(ends, key=lambda each: -each[2])[:TOP]],
            'smallest': [[each[0], each[3], each[4]] for each in sorted(ends, key=lambda each: each[4])[:TOP]],
            'tokens': len(values), 'min': values.min(), 'max': values.max(), 'mean': values.mean(), 'deviation': values.std(),
            'positive': float((values > 0).mean()), 'active': float((abs(values) > THRESHOLD).mean()),
            'width': WIDTH, 'first': first, 'counts': np.histogram(values, edges)[0].tolist(),
        })
    return found


def similar(model):
    keys = np.stack([block.intermediate.dense.weight.detach().double().numpy() for block in model.bert.encoder.layer])
    values = np.stack([block.output.dense.weight.detach().double().numpy().T for block in model.bert.encoder.layer])
    found = []
    for layer, neuron in NEURONS[:3]:
        each = {'layer': layer, 'neuron': neuron}
        for name, vectors in (('keys', keys), ('values', values)):
            own = vectors[layer, neuron]
            cosines = vectors @ own / np.linalg.norm(vectors, axis=-1) / np.linalg.norm(own)
            cosines[layer, neuron] = -2
            order = np.argsort(-cosines.ravel())[:SIMILAR]
            each[name] = [[int(at // FFN), int(at % FFN), float(cosines.ravel()[at])] for at in order]
        k, v = keys[layer, neuron], values[layer, neuron]
        each['keyValue'] = float(k @ v / np.linalg.norm(k) / np.linalg.norm(v))
        found.append(each)
    return found


def stats(model, texts):
    head, decoder = model.cls.predictions.transform, model.cls.predictions.decoder
    with torch.inference_mode():
        nothing = head(torch.zeros(1, WIDTH_OF_MODEL)) @ decoder.weight.T
        words = lambda vectors: ((head(vectors) @ decoder.weight.T) - nothing).argmax(-1)
        first = torch.stack([words(block.output.dense.weight.T) for block in model.bert.encoder.layer])
    positive, active, tokens = np.zeros(LAYERS), np.zeros(LAYERS), 0
    largest = np.zeros((LAYERS, FFN))  # a memory that is nowhere above 0 has no trigger
    itself, following = np.full((LAYERS, FFN), -1), np.full((LAYERS, FFN), -1)
    composed, composed_active = np.zeros(LAYERS), np.zeros(LAYERS)
    saturated, lost_attention, lost_ffn = np.zeros(LAYERS + 1), np.zeros(LAYERS), np.zeros(LAYERS)
    for index, ids in enumerate(texts):
        content = [t for t, each in enumerate(ids) if each not in SPECIAL]
        at = content[int(mulberry32(SEED + index) * len(content))]
        masked = list(ids)
        masked[at] = MASK
        post, out, states, logits = run(model, masked)
        for token in content:
            if token == at:
                continue
            m = post[:, token].numpy()
            tokens += 1
            positive += (m > 0).mean(1)
            active += (abs(m) > THRESHOLD).mean(1)
            better = m > largest
            largest = np.where(better, m, largest)
            itself = np.where(better, ids[token], itself)
            after = ids[token + 1] if ids[token + 1] not in SPECIAL else -1
            following = np.where(better, after, following)
        with torch.inference_mode():
            tops = decoder(head(states[:, at])).argmax(-1).tolist()
            written = words(out[:, at])
        assert tops[-1] == int(logits[at].argmax())
        for layer in range(LAYERS):
            composed[layer] += not bool((first[layer] == written[layer]).any())
            on = post[layer, at].abs() > THRESHOLD
            composed_active[layer] += not bool((first[layer][on] == written[layer]).any())
            lost_attention[layer] += tops[2 * layer] != tops[2 * layer + 1]
            lost_ffn[layer] += tops[2 * layer + 1] != tops[2 * layer + 2]
        by_layer = tops[::2]
        last_other = max((k for k in range(LAYERS + 1) if by_layer[k] != tops[-1]), default=-1)
        saturated[last_other + 1] += 1
    first = first.numpy()
    chance = lambda targets: [float(np.mean([np.mean(targets[layer] == word) for word in first[layer]])) for layer in range(LAYERS)]
    n = len(texts)
    return {
        'threshold': THRESHOLD, 'seed': SEED, 'tokens': tokens, 'predictions': n,
        'positive': (positive / tokens).tolist(), 'active': (active / tokens).tolist(),
        'next': (first == following).mean(1).tolist(), 'nextByChance': chance(following),
        'itself': (first == itself).mean(1).tolist(), 'itselfByChance': chance(itself),
        'composed': (composed / n).tolist(), 'composedOfActive': (composed_active / n).tolist(),
        'saturated': (saturated / n).tolist(), 'lostByAttention': (lost_attention / n).tolist(), 'lostByFfn': (lost_ffn / n).tolist(),
    }


def main(folder, corpus):
    global LAYERS, FFN, WIDTH_OF_MODEL, MASK, SPECIAL, NEURONS
    config = BertConfig.from_pretrained(folder)
    LAYERS, FFN, WIDTH_OF_MODEL = config.num_hidden_layers, config.intermediate_size, config.hidden_size
    NEURONS = [(9, 1234), (0, 17), (5, 2048), (11, 2384), (2, 800)] if LAYERS == 12 else [(0, 3), (1, 40), (2, 79)]
    tokenizer = Tokenizer.from_file(f'{folder}/tokenizer.json')
    tokenizer.no_padding()
    tokenizer.enable_truncation(config.max_position_embeddings)
    MASK, SPECIAL = tokenizer.token_to_id('[MASK]'), {tokenizer.token_to_id('[CLS]'), tokenizer.token_to_id('[SEP]')}
    with open(corpus, encoding='utf8') as file:
        texts = [tokenizer.encode(line.rstrip('\n').split('\t')[0]).ids for line in file]
    model = load(folder, config)
    print(json.dumps({'threshold': THRESHOLD, 'triggers': triggers(model, texts), 'similar': similar(model), 'stats': stats(model, texts)}))


if __name__ == '__main__':
    torch.set_num_threads(2)
    main(*sys.argv[1:])
