"""Reference posteriors: draws of px.sample agree with moments computed elsewhere."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import pyrox as px

FOLDER = Path(__file__).parents[2] / "shared" / "posteriordb"
pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="the reference posteriors are not here")


@pytest.fixture(scope="module")
def reference():
    spec = importlib.util.spec_from_file_location("posteriordb_check", FOLDER / "check.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def eight_schools(d):
    with px.Model() as model:
        mu = px.Normal("mu", 0, 5)
        tau = px.HalfCauchy("tau", 5)
        eta = px.Normal("eta", 0, 1, shape=d["J"])
        theta = px.Deterministic("theta", mu + tau * eta)
        px.Normal("y", theta, np.array(d["sigma"], float), observed=d["y"])
    return model


def kidiq(d):
    with px.Model() as model:
        beta = px.Flat("beta", shape=2)
        sigma = px.HalfCauchy("sigma", 2.5)
        px.Normal("y", beta[0] + beta[1] * np.array(d["mom_iq"]), sigma, observed=np.array(d["kid_score"], float))
    return model


def earnings(d):
    height, male = np.array(d["height"], float), np.array(d["male"], float)
    with px.Model() as model:
        beta = px.Flat("beta", shape=4)
        sigma = px.HalfFlat("sigma")
        mean = beta[0] + beta[1] * height + beta[2] * male + beta[3] * height * male
        px.Normal("y", mean, sigma, observed=np.log(d["earn"]))
    return model


def nes(d):
    age = np.array(d["age_discrete"])
    ages = [age == 2, age == 3, age == 4]
    columns = [np.ones(len(age)), d["real_ideo"], d["race_adj"], *ages, d["educ1"], d["gender"], d["income"]]
    with px.Model() as model:
        beta = px.Flat("beta", shape=9)
        sigma = px.HalfFlat("sigma")
        px.Normal("y", np.column_stack(columns).astype(float) @ beta, sigma, observed=np.array(d["partyid7"], float))
    return model


MODELS = {
    "eight_schools-eight_schools_noncentered": eight_schools,
    "kidiq-kidscore_momiq": kidiq,
    "earnings-logearn_interaction": earnings,
    "nes1976-nes": nes,
}


@pytest.mark.parametrize("name", MODELS)
def test_posterior(reference, name):
    with MODELS[name](reference.load(name)["data"]):
        idata = px.sample(random_seed=1, progressbar=False, compute_convergence_checks=False)
    report = reference.check(name, {n: x.values for n, x in idata["posterior"].data_vars.items()})
    print(report)
    assert report.ok, str(report)
