"""What a trooper's agent counts, as Prometheus families."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from clawbucket.loops.mind import Mind
from clawbucket.loops.thinker import BUCKETS, Thinker

_BOUNDS = (*(f"{bound:g}" for bound in BUCKETS), "+Inf")


class AgentMetrics:
    """Turns, outcomes, seconds, tokens, what is under way, and how often the phrase book had to speak."""

    def __init__(self, thinker: Thinker, mind: Mind) -> None:
        self._thinker, self._mind = thinker, mind

    def __call__(self) -> Iterator[Metric]:
        """The families as they are now."""
        tally = self._thinker.tally
        turns = CounterMetricFamily(
            "clawbucket_agent_turns",
            "Turns, by what for, what was asked (picoclaw: the agent, ollama: the model alone) and outcome",
            labels=["purpose", "source", "outcome"],
        )
        for key, count in sorted(tally.turns.items()):
            turns.add_metric(key, count)
        yield turns
        seconds = HistogramMetricFamily(
            "clawbucket_agent_turn_seconds", "Seconds of a turn, by what was asked", labels=["source"]
        )
        for source, counts in sorted(tally.latency.items()):
            buckets = list(zip(_BOUNDS, map(float, accumulate(counts)), strict=True))
            seconds.add_metric([source], buckets, tally.seconds[source])
        yield seconds
        tokens = CounterMetricFamily(
            "clawbucket_agent_tokens", "Tokens as the model's server counted them", labels=["kind"]
        )
        for kind, count in sorted(tally.tokens.items()):
            tokens.add_metric([kind], count)
        yield tokens
        yield CounterMetricFamily("clawbucket_agent_thoughts", "Words and haiku thought of", tally.thoughts)
        yield CounterMetricFamily(
            "clawbucket_agent_fallbacks", "Of these, those that are the phrase book's", tally.fallbacks
        )
        yield GaugeMetricFamily(
            "clawbucket_agent_fallback_ratio",
            "Fallbacks by thoughts; 0 before the first",
            tally.fallbacks / tally.thoughts if tally.thoughts else 0.0,
        )
        yield GaugeMetricFamily("clawbucket_agent_in_flight", "Thoughts under way", int(self._mind.busy))
