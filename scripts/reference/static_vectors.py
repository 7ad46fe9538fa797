"""A small table of static vectors in the three usual forms, and what NumPy says of it, for test/unit/staticTable.test.ts.

    pip install numpy
    python scripts/reference/static_vectors.py
"""
import json
import struct

import numpy as np

random = np.random.default_rng(5)
WIDTH = 8
WORDS = ["the", "king", "queen", "man", "woman", "paris", "france", "rome", "italy", ". . .", "café", "日本"] + [f"w{i}" for i in range(40)]
vectors = random.normal(size=(len(WORDS), WIDTH)).astype("float32")
# A direction for each relation, so that some analogies come out.
vectors[2] = vectors[1] - vectors[3] + vectors[4] + 0.2 * vectors[2]
vectors[7] = vectors[5] - vectors[6] + vectors[8] + 0.3 * vectors[7]
text = [" ".join([word] + [f"{value:.6f}" for value in row]) for word, row in zip(WORDS, vectors)]
rounded = np.array([[float(f"{value:.6f}") for value in row] for row in vectors], dtype="float32")
folder = "test/fixtures/embeddings"

with open(f"{folder}/glove.txt", "w", encoding="utf-8") as file:
    file.write("\n".join(text) + "\n")
with open(f"{folder}/words.vec", "w", encoding="utf-8") as file:
    file.write(f"{len(WORDS)} {WIDTH}\n" + "\n".join(line + " " for line in text) + "\n")
with open(f"{folder}/words.bin", "wb") as file:
    file.write(f"{len(WORDS)} {WIDTH}\n".encode())
    for word, row in zip(WORDS, rounded):
        file.write(word.replace(" ", "_").encode() + b" " + struct.pack(f"<{WIDTH}f", *row) + b"\n")

unit = rounded.astype("float64")
unit /= np.linalg.norm(unit, axis=1, keepdims=True)


def nearest(vector, excluded, top=5):
    cosines = unit @ (vector / np.linalg.norm(vector))
    order = [i for i in np.argsort(-cosines, kind="stable") if i not in excluded][:top]
    return [{"word": WORDS[i], "cosine": float(cosines[i])} for i in order]


def analogy(a, b, c, exclude):
    i, j, k = (WORDS.index(word) for word in (a, b, c))
    return nearest(unit[j] - unit[i] + unit[k], {i, j, k} if exclude else set())


with open(f"{folder}/static.json", "w", encoding="utf-8") as file:
    json.dump({
        "words": WORDS, "vectors": rounded.ravel().astype("float64").tolist(),
        "neighbours": {word: nearest(unit[WORDS.index(word)], {WORDS.index(word)}) for word in ["king", "w7"]},
        "analogies": [
            {"words": words, "excluded": analogy(*words, True), "all": analogy(*words, False)}
            for words in [["man", "king", "woman"], ["france", "paris", "italy"], ["w1", "w2", "w3"]]
        ],
    }, file, ensure_ascii=False)
