"""Giving a lease up: whoever does so leads no more from the moment before the bus can hear of it."""

from __future__ import annotations

import pytest

from clawbucket.core.election import Candidacy
from clawbucket.core.records import Lease

ME, BETTER = "b2", "a1"
ORDER = (BETTER, ME)


def leading() -> Candidacy:
    """A candidacy that leads, though another one is preferred and does not beat yet."""
    candidacy = Candidacy(ME)
    candidacy.see(Lease(BETTER, 5, 1, released=True), 0.0)
    bid = candidacy.decide(1.0, 100, ORDER, {})
    assert bid is not None
    candidacy.confirmed({}, 1.0)
    candidacy.see(bid.lease, 1.05)
    assert candidacy.leads(1.05) == bid.lease.epoch
    return candidacy


def give_up(candidacy: Candidacy, why: str) -> None:
    """Have it decide to give up: for one that is preferred, or since it is no candidate any more."""
    order, beats = (ORDER, {BETTER: 1}) if why == "handed over" else ((BETTER,), {})
    bid = candidacy.decide(1.1, 200, order, beats)
    assert bid is not None
    assert bid.lease.released


@pytest.mark.parametrize("why", ["handed over", "no candidate"])
def test_it_leads_no_more_before_the_request_leaves(why):
    """The next one may be confirmed while the answer is still on its way."""
    candidacy = leading()
    give_up(candidacy, why)
    assert candidacy.leads(1.1) is None


@pytest.mark.parametrize("why", ["handed over", "no candidate"])
@pytest.mark.parametrize("how", ["in_doubt", "refused"])
def test_it_does_not_lead_on_when_nobody_knows_whether_that_was_stored(why, how):
    """An answer that is lost may mean that another one leads already."""
    candidacy = leading()
    give_up(candidacy, why)
    getattr(candidacy, how)()
    assert candidacy.leads(1.2) is None


def test_a_lease_that_was_not_given_up_after_all_is_taken_anew_with_care():
    """It reads that it still holds it: a new epoch, and probation before it leads."""
    candidacy = leading()
    lease = Lease(ME, 100, 0)
    give_up(candidacy, "handed over")
    candidacy.in_doubt()
    candidacy.see(lease, 1.3)
    bid = candidacy.decide(1.3, 300, (ME,), {})
    assert bid is not None
    assert (bid.lease.epoch > lease.epoch, bid.lease.released) == (True, False)
    candidacy.confirmed({}, 1.3)
    assert candidacy.leads(1.3) is None
