"""The pooled output of fixtures whose files do not name it, for test/engine/embeddings.test.ts: tanh(W·h + b) of the first token.

    python scripts/reference/pooled.py

W and b are the initializers that PyTorch's exporter named after pooler.dense; h is the reference's last hidden state.
"""
import json

import numpy as np
import onnx
from onnx import numpy_helper
from safetensors.numpy import load_file

FIXTURES = ["bert-pretraining"]


def pooled(name):
    folder = f"test/fixtures/{name}"
    graph = onnx.load(f"{folder}/model.onnx").graph
    weights = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
    bias = next(value for key, value in weights.items() if key.endswith("pooler.dense.bias"))
    matrix = next(value for key, value in weights.items() if key.endswith("pooler.dense.weight"))
    reference = load_file(f"{folder}/reference.safetensors")
    last = max(int(key.split(".")[1]) for key in reference if key.startswith("a/blocks."))
    hidden = reference[f"a/blocks.{last}.hook_normalized_resid_post"][0, 0].astype("float64")
    return np.tanh(matrix.astype("float64") @ hidden + bias).tolist()


if __name__ == "__main__":
    with open("test/fixtures/embeddings/pooled.json", "w") as file:
        json.dump({name: pooled(name) for name in FIXTURES}, file)
