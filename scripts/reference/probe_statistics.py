"""Bootstrap intervals and McNemar's test as scipy computes them: python scripts/reference/probe_statistics.py > test/fixtures/probes/statistics.json"""
import json

import numpy as np
from scipy import stats

random = np.random.default_rng(20260723)
columns = {
    'share': (random.random(400) < 0.31).astype(float).tolist(),
    'small': (random.random(30) < 0.8).astype(float).tolist(),
    'reciprocal': (1 / random.geometric(0.2, 250)).tolist(),
}
intervals = {}
for name, values in columns.items():
    found = stats.bootstrap(
        (values,), np.mean, n_resamples=100_000, method='percentile', vectorized=True, batch=1000, random_state=random
    ).confidence_interval
    intervals[name] = {'values': values, 'low': found.low, 'high': found.high}
groups = [columns['share'], columns['small']]
means = np.mean([random.choice(values, (100_000, len(values))).mean(axis=1) for values in groups], axis=0)
tests = [
    {'gained': a, 'lost': b, 'p': stats.binomtest(a, a + b, 0.5).pvalue}
    for a, b in [(0, 1), (3, 1), (10, 2), (5, 5), (40, 62), (300, 391), (0, 60), (2000, 2200)]
]
percentiles = np.percentile(columns['reciprocal'], [2.5, 50, 97.5]).tolist()
print(
    json.dumps(
        {
            'intervals': intervals,
            'groups': {'low': np.percentile(means, 2.5), 'high': np.percentile(means, 97.5)},
            'mcnemar': tests,
            'percentiles': percentiles,
        }
    )
)
