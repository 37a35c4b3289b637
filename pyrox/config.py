"""Settings of the whole process: precision, validation, platform."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import jax
import numpy as np

# The process-wide default, and what a ``with validation_enabled()`` block says instead.
_default = {"validate": False}
_VALIDATE: ContextVar[bool | None] = ContextVar("pyrox_validate", default=None)


def set_precision(dtype: str) -> None:
    """Choose the floating-point type of every model built from now on.

    Parameters
    ----------
    dtype
        ``"float64"`` (the default of pyrox) or ``"float32"`` (for accelerators).

    Raises
    ------
    ValueError
        For any other name.

    Examples
    --------
    >>> import pyrox as px
    >>> px.set_precision("float64")
    """
    if dtype not in ("float32", "float64"):
        raise ValueError(f"set_precision takes 'float32' or 'float64', not {dtype!r}")
    jax.config.update("jax_enable_x64", dtype == "float64")


def number_dtype() -> np.dtype:
    """Give the floating-point type of models.

    Examples
    --------
    >>> from pyrox.config import number_dtype
    >>> number_dtype()
    dtype('float64')
    """
    return np.dtype(jax.dtypes.canonicalize_dtype(np.float64))


def enable_validation(is_validate: bool = True) -> None:  # noqa: FBT001, FBT002 - the documented signature
    """Check parameters and values of distributions from now on.

    Parameters
    ----------
    is_validate
        Whether a parameter outside its domain, or a value outside the support, raises an error.

    Examples
    --------
    >>> import pyrox as px
    >>> px.enable_validation()
    >>> px.enable_validation(False)
    """
    _default["validate"] = _as_flag(is_validate)


@contextmanager
def validation_enabled(is_validate: bool = True) -> Iterator[None]:  # noqa: FBT001, FBT002
    """Check parameters and values of distributions within a ``with`` block.

    Parameters
    ----------
    is_validate
        Whether to check inside the block; afterwards the former setting holds again.

    Examples
    --------
    >>> import pyrox as px
    >>> with px.validation_enabled():
    ...     px.dist.Normal(0.0, 1.0)
    Normal(loc=0.0, scale=1.0)
    """
    token = _VALIDATE.set(_as_flag(is_validate))
    try:
        yield
    finally:
        _VALIDATE.reset(token)


def _as_flag(is_validate: object) -> bool:
    if not isinstance(is_validate, bool | np.bool_):
        raise TypeError(f"is_validate is True or False; met {is_validate!r}")
    return bool(is_validate)


def is_validation_enabled() -> bool:
    """Tell whether distributions check their arguments by default."""
    inside = _VALIDATE.get()
    return _default["validate"] if inside is None else inside


def set_platform(platform: str | None = None) -> None:
    """Choose where computations run: call it before the first one.

    Without it they run where JAX does by itself: on an accelerator, if there is one. There all chains advance side by
    side, each leapfrog as long as some hundred small steps of the device take. That pays for many chains and for
    gradients of a million operations and more; smaller models run faster as native kernels on ``"cpu"``.

    Parameters
    ----------
    platform
        ``"cpu"``, ``"gpu"`` or ``"tpu"``; None takes ``"cpu"``.

    Raises
    ------
    ValueError
        For any other name.

    Examples
    --------
    >>> import pyrox as px
    >>> px.set_platform("cpu")
    """
    wanted = platform or "cpu"
    if wanted not in ("cpu", "gpu", "tpu"):
        raise ValueError(f"set_platform takes 'cpu', 'gpu' or 'tpu'; met {platform!r}")
    if _devices_are_in_use() and jax.default_backend() != wanted:
        message = f"set_platform({wanted!r}) comes too late: JAX already computes on {jax.default_backend()!r}"
        warnings.warn(message, stacklevel=2)
    jax.config.update("jax_platform_name", wanted)


def _devices_are_in_use() -> bool:
    # JAX tells it only by refusing to change the number of host devices.
    present = jax.config.jax_num_cpu_devices
    try:
        jax.config.update("jax_num_cpu_devices", 2 if present == 1 else 1)
    except RuntimeError:
        return True
    jax.config.update("jax_num_cpu_devices", present)
    return False


def set_host_device_count(n: int) -> None:
    """Ask XLA to show ``n`` host devices: pyrox needs none of them to run chains in parallel.

    Chains run on threads over one device, on all cores. The setting is for code of your own
    that shards over devices, and acts only before JAX's first computation.

    Parameters
    ----------
    n
        The number of devices.

    Examples
    --------
    >>> import pyrox as px
    >>> px.set_host_device_count(4)  # doctest: +SKIP
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"set_host_device_count takes a whole number of at least 1; met {n!r}")
    try:
        jax.config.update("jax_num_cpu_devices", n)
    except RuntimeError as error:
        warnings.warn(f"set_host_device_count comes too late: {error}", stacklevel=2)


def _default_precision() -> None:
    # A user who set the variable has decided; everyone else gets the precision that inference needs.
    if "JAX_ENABLE_X64" not in os.environ:
        set_precision("float64")


_default_precision()
