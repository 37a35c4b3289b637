"""The everyday programs of ``tests/programs``: each builds a model with ``pm``, whichever library that is."""

import runpy
from pathlib import Path

FILES = {path.stem: path for path in sorted((Path(__file__).parent / "programs").glob("*.py"))}
# Fewer means than this are compared in all; the level of each comparison follows.
NUM_MEANS = 1000


class Program:
    """A program: how to build it, and how to sample it."""

    def __init__(self, name):
        self.name, self._globals = name, runpy.run_path(str(FILES[name]))
        self.sampling = self._globals.get("SAMPLING", {})

    def build(self, pm):
        """Give the model, and the names of what to compare."""
        return self._globals["build"](pm)
