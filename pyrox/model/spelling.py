"""Names of dims that are probably misspelt."""

import difflib
import re
from collections.abc import Iterable

_NEAR = 0.75
_LETTERS = 4  # words of fewer are names of their own, as are numbers: x1 and x2, group_a and group_b


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Give the one of some names that another one is most like, if any.

    Examples
    --------
    >>> nearest("shcool", ["year", "school"])
    'school'
    """
    found = difflib.get_close_matches(str(name), list(known), n=1, cutoff=_NEAR)
    return found[0] if found else None


def looks_misspelt(name: str, other: str) -> bool:
    """Tell whether a name is another one but for its spelling: word by word, where words that differ are long enough.

    Examples
    --------
    >>> looks_misspelt("shcool", "school"), looks_misspelt("home_taem", "home_team")
    (True, True)
    >>> looks_misspelt("school2", "school"), looks_misspelt("train_obs", "test_obs"), looks_misspelt("row", "col")
    (False, False, False)
    """
    words, others = (re.findall(r"\d+|[^\W\d_]+", x.lower()) for x in (name, other))
    if len(words) != len(others):
        return False
    differing = [(a, b) for a, b in zip(words, others, strict=True) if a != b]
    return all(
        min(len(a), len(b)) >= _LETTERS and not (a + b).isdigit() and nearest(a, [b]) is not None for a, b in differing
    )
