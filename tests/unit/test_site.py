"""The documents as a site: a strict build, every link of the pages works, and nothing comes from another host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
FETCHED = ("src", "href", "srcset", "action", "data")
EXTERNAL = frozenset({"www.rfc-editor.org"})
"""Hosts that pages may link to. Add another one only with a reason."""


class Page(HTMLParser):
    """The ids of a built page, its links, and the addresses that a browser fetches by itself."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.text = path.read_text("utf-8")
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.ids |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a":
            self.links += [found["href"]] if "href" in found else []
            return
        self.fetched += [value for name, value in found.items() if name in FETCHED]
        self.fetched += re.findall(r"url\(([^)]*)\)", found.get("style", ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as ./run docs builds it; a warning is an error (strict in mkdocs.yml)."""
    place = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(place)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return place


@pytest.fixture(scope="module")
def pages(site: Path) -> list[Page]:
    return [Page(path) for path in sorted(site.rglob("*.html"))]


def test_it_has_a_page_for_each_document(site: Path) -> None:
    documents = {path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    assert documents
    for document in documents:
        name = "index.html" if document.name == "README.md" else f"{document.stem}.html"
        assert (site / document.parent / name).exists(), f"no page of {document}"
    for name in ("front", "ARCHITECTURE", "CONTRIBUTING", "SECURITY", "CHANGELOG"):
        assert (site / f"{name}.html").exists()


def test_every_link_leads_somewhere(site: Path, pages: list[Page]) -> None:
    """The file exists, and the anchor in it."""
    ids = {page.path: page.ids for page in pages}
    wrong = []
    for page in pages:
        if page.path.name == "404.html":  # its links begin at the root of a web server
            continue
        for link in [*page.links, *page.fetched]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or link.startswith("data:"):
                continue
            target = (page.path.parent / unquote(parts.path)).resolve() if parts.path not in ("", ".") else page.path
            anchor = unquote(parts.fragment)
            there = target.is_file() and target.is_relative_to(site)
            if not there or (anchor and not anchor.startswith("__") and anchor not in ids.get(target, set())):
                wrong.append(f"{page.path.relative_to(site)}: {link}")
    assert not wrong


def test_links_to_other_hosts_are_few_and_well_formed(site: Path, pages: list[Page]) -> None:
    for page in pages:
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                assert parts.scheme == "https", f"{page.path.name}: {link}"
                assert parts.hostname in EXTERNAL, f"{page.path.name}: {link}"


def test_a_browser_fetches_nothing_from_another_host(site: Path, pages: list[Page]) -> None:
    """Pages and style sheets."""
    for page in pages:
        for link in page.fetched:
            parts = urlsplit(link)
            assert parts.scheme in ("", "data"), f"{page.path.name}: {link}"
            assert not parts.netloc, f"{page.path.name}: {link}"
    for sheet in site.rglob("*.css"):
        named = re.findall(r"url\(\s*['\"]?([^)'\"]*)|@import\s+['\"]?([^;'\"]*)", sheet.read_text("utf-8"))
        assert not [each for each in named if re.match(r"(https?:)?//", "".join(each))], sheet


def test_what_a_script_would_fetch_the_browser_refuses(pages: list[Page]) -> None:
    """The theme's script contains addresses of other hosts, for diagrams and very old browsers."""
    for page in pages:
        policy = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page.text)
        assert policy, page.path
        assert "default-src 'self'" in policy[1]
        assert not re.search(r"https?:|\*", policy[1])
