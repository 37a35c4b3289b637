"""Tell the user what was decided: lines of the logger ``pyrox``, which any program can silence or redirect."""

import logging

_logger = logging.getLogger("pyrox")


def tell(text: str) -> None:
    """Log a line that the user should see; nobody has to set up logging for that."""
    if not _logger.hasHandlers():
        _logger.addHandler(logging.StreamHandler())
    if _logger.level == logging.NOTSET:
        _logger.setLevel(logging.INFO)
    _logger.info(text)
