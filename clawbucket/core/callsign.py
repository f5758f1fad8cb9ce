"""A trooper's name and colour, both from its task id alone, so that every observer gives the same ones.

``Brave Otter``: 64 adjectives by 64 animals, 4096 names. Two of twenty troopers share one with a chance
of 4.5 % (the birthday bound); the slot and the id tell them apart.
"""

from __future__ import annotations

import colorsys
from functools import lru_cache
from hashlib import sha256

ADJECTIVES = tuple(
    (
        "Able Agile Alert Amber Ample Apt Ardent Bold Brave Breezy Bright Brisk Calm Candid Cheery Clever "
        "Cosmic Cosy Crafty Crisp Dapper Daring Deft Eager Earnest Fabled Fair Fleet Frank Gentle Gilded "
        "Glad Golden Grand Hardy Hearty Honest Humble Jolly Keen Kind Lively Loyal Lucky Lunar Merry "
        "Mighty Nimble Noble Plucky Polite Proud Quick Quiet Ready Royal Rustic Sly Solar Spry Sturdy "
        "Sunny Swift Witty"
    ).split()
)
ANIMALS = tuple(
    (
        "Badger Bat Bear Beaver Bison Bobcat Camel Cat Cheetah Cobra Condor Cougar Coyote Crab Crane Crow "
        "Deer Dingo Dolphin Eagle Falcon Ferret Finch Fox Gecko Goose Hare Hawk Heron Hornet Ibex Jackal "
        "Jaguar Koala Lark Lemur Leopard Lion Lizard Lobster Lynx Magpie Marten Mink Mole Moose Newt Otter "
        "Owl Panda Panther Pelican Puffin Puma Quail Rabbit Raven Seal Shark Stork Swan Tiger Walrus Wolf"
    ).split()
)

_REMEMBERED = 16_384
"""Task ids whose name and colour are remembered: more than a board shows, and each look asks for them."""


@lru_cache(maxsize=_REMEMBERED)
def name_of(task_id: str) -> str:
    """The trooper's callsign, as ``Brave Otter``."""
    digest = sha256(task_id.encode()).digest()
    return f"{ADJECTIVES[digest[0] % len(ADJECTIVES)]} {ANIMALS[digest[1] % len(ANIMALS)]}"


@lru_cache(maxsize=_REMEMBERED)
def color_of(task_id: str) -> str:
    """The trooper's colour as ``#rrggbb``: any hue, one saturation and lightness, so that none shouts."""
    digest = sha256(task_id.encode()).digest()
    hue = int.from_bytes(digest[2:4]) % 360
    red, green, blue = colorsys.hls_to_rgb(hue / 360, 0.5, 0.6)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
