"""What test/unit/contextuality.test.ts expects of vectors that are made here, pair by pair as Ethayarajh (2019) defines it.

    pip install numpy
    python scripts/reference/contextuality.py
"""
import itertools
import json

import numpy as np

random = np.random.default_rng(11)
LAYERS, WIDTH = 3, 6
WORDS = ["ab", "cd", "ef", "gh", "ij"]
LEAST = 5


def cosine(a, b):
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def pairs(vectors):
    return float(np.mean([cosine(a, b) for a, b in itertools.combinations(vectors, 2)]))


def share(vectors):
    values = np.linalg.svd(np.array(vectors), compute_uv=False) ** 2
    return float(values[0] / values.sum())


def cka(x, y):
    x, y = x - x.mean(0), y - y.mean(0)
    return float(np.linalg.norm(y.T @ x) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)))


def make(sentences):
    """hidden[layer][sentence][token]; the first and the last token are special."""
    return [[np.round(random.normal(size=(len(s) + 2, WIDTH)) + 0.4, 3) for s in sentences] for _ in range(LAYERS)]


def measure(sentences, hidden):
    words = [w for w in WORDS if sum(s.count(w) for s in sentences) >= LEAST]
    result = []
    for layer in hidden:
        found = {w: [layer[i][t + 1] for i, s in enumerate(sentences) for t, each in enumerate(s) if each == w] for w in words}
        intra = [np.mean([cosine(h, layer[i][1:-1].mean(0)) for h in layer[i][1:-1]]) for i, s in enumerate(sentences) if len(s) > 1]
        result.append({
            "self": float(np.mean([pairs(v) for v in found.values()])),
            "intra": float(np.mean(intra)) if intra else None,
            "explainable": float(np.mean([share(v) for v in found.values()])),
        })
    return result


long = [[str(w) for w in random.choice(WORDS, size=random.integers(1, 7), p=[0.4, 0.3, 0.2, 0.07, 0.03])] for _ in range(14)]
short = [[str(w)] for w in random.choice(WORDS, size=12)]
hidden_long, hidden_short = make(long), make(short)
samples = [np.array([h[1] for h in layer]) for layer in hidden_short]
as_list = lambda hidden: [[h.ravel().tolist() for h in layer] for layer in hidden]

with open("test/fixtures/embeddings/contextuality.json", "w") as file:
    json.dump({
        "width": WIDTH, "least": LEAST,
        "long": {"sentences": long, "hidden": as_list(hidden_long), "layers": measure(long, hidden_long)},
        "short": {
            "sentences": short, "hidden": as_list(hidden_short),
            "anisotropy": [pairs(list(x)) for x in samples],
            "baseline": [share(x) for x in samples],
            "cka": [[cka(x, y) for y in samples] for x in samples],
        },
    }, file)
