"""The fits of costs over sizes, on costs that are made up and therefore known."""

from __future__ import annotations

import pytest

from bench.fits import fit, stepped, where

SIZES = (10, 100, 1_000, 5_000)


def test_a_straight_line_is_found_as_it_is():
    """Start, slope, R² of 1 and no residual."""
    found = fit(SIZES, [7 + 3 * n for n in SIZES])
    assert [found.start, found.each, found.r2, found.worst] == pytest.approx([7, 3, 1, 0], abs=1e-9)
    assert found.shape == "n"
    assert found.at(100_000) == pytest.approx(300_007)


def test_the_small_rack_counts_as_much_as_the_large_one():
    """A tenth more at the largest does not throw the start off, as a plain fit would."""
    costs = [100 + n for n in SIZES[:-1]] + [1.1 * 5_100]
    assert fit(SIZES, costs).start == pytest.approx(100, rel=0.1)


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_a_square_is_told_from_a_line(scale):
    """By its residuals and by its exponent, in whatever unit it is measured."""
    found = fit(SIZES, [scale * n * n for n in SIZES])
    assert found.shape == "n²"
    assert found.exponent == pytest.approx(2)
    assert found.at(20_000) == pytest.approx(scale * 4e8)


def test_noise_is_not_taken_for_a_curve():
    """Five percent either way leave a line a line, and the worst residual says so."""
    found = fit(SIZES, [1.05 * 10, 0.95 * 100, 1.05 * 1_000, 0.95 * 5_000])
    assert found.shape == "n"
    assert 0.03 < found.worst < 0.1
    assert found.r2 < 1


def test_what_does_not_grow_has_no_slope():
    """And an exponent of nothing."""
    found = fit(SIZES, [20.0] * 4)
    assert [found.start, found.each, found.exponent] == pytest.approx([20, 0, 0], abs=1e-9)


def test_what_is_nothing_everywhere_is_fitted_as_nothing():
    """Without dividing by it."""
    assert fit(SIZES, [0.0] * 4).at(9_999) == 0.0


def test_a_step_has_a_line_on_either_side():
    """Each is followed on its own side only."""
    found = stepped(SIZES, [10 * n if n < 450 else n for n in SIZES], 450)
    assert [found.at(n) for n in (20, 449, 450, 10_000)] == pytest.approx([200, 4_490, 450, 10_000])


def test_two_sizes_are_too_few():
    """The sentence says how many it takes."""
    with pytest.raises(ValueError, match="at least 3 sizes"):
        fit((10, 100), (1.0, 2.0))


def test_a_bound_is_met_where_it_is_met_first():
    """Also where the cost falls again behind that."""
    assert where(lambda n: 2 * n, 500) == pytest.approx(250, rel=1e-6)
    assert where(lambda n: 10 * n if n < 450 else n, 2_000) == pytest.approx(200, rel=1e-6)
    assert where(lambda _n: 1.0, 2.0) == 1e7
