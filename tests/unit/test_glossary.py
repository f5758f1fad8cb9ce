from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import app
from app.glossary import LONGEST_SENTENCE, BadGlossary, Glossary, glossary, slug_of, term_of

TEMPLATES = Path(app.__file__).parent / "templates"
LEASE = {"name": "lease", "says": "A right that ends by itself."}


def used() -> set[str]:
    """The anchors of the words that the page's templates name."""
    named: set[str] = set()
    for path in TEMPLATES.glob("*.html"):
        text = path.read_text(encoding="utf-8")
        named |= set(re.findall(r'\bterm\("([^"]+)"', text)) | set(re.findall(r'data-term="([^"{]+)"', text))
    return {term_of(name).slug for name in named}


def test_every_word_of_the_page_has_its_sentence():
    """Each word that a template marks is in the file; there are enough of them to learn the page from."""
    assert len(used()) >= 25


def test_every_sentence_is_of_use():
    """Each term is on the page, or another one refers to it."""
    referred = {slug_of(name) for term in glossary().terms for name in term.see}
    assert sorted({term.slug for term in glossary().terms} - used() - referred) == []


def test_the_words_on_tiles_have_their_sentences_in_the_legend():
    """A label on a tile only names the word, so the sentence must be on the same page."""
    labels = set(re.findall(r'data-term="([^"{]+)"', (TEMPLATES / "_tile.html").read_text(encoding="utf-8")))
    legend = set(re.findall(r'\bterm\("([^"]+)"', (TEMPLATES / "_legend.html").read_text(encoding="utf-8")))
    assert labels
    assert labels <= {slug_of(name) for name in legend}


@pytest.mark.parametrize(
    "name",
    ["leader", "manager", "quorum", "slot", "task", "replica", "service", "node", "drain", "lease", "epoch",
     "fencing", "heartbeat", "suspect", "snapshot", "handoff", "in doubt", "rack", "revolt", "ARM", "round",
     "desired state", "stale", "kiosk"],
)  # fmt: skip
def test_the_terms_that_people_ask_for(name: str):
    """The terms of Swarm and of consensus that the page rests on are all explained."""
    assert term_of(name).name == name


def test_an_alias_leads_to_its_term():
    """Another name, in whatever case, is the same term; what nobody explains is refused with its name."""
    terms = Glossary([{**LEASE, "aliases": ["the right"]}])
    assert terms["The Right"] is terms["lease"]
    with pytest.raises(BadGlossary, match="no 'quorum'"):
        terms["quorum"]


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        ([{"name": "lease"}], "name and says are needed"),
        ([{**LEASE, "sees": []}], "'sees'"),
        ([{**LEASE, "aliases": "right"}], "lists of names"),
        ([{**LEASE, "name": "!"}], "no name of a term"),
        ([{**LEASE, "says": "no capital."}], "one sentence"),
        ([{**LEASE, "says": "Two. Sentences."}], "one sentence"),
        ([{**LEASE, "says": "No stop"}], "one sentence"),
        ([{**LEASE, "says": "A" * LONGEST_SENTENCE + "."}], "one sentence"),
        ([LEASE, {**LEASE, "name": "Lease"}], "'Lease' twice"),
        ([LEASE, {**LEASE, "name": "right", "aliases": ["lease"]}], "'lease' twice"),
        ([{**LEASE, "see": ["quorum"]}], "no 'quorum'"),
        ([{**LEASE, "see": ["lease"]}], "no other term's own name"),
    ],
)
def test_a_bad_glossary_is_refused(entries: list[dict[str, Any]], complaint: str):
    """What is wrong is told with the term that it is wrong in."""
    with pytest.raises(BadGlossary, match=re.escape(complaint)):
        Glossary(entries)
