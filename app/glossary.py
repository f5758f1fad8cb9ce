"""The words of the page, each with one sentence: read once from glossary.toml, and shown at ``/glossary``."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, render_template

from app.services import Services

FILE = Path(__file__).with_name("glossary.toml")
LONGEST_SENTENCE = 160
"""Characters of a definition: three lines of a tooltip."""
_FIELDS = {"name", "says", "aliases", "see"}
_SENTENCE = re.compile(r"[A-Z].*[^.]\.")


class BadGlossary(ValueError):  # noqa: N818 - it names the thing, not the act
    """The file is no glossary; the text says which term is wrong and how."""


@dataclass(frozen=True, slots=True)
class Term:
    """A word, what it means in one sentence, its other names, and the terms that it rests on."""

    name: str
    says: str
    aliases: tuple[str, ...] = ()
    see: tuple[str, ...] = ()

    @property
    def slug(self) -> str:
        """Its anchor on the glossary page."""
        return slug_of(self.name)


def slug_of(name: str) -> str:
    """``desired state`` -> ``desired-state``."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


class Glossary:
    """All terms by name. BadGlossary unless each is whole, has its names alone, and sees terms that exist."""

    def __init__(self, entries: Iterable[Mapping[str, Any]]) -> None:
        self.terms = tuple(sorted(map(_term, entries), key=lambda term: term.name.lower()))
        self._by_slug: dict[str, Term] = {}
        for term in self.terms:
            for name in (term.name, *term.aliases):
                if slug_of(name) in self._by_slug:
                    raise BadGlossary(f"the glossary has {name!r} twice")
                self._by_slug[slug_of(name)] = term
        for term in self.terms:
            for name in term.see:
                if self[name].name != name or name == term.name:
                    raise BadGlossary(f"{term.name!r} sees {name!r}, which is no other term's own name")

    def __getitem__(self, name: str) -> Term:
        """The term of that name, alias or anchor. BadGlossary when there is none."""
        try:
            return self._by_slug[slug_of(name)]
        except KeyError:
            raise BadGlossary(f"the glossary has no {name!r}") from None


def _term(entry: Mapping[str, Any]) -> Term:
    unknown = set(entry) - _FIELDS
    if unknown or not {"name", "says"} <= set(entry):
        raise BadGlossary(
            f"a term has {sorted(_FIELDS)}, of which name and says are needed, not {dict(entry)}"
        )
    lists = [entry.get(key, []) for key in ("aliases", "see")]
    if not all(isinstance(one, list) and all(isinstance(name, str) for name in one) for one in lists):
        raise BadGlossary(f"aliases and see of {entry['name']!r} are lists of names")
    name, says = str(entry["name"]), str(entry["says"])
    if not slug_of(name):
        raise BadGlossary(f"{name!r} is no name of a term")
    if len(says) > LONGEST_SENTENCE or not _SENTENCE.fullmatch(says) or ". " in says:
        raise BadGlossary(
            f"{name!r} says {says!r}; it takes one sentence of at most {LONGEST_SENTENCE} letters"
        )
    return Term(name, says, tuple(lists[0]), tuple(lists[1]))


@cache
def glossary() -> Glossary:
    """The page's. Read and checked once a process."""
    return Glossary(tomllib.loads(FILE.read_text(encoding="utf-8")).get("term", ()))


def term_of(name: str) -> Term:
    """What templates call ``glossary_term``: a page that uses a word which has no sentence is not drawn."""
    return glossary()[name]


def blueprint(services: Services) -> Blueprint:
    """``GET /glossary``."""
    routes = Blueprint("glossary", __name__)

    @routes.get("/glossary")
    def page() -> Response:
        label = services.settings.label
        html = render_template("glossary.html", terms=glossary().terms, of=term_of, label=label)
        return Response(html, mimetype="text/html")

    return routes
