"""Frozen dataclasses that JAX looks into: arrays are leaves, ``static()`` fields are structure."""

import dataclasses
from typing import Any, dataclass_transform

import jax

_set = object.__setattr__


def static(**kwargs: Any) -> Any:
    """Declare a field that belongs to the structure: hashable, never traced."""
    return dataclasses.field(metadata={"static": True}, **kwargs)


@dataclass_transform(frozen_default=True, field_specifiers=(static,))
class Pytree:
    """Make every subclass a frozen dataclass and a JAX pytree.

    Unflattening runs no constructor, so JAX may put any object where an array stood.
    """

    def __init_subclass__(cls) -> None:
        dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)
        fields = dataclasses.fields(cls)
        register(
            cls,
            leaves=tuple(f.name for f in fields if not f.metadata.get("static")),
            structure=tuple(f.name for f in fields if f.metadata.get("static")),
        )

    def replace(self, **changes: Any) -> Any:
        """Copy with some fields changed."""
        return dataclasses.replace(self, **changes)

    def __repr__(self) -> str:
        inside = ", ".join(f"{f.name}={show(getattr(self, f.name))}" for f in dataclasses.fields(self))
        return f"{type(self).__name__}({inside})"


def register(cls: type, leaves: tuple[str, ...], structure: tuple[str, ...]) -> None:
    """Register a class whose state is the named attributes."""

    def flatten(obj: Any) -> tuple:
        return [getattr(obj, n) for n in leaves], tuple(getattr(obj, n) for n in structure)

    def flatten_with_keys(obj: Any) -> tuple:
        return [(jax.tree_util.GetAttrKey(n), getattr(obj, n)) for n in leaves], flatten(obj)[1]

    def unflatten(aux: tuple, children: Any) -> Any:
        obj = object.__new__(cls)
        for name, value in zip((*leaves, *structure), (*children, *aux), strict=True):
            _set(obj, name, value)
        return obj

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)


def show(value: Any) -> str:
    """Write a field as the constructor would take it; large arrays by dtype and shape."""
    if isinstance(value, jax.core.Tracer) or not hasattr(value, "dtype"):
        return repr(value)
    if getattr(value, "size", 0) > 6 or not hasattr(value, "tolist"):
        return f"{value.dtype}{list(value.shape)}"
    return repr(value.tolist())
