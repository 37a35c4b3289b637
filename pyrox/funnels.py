"""Funnels: the quantity that rules the spread of others, and how to write the model without it."""

from dataclasses import dataclass

import numpy as np

from pyrox.labelled import LabelledDraws, join_words
from pyrox.separation import rotation_scores

LINKED = 5.0  # standard errors from which two quantities are said to go together
_MAX_RULERS, _MAX_EXAMINED, _NAMED = 5, 200, 3


@dataclass(frozen=True)
class Ruler:
    """A quantity that rules the spread of other variables, as the scale of a hierarchy does."""

    name: str
    index: tuple[int, ...]
    label: str
    narrow: int  # 1 if the others spread least where it is high, -1 where it is low
    ruled: tuple[str, ...]
    sampled: bool  # not computed from others

    @property
    def others(self) -> str:
        return join_words(list(self.ruled))

    @property
    def end(self) -> str:
        return "high" if self.narrow > 0 else "low"


def find_ruler(draws: LabelledDraws, candidates: list) -> Ruler | None:
    """Find, of the first few candidates, the one that rules the spread of most others that the sampler moves."""
    best, most = None, 0
    moved = {name: x for name, x in draws.values.items() if name not in draws.derived}
    # Of a scale and its logarithm both rule alike: the sampled one is named.
    for _, name, index in sorted(candidates[:_MAX_RULERS], key=lambda candidate: candidate[1] in draws.derived):
        x = draws.element(name, index)
        ranks = np.argsort(np.argsort(x, axis=None)).reshape(x.shape) / x.size
        some = {n: v.reshape(*v.shape[:2], -1)[..., :_MAX_EXAMINED] for n, v in moved.items() if n != name}
        links = {n: rotation_scores(values, ranks)[..., 1] for n, values in some.items()}
        for narrow in (-1, 1):
            # A scale spreads what is drawn with it; in products with it, what spreads least where it is high is not.
            may = {n: z for n, z in links.items() if narrow > 0 or draws.may_rule(name, n)}
            counts = {n: int(np.sum(-narrow * z > LINKED)) for n, z in may.items()}
            ruled = sorted((n for n, count in counts.items() if count), key=lambda n: -counts[n])
            if sum(counts.values()) > most:
                sampled = name not in draws.derived
                best = Ruler(name, index, draws.label(name, index), narrow, tuple(ruled[:_NAMED]), sampled)
                most = sum(counts.values())
    return best


def word_funnel(ruler: Ruler, x: np.ndarray, diverging: np.ndarray) -> tuple[str, str]:
    """Say where divergences gather, and what helps."""
    there, elsewhere = np.median(x[diverging]), np.median(x[~diverging])
    where = (
        f"They gather at {ruler.end} values of {ruler.label} (median {there:.3g}, of the other draws {elsewhere:.3g}), "
        f"where {ruler.others} spread{'s' if len(ruler.ruled) == 1 else ''} least: a funnel."
    )
    return where, advise_centring(ruler, x)


def advise_centring(ruler: Ruler, x: np.ndarray) -> str:
    """Say how to write the model so that nothing rules the spread of others."""
    label, others = ruler.label, ruler.others
    one_word = f"Non-centre that hierarchy: px.noncenter(model, {list(ruler.ruled)})"
    if ruler.narrow > 0:
        advice = (
            f"That is what a non-centred hierarchy looks like where data are rich: if {label} multiplies {others}, "
            f"centre it, and give their product its own distribution with the scale {label}."
        )
    elif np.all(x > 0):
        advice = f"{one_word}, or write {others} as location + {label} * z, with z ~ Normal(0, 1)."
    else:
        advice = (
            f"{one_word}, or write {others} as location + scale * z, with z ~ Normal(0, 1) and the scale that {label} "
            "sets."
        )
    if ruler.sampled:
        return f"{advice} Or give {label} a prior with less mass at {ruler.end} values."
    return f"{advice} Or choose priors under which {label} has less mass at {ruler.end} values."
