"""Name the types that signatures share."""

from typing import Any, TypeAlias

import jax
import numpy as np

Array: TypeAlias = jax.Array
ArrayLike: TypeAlias = jax.Array | np.ndarray | np.number | float | int | bool
Key: TypeAlias = jax.Array
Shape: TypeAlias = tuple[int, ...]
Tree: TypeAlias = Any
