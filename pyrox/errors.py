"""Errors that name the variable, say what was met and what to do about it."""


class ModelError(ValueError):
    """The model is built or used in a way that cannot work."""


class NodeError(TypeError):
    """A model variable went where only numbers can go."""


class ShapeError(ValueError):
    """Shapes, dims or coordinates do not fit together."""


class SupportError(ValueError):
    """A value lies outside the support of its distribution, or a parameter outside its domain."""


class InitializationError(RuntimeError):
    """No starting point with a finite log-density and gradient was found."""


class SamplingError(RuntimeError):
    """A run could not go on or left nothing that can be used."""
