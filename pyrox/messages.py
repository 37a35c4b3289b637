"""Tell the user what was decided: lines of the logger ``pyrox``, which any program can silence or redirect."""

import logging
import sys

from pyrox._html import in_notebook

_logger = logging.getLogger("pyrox")


def tell(text: str) -> None:
    """Log a line that the user should see; nobody has to set up logging for that."""
    if not _logger.hasHandlers():
        # A notebook shows standard error in red, which is for what went wrong.
        _logger.addHandler(logging.StreamHandler(sys.stdout if in_notebook() else None))
    if _logger.level == logging.NOTSET:
        _logger.setLevel(logging.INFO)
    _logger.info(text)
