"""A second session finds what the first one compiled."""

import os
import subprocess
import sys
from pathlib import Path

from pyrox import cache

PROGRAM = """
import jax
events = []
jax.monitoring.register_event_listener(lambda name, **_: events.append(name))
import pyrox as px
with px.Model() as model:
    px.Normal("x", 0.0, 1.0, shape=3)
idata = px.sample(50, tune=50, random_seed=1, model=model, progressbar=False, compute_convergence_checks=False)
print(jax.config.jax_compilation_cache_dir)
print(sum("cache_hits" in name for name in events), float(idata["posterior"]["x"].sum()))
"""


def session(**environment):
    kept = {k: v for k, v in os.environ.items() if k not in ("PYROX_CACHE", "JAX_COMPILATION_CACHE_DIR")}
    out = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=kept | environment, capture_output=True, text=True, check=True
    )
    folder, found = out.stdout.splitlines()
    hits, total = found.split()
    return folder, int(hits), total


def test_the_second_session_compiles_nothing_of_weight(tmp_path):
    first = session(PYROX_CACHE=str(tmp_path))
    second = session(PYROX_CACHE=str(tmp_path))
    assert first[0] == second[0] == str(tmp_path)
    assert first[1] == 0
    assert second[1] >= 1
    assert first[2] == second[2], "the draws are the same"
    assert any(p.name.startswith("jit_marked") for p in tmp_path.iterdir()), "the chain itself is kept"


def test_keeping_can_be_turned_off_and_jax_has_precedence(tmp_path):
    assert session(PYROX_CACHE="off")[0] == "None"
    assert session(JAX_COMPILATION_CACHE_DIR=str(tmp_path))[0] == str(tmp_path)


def test_the_default_folder_is_the_users(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.default_folder().parent == tmp_path / "pyrox" / "compiled"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache.default_folder().is_relative_to(Path.home() / "Library")
    assert cache._can_write(tmp_path / "a" / "b")
