"""How a cost grows with the number of troopers: a straight line by least squares, and what speaks against it.

The sizes span three orders of magnitude, and so do the costs. Residuals are therefore taken as shares of what
was measured (weights 1/y²): a plain fit would be one of the largest rack alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf, log, sqrt

SHAPES: dict[str, Callable[[float], float]] = {
    "n": lambda n: n,
    "n·log n": lambda n: n * log(n) if n > 1 else 0.0,
    "n²": lambda n: n * n,
}
"""What is tried. The first is taken unless another leaves a third of its residuals or less."""
MUCH_BETTER = 3.0


@dataclass(frozen=True, slots=True)
class Fit:
    """``cost = start + each · shape(n)``.

    ``r2``: the share of the costs' variance that the line explains. ``worst``: the largest residual as a
    share of what was measured. ``exponent``: the slope of the costs over the sizes, both as logarithms, from
    the hundred troopers on where a rack's own cost no longer hides it; 0 for one that does not grow, 1 for
    one that grows as they do. ``residuals`` by shape: the root of the mean square, as shares. From the size
    ``step`` on, where there is one, ``above`` holds instead.
    """

    start: float
    each: float
    shape: str
    r2: float
    worst: float
    exponent: float
    residuals: dict[str, float]
    step: float = inf
    above: Fit | None = None

    def at(self, size: float) -> float:
        """What a rack of that size costs by it."""
        if self.above is not None and size >= self.step:
            return self.above.at(size)
        return self.start + self.each * SHAPES[self.shape](size)

    def limit(self, most: float) -> float:
        """The size at which the cost reaches ``most``."""
        return where(self.at, most)


def where(cost: Callable[[float], float], most: float, largest: float = 1e7) -> float:
    """The smallest size at which the cost reaches ``most``; ``largest`` where it does not sooner."""
    low = high = 1.0
    while cost(high) < most:
        if high >= largest:
            return largest
        low, high = high, high * 1.02
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if cost(middle) < most else (low, middle)
    return high


def stepped(sizes: Sequence[float], costs: Sequence[float], step: float) -> Fit:
    """A line below ``step`` and another from it on. One line where either side has fewer than two sizes."""
    pairs = list(zip(sizes, costs, strict=True))
    below, above = [p for p in pairs if p[0] < step], [p for p in pairs if p[0] >= step]
    if len(below) < 2 or len(above) < 2:
        return fit(sizes, costs)
    lines = [_line([n for n, _ in side], [y for _, y in side]) for side in (below, above)]
    upper = Fit(*lines[1], "n", 1.0, 0.0, 1.0, {})
    lower = Fit(*lines[0], "n", 1.0, 0.0, 1.0, {}, step, upper)
    fitted = [lower.at(n) for n in sizes]
    return replace(
        lower,
        r2=_explained(fitted, costs),
        worst=max(map(abs, _shares(fitted, costs))),
        exponent=_exponent(sizes, costs),
    )


def fit(sizes: Sequence[float], costs: Sequence[float]) -> Fit:
    """The line through the costs. ValueError for fewer than three sizes."""
    if len(sizes) != len(costs) or len(set(sizes)) < 3:
        raise ValueError(f"a fit takes at least 3 sizes with a cost each, not {len(set(sizes))}")
    lines = {name: _line([shape(n) for n in sizes], costs) for name, shape in SHAPES.items()}
    residuals = {
        name: _spread([start + each * SHAPES[name](n) for n in sizes], costs)
        for name, (start, each) in lines.items()
    }
    best = min(residuals, key=lambda name: residuals[name])
    shape = best if residuals["n"] > MUCH_BETTER * residuals[best] and residuals["n"] > 0.1 else "n"
    start, each = lines[shape]
    fitted = [start + each * SHAPES[shape](n) for n in sizes]
    return Fit(
        start=start,
        each=each,
        shape=shape,
        r2=_explained(fitted, costs),
        worst=max(map(abs, _shares(fitted, costs))),
        exponent=_exponent(sizes, costs),
        residuals=residuals,
    )


def _line(xs: Sequence[float], ys: Sequence[float]) -> tuple[float, float]:
    """Start and slope with the least squares of relative residuals."""
    weights = [1 / _at_least(y, ys) ** 2 for y in ys]
    total = sum(weights)
    mean_x = sum(w * x for w, x in zip(weights, xs, strict=True)) / total
    mean_y = sum(w * y for w, y in zip(weights, ys, strict=True)) / total
    across = sum(w * (x - mean_x) ** 2 for w, x in zip(weights, xs, strict=True))
    along = sum(w * (x - mean_x) * (y - mean_y) for w, x, y in zip(weights, xs, ys, strict=True))
    each = along / across if across else 0.0
    return mean_y - each * mean_x, each


def _at_least(cost: float, costs: Sequence[float]) -> float:
    """A cost, or a hundredth of the largest: what is next to nothing is noise, and must not weigh that much.

    The kernel counts processor time by hundredths of a second: a whole small rack may take two of them.
    """
    return max(abs(cost), max(map(abs, costs)) / 100) or 1.0


def _shares(fitted: Sequence[float], costs: Sequence[float]) -> list[float]:
    return [(f - y) / _at_least(y, costs) for f, y in zip(fitted, costs, strict=True)]


def _spread(fitted: Sequence[float], costs: Sequence[float]) -> float:
    return sqrt(sum(share**2 for share in _shares(fitted, costs)) / len(costs))


def _explained(fitted: Sequence[float], costs: Sequence[float]) -> float:
    mean = sum(costs) / len(costs)
    whole = sum((y - mean) ** 2 for y in costs)
    return 1.0 if not whole else 1 - sum((y - f) ** 2 for f, y in zip(fitted, costs, strict=True)) / whole


def _exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    pairs = [(log(n), log(y)) for n, y in zip(sizes, costs, strict=True) if y > 0 and n >= 100]
    if len(pairs) < 2:
        return 0.0
    mean_x, mean_y = (sum(pair[i] for pair in pairs) / len(pairs) for i in (0, 1))
    across = sum((x - mean_x) ** 2 for x, _ in pairs)
    return sum((x - mean_x) * (y - mean_y) for x, y in pairs) / across if across else 0.0
