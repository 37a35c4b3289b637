"""The statements and the transforms, where PyMC keeps them: ``px.distributions.transforms.ordered``."""

from typing import Any

from pyrox.dist import value_transforms as transforms
from pyrox.model.catalogue import statements

__all__ = ["transforms", *statements]


def __getattr__(name: str) -> Any:
    if name in statements:
        return statements[name]
    raise AttributeError(f"px.distributions has no {name!r}; classes of distributions are in px.dist")
