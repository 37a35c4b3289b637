"""Coal-mining disasters: a change point in a Poisson rate, whose year is discrete."""

import numpy as np

DISASTERS = np.array(
    [4, 5, 4, 0, 1, 4, 3, 4, 0, 6, 3, 3, 4, 0, 2, 6, 3, 3, 5, 4, 5, 3, 1, 4, 4, 1, 5, 5, 3, 4, 2, 5, 2, 2, 3, 4,
     2, 1, 3, 3, 2, 2, 1, 1, 1, 1, 3, 0, 0, 1, 0, 1, 1, 0, 0, 3, 1, 0, 3, 2, 2, 0, 1, 1, 1, 0, 1, 0, 1, 0, 0, 0,
     2, 1, 0, 0, 0, 1, 1, 0, 2, 3, 3, 1, 1, 2, 1, 1, 1, 1, 2, 4, 2, 0, 0, 1, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0,
     0, 1, 0]
)  # fmt: skip
YEARS = np.arange(1851, 1851 + len(DISASTERS))


def build(pm):
    with pm.Model(coords={"year": YEARS}) as model:
        switchpoint = pm.DiscreteUniform("switchpoint", lower=YEARS[0], upper=YEARS[-1])
        early_rate = pm.Exponential("early_rate", 1.0)
        late_rate = pm.Exponential("late_rate", 1.0)
        rate = pm.math.switch(switchpoint >= YEARS, early_rate, late_rate)
        pm.Poisson("disasters", rate, observed=DISASTERS, dims="year")
    return model, ["early_rate", "late_rate", "switchpoint"]
