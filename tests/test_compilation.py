"""Why a model runs as one native kernel, or not."""

import jax.numpy as jnp
import numpy as np
import pytest

import pyrox as px

pytestmark = pytest.mark.native


def test_a_model_of_loops_is_native():
    with px.Model():
        level = px.Normal("level", 0.0, 1.0, shape=5)
        px.Normal("y", level[np.array([0, 4, 4, 1])], 1.0, observed=np.zeros(4))
        report = px.explain_compilation()
    assert report.native
    assert not report.obstacles
    assert report.dim == 5
    assert str(report).startswith("one native kernel a chain")


def test_what_keeps_a_model_off_is_named_with_its_variables():
    x = np.linspace(0.0, 1.0, 40)
    with px.Model() as model:
        scale = px.HalfNormal("scale", 1.0)
        px.MvNormal("y", np.zeros(40), cov=scale * jnp.exp(-((x[:, None] - x) ** 2)) + jnp.eye(40), observed=x)
        px.Normal("z", scale, 1.0, observed=0.0)
    report = px.explain_compilation(model)
    assert not report.native
    assert report.obstacles["cholesky"] == ("y",)
    assert "Cholesky factorisation" in str(report)
    assert all("z" not in names for names in report.obstacles.values())


def test_the_environment_can_turn_kernels_off(monkeypatch):
    monkeypatch.setenv("PYROX_FUSED", "0")
    with px.Model():
        px.Normal("x", 0.0, 1.0)
        report = px.explain_compilation()
    assert not report.native
    assert "PYROX_FUSED" in report.reason


def test_a_function_is_explained_too():
    def program(y):
        px.Normal("y", px.Normal("mu", 0.0, 1.0), 1.0, observed=y)

    assert px.explain_compilation(program, (1.0,)).native
