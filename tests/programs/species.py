"""Which of three species: a softmax regression with one class for reference."""

import numpy as np

rng = np.random.default_rng(43)
X = rng.normal(size=(120, 2))
_LOGITS = np.concatenate([np.zeros((120, 1)), X @ np.array([[1.0, -0.5], [-0.7, 1.2]]) + [0.3, -0.2]], axis=1)
SPECIES = np.array([rng.choice(3, p=np.exp(v) / np.exp(v).sum()) for v in _LOGITS])


def build(pm):
    with pm.Model(coords={"feature": ["length", "width"], "other": ["versicolor", "virginica"]}) as model:
        alpha = pm.Normal("alpha", 0, 2, dims="other")
        beta = pm.Normal("beta", 0, 2, dims=("feature", "other"))
        logits = alpha + pm.math.dot(X, beta)
        full = pm.math.concatenate([np.zeros((120, 1)), logits], axis=1)
        pm.Categorical("species", p=pm.math.softmax(full, axis=-1), observed=SPECIES)
    return model, ["alpha", "beta"]
