"""Put off the collection of garbage while much is made that stays."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def without_collections() -> Iterator[None]:
    """Collect no garbage for a moment.

    Of all that tracing or an import makes little is garbage, and every collection looks at all there is.
    """
    wanted = gc.isenabled()
    try:
        gc.disable()
        yield
    finally:
        if wanted:
            gc.enable()
