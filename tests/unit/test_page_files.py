"""The page's own files: the same bytes in two encodings, each with a tag, read anew when they change."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import pytest

from app.assets import JOINED, MODULES, STATIC, Asset, assets, takes_gzip

GZIP = {"HTTP_ACCEPT_ENCODING": "gzip, deflate, br"}
PLAIN: dict[str, str] = {}


def answered(asset: Asset, environ: dict[str, str]) -> tuple[str, dict[str, str], bytes]:
    """Status, headers by name, body."""
    plain = asset.plain(environ)
    assert plain is not None
    status, headers, body = plain
    assert len(dict(headers)) == len(headers)
    return status[:3], dict(headers), body


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    """A stylesheet that somebody may edit."""
    path = tmp_path / "some.css"
    path.write_text("a { color: red }\n" * 50, encoding="utf-8")
    return path


def test_both_encodings_say_the_same(sheet: Path):
    """Who takes gzip has it, with its own tag; a cache between must keep the two apart."""
    asset = Asset([sheet])
    (_, plain, body), (_, packed, squeezed) = answered(asset, PLAIN), answered(asset, GZIP)
    assert gzip.decompress(squeezed) == body == sheet.read_bytes()
    assert len(squeezed) < len(body) / 4
    assert plain["ETag"] != packed["ETag"]
    assert packed["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain
    for headers in (plain, packed):
        assert headers["Vary"] == "Accept-Encoding"
        assert headers["Content-Type"] == "text/css; charset=utf-8"
        assert headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("environ", [PLAIN, GZIP])
def test_who_has_it_is_told_so(sheet: Path, environ: dict[str, str]):
    """304 without a body for the tag of that encoding, and not for the other's."""
    asset = Asset([sheet])
    other = answered(asset, GZIP if environ is PLAIN else PLAIN)[1]["ETag"]
    own = answered(asset, environ)[1]["ETag"]
    assert answered(asset, {**environ, "HTTP_IF_NONE_MATCH": own})[::2] == ("304", b"")
    assert answered(asset, {**environ, "HTTP_IF_NONE_MATCH": other})[0] == "200"


def test_an_edited_file_is_read_anew(sheet: Path):
    """Whoever edits a file sees it at the next reload; one that is gone is left to Flask, which says so."""
    asset = Asset([sheet])
    before = answered(asset, GZIP)[1]["ETag"]
    sheet.write_text("b { color: blue }\n", encoding="utf-8")
    os.utime(sheet, ns=(1, 1))
    status, headers, body = answered(asset, {**GZIP, "HTTP_IF_NONE_MATCH": before})
    assert (status, gzip.decompress(body)) == ("200", sheet.read_bytes())
    assert headers["ETag"] != before
    sheet.unlink()
    assert asset.plain(GZIP) is None


def test_joined_files_are_their_parts_in_order():
    """Every stylesheet is in the page's one, in the order of the cascade, and each script in one."""
    ready: dict[str, Any] = assets()
    for name, parts in JOINED.items():
        body = answered(ready[f"/static/{name}"], PLAIN)[2]
        assert body == b"\n".join((STATIC / part).read_bytes() for part in parts)
    sheets = {f"css/{path.name}" for path in (STATIC / "css").iterdir()}
    assert sheets <= set(JOINED["css/page.css"])


def test_every_module_is_fetched_at_once():
    """What any of them imports is among those that the page names."""
    assert "main.js" in MODULES
    for name in MODULES:
        text = (STATIC / name).read_text(encoding="utf-8")
        imported = {part.split('"')[0] for part in text.split('from "./')[1:] + text.split('import "./')[1:]}
        assert imported <= set(MODULES), name


@pytest.mark.parametrize(
    ("accepted", "takes"),
    [
        ("", False), ("gzip", True), ("GZIP;q=1.0", True), ("br, gzip;q=0.5", True), ("gzip;q=0", False),
        ("identity", False), ("br", False), ("x-gzip-like", False), ("gzip; q=0.000", False), (",,;", False),
    ],
)  # fmt: skip
def test_who_takes_gzip(accepted: str, takes: bool):
    """As a browser or anybody asks for it (RFC 9110 section 12.5.3)."""
    assert takes_gzip(accepted) is takes
