"""Names and expressions of models in LaTeX."""

import re
from collections.abc import Collection

_GREEK = {
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
    "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi",
    "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega",
}  # fmt: skip
_SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"}
_SPECIAL |= {"~": r"\textasciitilde ", "^": r"\textasciicircum ", "\\": r"\backslash "}
_NAME = re.compile(r"([A-Za-z]+?)(?:_?(\d+)|_([A-Za-z0-9]+))?")
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?|-?inf")


def text(words: str) -> str:
    """Write words inside a formula."""
    return f"\\text{{{''.join(_SPECIAL.get(c, c) for c in words)}}}"


def name(word: str) -> str:
    """Write the name of a variable: Greek letters as such, with an index where it has one, other names as words."""
    found = _NAME.fullmatch(word)
    base, index = (found[1], found[2] or found[3]) if found else (word, None)
    if base not in _GREEK and len(base) > 1:
        return text(word)
    return _letter(base) + (f"_{{{_letter(index)}}}" if index else "")


def _letter(word: str) -> str:
    if word in _GREEK:
        return f"\\{word}"
    return word if len(word) == 1 or word.isdigit() else text(word)


def expression(words: str, names: Collection[str]) -> str:
    """Write a parameter: a variable, a function of variables, a number, or a description."""
    if words in names:
        return name(words)
    if words.startswith("f(") and all(part in names for part in words[2:-1].split(", ")):
        return f"f({', '.join(name(part) for part in words[2:-1].split(', '))})"
    if _NUMBER.fullmatch(words):
        mantissa, _, exponent = words.replace("inf", "\\infty").partition("e")
        return mantissa + (f" \\cdot 10^{{{int(exponent)}}}" if exponent else "")
    return text(words)


def operator(word: str) -> str:
    """Write the name of a distribution."""
    return f"\\operatorname{{{''.join(_SPECIAL.get(c, c) for c in word)}}}"
