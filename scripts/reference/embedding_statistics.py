"""Numbers that test/unit/embeddingMaths.test.ts compares with, computed by NumPy, SciPy and scikit-learn.

    pip install numpy scipy scikit-learn
    python scripts/reference/embedding_statistics.py
"""
import json

import numpy as np
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, silhouette_score

random = np.random.default_rng(7)


def cka(x, y):
    x, y = x - x.mean(0), y - y.mean(0)
    return float(np.linalg.norm(y.T @ x) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)))


def pca(x, axes=3):
    model = PCA(n_components=axes, svd_solver="full").fit(x)
    return {"scores": model.transform(x).ravel().tolist(), "explained": model.explained_variance_ratio_.tolist()}


def rounded(shape, scale=1.0):
    return np.round(random.normal(size=shape) * scale, 3)


x = rounded((30, 7))
y = np.round(np.tanh(x[:, :5]) + 0.5 * random.normal(size=(30, 5)), 3)
ties = np.round(random.normal(size=40), 1)
more = np.round(ties + random.normal(size=40), 1)
wide = rounded((12, 80))
# More rows than columns, and both more than are solved at once; a scale for each column.
tall = np.round(random.normal(size=(100, 70)) * np.linspace(0.5, 2, 70), 2)
first = random.integers(0, 3, size=50)
second = np.where(random.random(50) < 0.7, first, random.integers(0, 4, size=50))
labels = (x[:, 0] > 0).astype(int)

with open("test/fixtures/embeddings/statistics.json", "w") as file:
    json.dump(
        {
            "x": x.ravel().tolist(),
            "y": y.ravel().tolist(),
            "cka": cka(x, y),
            "ties": ties.tolist(),
            "more": more.tolist(),
            "pearson": float(stats.pearsonr(ties, more)[0]),
            "spearman": float(stats.spearmanr(ties, more)[0]),
            "ranks": stats.rankdata(ties).tolist(),
            "pca": {name: {"width": m.shape[1], "rows": m.ravel().tolist(), **pca(m)} for name, m in [("x", x), ("wide", wide), ("tall", tall)]},
            "firstShare": float(np.linalg.svd(x, compute_uv=False)[0] ** 2 / (x**2).sum()),
            "partitions": [first.tolist(), second.tolist()],
            "rand": float(adjusted_rand_score(first, second)),
            "labels": labels.tolist(),
            "silhouette": float(silhouette_score(x, labels, metric="cosine")),
        },
        file,
    )
