"""Settings of the process."""

import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import pytest

import pyrox as px
from pyrox import absent
from pyrox.config import is_validation_enabled


def test_precision_is_double_by_default_and_can_be_changed():
    assert jnp.zeros(()).dtype == jnp.float64
    px.set_precision("float32")
    try:
        assert jnp.zeros(()).dtype == jnp.float32
    finally:
        px.set_precision("float64")
    with pytest.raises(ValueError, match="'float32' or 'float64', not 'half'"):
        px.set_precision("half")


def test_the_environment_decides_precision():
    code = "import pyrox, jax.numpy as jnp; print(jnp.zeros(()).dtype)"
    run = {"args": [sys.executable, "-c", code], "capture_output": True, "text": True, "check": True}
    assert subprocess.run(env={"JAX_ENABLE_X64": "0", "PYROX_CACHE": "off"}, **run).stdout.strip() == "float32"


def test_validation_is_of_the_process_and_blocks_are_of_the_thread():
    assert not is_validation_enabled()
    seen = []
    with px.validation_enabled():
        assert is_validation_enabled()
        thread = threading.Thread(target=lambda: seen.append(is_validation_enabled()))
        thread.start()
        thread.join()
    assert seen == [False]
    px.enable_validation()
    try:
        assert is_validation_enabled()
        with px.validation_enabled(False):
            assert not is_validation_enabled()
    finally:
        px.enable_validation(False)


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="'cpu', 'gpu' or 'tpu'; met 'abacus'"):
        px.set_platform("abacus")
    for n in (0, 2.0, True):
        with pytest.raises(ValueError, match=f"at least 1; met {n}"):
            px.set_host_device_count(n)


def test_calls_that_come_too_late_say_so():
    jax.devices()
    with pytest.warns(UserWarning, match="set_host_device_count comes too late"):
        px.set_host_device_count(7)
    try:
        with pytest.warns(UserWarning, match=r"set_platform\('tpu'\) comes too late"):
            px.set_platform("tpu")
        px.set_platform(jax.default_backend())
    finally:
        jax.config.update("jax_platform_name", "")


@pytest.mark.parametrize("name", sorted(absent.ADVICE))
def test_names_of_pymc_that_are_not_there_say_what_serves_instead(name):
    assert not hasattr(px, name)
    with pytest.raises(AttributeError, match=f"no attribute '{name}': "):
        getattr(px, name)


def test_names_that_nobody_knows_are_plain_errors():
    with pytest.raises(AttributeError, match=r"^module 'pyrox' has no attribute 'unheard_of'$"):
        px.unheard_of


def test_names_misspelt_get_a_suggestion():
    with pytest.raises(AttributeError, match=r"no attribute 'normal': did you mean px\.Normal\?$"):
        px.normal
