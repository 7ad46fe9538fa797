"""What scikit-learn reaches with non-negative factorisations, for test/unit/nmf.test.ts.

    python scripts/reference/nmf.py > test/fixtures/ffn/nmf.json

`planted`: three groups of rows, each active at columns of its own, with noise; the least relative error of scikit-learn over ten starts for
k = 1…5, and which group each row was made of. `random`: no structure.
"""
import json
import warnings

import numpy as np
from sklearn.decomposition import NMF

warnings.filterwarnings('ignore')
random = np.random.default_rng(11)


def best(a, k):
    runs = []
    for seed in range(10):
        model = NMF(k, init='random', solver='cd', tol=1e-7, max_iter=3000, random_state=seed)
        w = model.fit_transform(a)
        runs.append(np.linalg.norm(a - w @ model.components_) / np.linalg.norm(a))
    return float(min(runs))


groups = random.integers(0, 3, size=60)
profiles = np.zeros((3, 18))
for group in range(3):
    profiles[group, 6 * group:6 * group + 5] = random.uniform(.4, 1, 5)
planted = np.round(np.maximum(0, random.uniform(.5, 3, 60)[:, None] * profiles[groups] + .05 * random.normal(size=(60, 18))), 3)
noise = np.round(np.maximum(0, random.normal(size=(40, 12))), 3)
print(json.dumps({
    name: {'data': data.tolist(), 'errors': {k: best(data, k) for k in (1, 2, 3, 5)}, **extra}
    for name, data, extra in (('planted', planted, {'groups': groups.tolist()}), ('random', noise, {}))
}))
