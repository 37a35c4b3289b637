"""The arguments of px.sample: PyMC's habits, and what is said to those that have no place."""

import numpy as np
import pytest

import pyrox as px
from pyrox.samplers.recipe import ADAPTATIONS
from pyrox.settings import choose_warmup, merge_nuts
from tests import models

SHORT = {"draws": 20, "tune": 20, "chains": 1, "random_seed": 1, "quiet": True}


@pytest.fixture(scope="module")
def schools():
    return models.eight_schools()


@pytest.mark.parametrize("adaptation", ADAPTATIONS)
def test_options_of_the_sampler_may_be_given_either_way(schools, adaptation):
    options = {"adaptation": adaptation, "target_accept": 0.9, "max_treedepth": 4}
    inside = px.sample(model=schools, nuts=options, **SHORT)
    direct = px.sample(model=schools, **options, **SHORT)
    both = px.sample(model=schools, nuts=options, target_accept=0.9, **SHORT)
    for other in (direct, both):
        np.testing.assert_array_equal(inside["posterior"]["theta"].values, other["posterior"]["theta"].values)
    assert inside["sample_stats"]["tree_depth"].values.max() <= 4


def test_options_of_the_sampler_have_an_effect(schools):
    draws = [
        px.sample(model=schools, nuts=options, **SHORT)["posterior"]["mu"].values
        for options in ({}, {"adaptation": "stan"}, {"target_accept": 0.95}, {"trajectories": "turning"})
    ]
    assert not np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])
    assert not np.array_equal(draws[0], draws[3])
    np.testing.assert_array_equal(draws[0], px.sample(model=schools, adaptation="dense", **SHORT)["posterior"]["mu"])


@pytest.mark.parametrize("adaptation", ADAPTATIONS)
def test_the_adaptation_chooses_its_warmup(schools, adaptation):
    assert choose_warmup(None, adaptation) == ADAPTATIONS[adaptation].num_warmup
    assert choose_warmup(70, adaptation) == 70
    found = px.sample(model=schools, adaptation=adaptation, **SHORT | {"tune": None})
    assert found["posterior"].attrs["tuning_steps"] == ADAPTATIONS[adaptation].num_warmup


def test_defaults():
    defaults = {"adaptation": "auto", "target_accept": None, "max_treedepth": 10, "trajectories": "mixed"}
    assert merge_nuts(None, {"adaptation": None}) == defaults


def test_quiet_says_nothing(schools, recwarn, capsys):
    px.sample(model=schools, **SHORT)
    px.sample(model=schools, **SHORT | {"draws": 5, "chains": 2})
    assert not recwarn.list
    assert capsys.readouterr() == ("", "")


WRONG = {
    "conflict": ({"nuts": {"target_accept": 0.9}, "target_accept": 0.8}, TypeError, "target_accept is given twice"),
    "unknown option": ({"nuts": {"depth": 3}}, TypeError, "nuts takes adaptation, .*, trajectories, not"),
    "no mapping": ({"nuts": "low_rank"}, TypeError, "nuts takes a mapping of adaptation, .*'low_rank'"),
    "adaptation": ({"adaptation": "full"}, ValueError, "adaptation is one of 'auto', .*'stan', not 'full'"),
    "of no adaptation": ({"adaptation": "full", "tune": None}, ValueError, "adaptation is one of"),
    "trajectories": ({"nuts": {"trajectories": "nuts"}}, ValueError, "trajectories is 'mixed' or 'turning', not 'nu"),
    "acceptance inside": ({"nuts": {"target_accept": 2}}, ValueError, "target_accept must lie between 0 and 1, not 2"),
    "legacy result": ({"return_inferencedata": False}, TypeError, "return_inferencedata is True"),
    "step": ({"step": print}, TypeError, "px.sample does not take step=: leave it out"),
    "callback": ({"callback": print}, TypeError, "use blocking=False"),
    "trace": ({"trace": "x"}, TypeError, "use checkpoint="),
    "numpyro": ({"num_samples": 3}, TypeError, "use draws="),
    "misspelt": ({"target_acept": 0.9}, TypeError, "did you mean target_accept=?"),
    "strange": ({"zzz": 1}, TypeError, "does not take zzz=: it takes draws, tune"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_told(schools, case):
    arguments, error, words = WRONG[case]
    with pytest.raises(error, match=words):
        px.sample(model=schools, **arguments)
