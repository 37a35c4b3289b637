"""Statements of programs, for functions that run under handlers."""

from pyrox.model.primitives import data, deterministic, factor, module, param, plate, sample, subsample

__all__ = ["data", "deterministic", "factor", "module", "param", "plate", "sample", "subsample"]
