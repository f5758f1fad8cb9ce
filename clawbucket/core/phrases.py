"""The built-in phrase book: what a trooper says while no model thinks for it. Its source is ``fallback``."""

from __future__ import annotations

from random import Random

SOURCE = "fallback"
"""The honest label of everything from this book."""
LONGEST_WORDS = 50
"""Characters of three words (CONTRACT section 1)."""

_FIRST = (
    "steady", "restless", "quiet", "electric", "patient", "stubborn", "hopeful", "rusty", "gleaming",
    "sleepless", "cheerful", "wary", "tidy", "hungry", "lucky", "solemn",
)  # fmt: skip
_SECOND = (
    "claws", "gears", "packets", "ledgers", "lanterns", "signals", "buckets", "sparks", "tides", "orders",
    "echoes", "bolts", "drums", "anchors", "kettles", "banners",
)  # fmt: skip
_THIRD = (
    "waiting", "marching", "humming", "listening", "turning", "rising", "holding", "counting", "drifting",
    "shining", "resting", "guarding", "laughing", "mending", "watching", "returning",
)  # fmt: skip
_HAIKU = (
    "Old racks hum at night\nsix small hearts beat out of step\none lease holds them all",
    "A claw in the stream\nthe bucket forgets its rain\nheartbeats fill it up",
    "Rock breaks on paper\nthe manager throws once more\nscores drift like spring snow",
    "Killed without a word\nanother wakes in my slot\nthe round still goes on",
    "Quiet lease expires\nclaws that waited count to one\na new voice gives way",
    "Packets cross the dusk\nno one compares their two clocks\neach trusts its own dawn",
)


def three_words(rng: Random) -> str:
    """Three different lowercase words, at most 50 characters."""
    return f"{rng.choice(_FIRST)} {rng.choice(_SECOND)} {rng.choice(_THIRD)}"


def haiku(rng: Random) -> str:
    """A haiku, three lines."""
    return rng.choice(_HAIKU)
