"""Adds files outside docs/ to the site, and the pages of whole folders to its navigation.

A document links to a file by its path in the repository, so the link works there. In the site the same link leads to
a copy: a page for a Markdown file, the file itself otherwise. Only files that are linked to are added, and the files
that these link to. README.md becomes front.html, because index.md is the first page of the site. A link to a folder,
or out of the repository, fails the build. An image may also be `<img src="...">`, with `src` first.

A folder in the navigation (`adr/`) stands for all its pages, README.md first.

MkDocs calls `on_config`, `on_files` and `on_page_markdown` (hooks in mkdocs.yml).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

_LINK = re.compile(
    r"""(?:(?<=\]\()|(?<=<img[ ]src="))  # [text](link), or <img src="link"
        (?!https?:|mailto:|\#)([^)\#\s"]+)(\#[^)\s"]*)?(?=[)"])""",
    re.X,
)
_FENCE = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.M | re.S)
_OWN = "docs/"
_NAMES = {"README.md": "front.md"}
_AS_TEXT = frozenset({".snippet", ".mc", ".toml", ".service", ".conf", ".py", ".j2", ".yml"})
"""Suffixes of files that web servers would offer for download; with .txt appended, a browser shows them."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of a folder in its place in the navigation."""
    config.nav = [_filled(entry, Path(config.docs_dir)) for entry in config.nav or []]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files that the documents link to and that the navigation names."""
    root = _root(config)
    waiting = [_OWN + file.src_uri for file in files.documentation_pages()]
    waiting += [path for path in _NAMES if (root / path).exists()]
    seen = set(waiting)
    while waiting:
        path = waiting.pop()
        if not path.startswith(_OWN):
            _add(files, config, root, path)
        if path.endswith(".md"):
            found = {_target(path, link) for link, _ in _links((root / path).read_text("utf-8"))}
            waiting += sorted(found - seen)
            seen |= found
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001
    """Turn links between the two trees into links inside the site."""
    if page.file.src_uri == _NAMES["README.md"]:
        page.meta["hide"] = ["navigation", "toc"]  # its image needs the whole width
    here = _source(page.file.src_uri, _root(config))
    at = posixpath.dirname(page.file.src_uri)

    def turned(match: re.Match[str]) -> str:
        inside = _inside(_target(here, match[1]))
        return posixpath.relpath(inside, at or ".") + (match[2] or "")

    return _outside_fences(markdown, lambda text: _LINK.sub(turned, text))


def _filled(entry: object, docs: Path) -> object:
    match entry:
        case dict():
            return {title: _filled(under, docs) for title, under in entry.items()}
        case list():
            return [_filled(each, docs) for each in entry]
        case str() if entry.endswith("/"):
            pages = sorted((docs / entry).glob("*.md"), key=lambda path: (path.name != "README.md", path.name))
            return [path.relative_to(docs).as_posix() for path in pages]
        case _:
            return entry


def _add(files: Files, config: MkDocsConfig, root: Path, path: str) -> None:
    if not (root / path).is_file():
        raise PluginError(f"a document links to {path}, which is not a file of the repository")
    file = File.generated(config, _inside(path), content=(root / path).read_bytes())
    if path.endswith(".md"):
        file = File.generated(config, _inside(path), content=(root / path).read_text("utf-8"))
    files.append(file)


def _links(text: str) -> list[tuple[str, str]]:
    return _LINK.findall(_FENCE.sub("", text))


def _target(document: str, link: str) -> str:
    """Return the file that a link in `document` leads to; both paths begin at the root of the repository."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(document), link))
    if path.startswith(".."):
        raise PluginError(f"{document} links out of the repository: {link}")
    return path


def _inside(path: str) -> str:
    """Return the path in the site of a file of the repository."""
    if path.startswith(_OWN):
        return path.removeprefix(_OWN)
    name = _NAMES.get(path, path)
    return f"{name}.txt" if PurePosixPath(name).suffix in _AS_TEXT else name


def _source(uri: str, root: Path) -> str:
    """Return the path in the repository of a page of the site."""
    names = {inside: path for path, inside in _NAMES.items()}
    own = _OWN + uri
    return names.get(uri) or (own if (root / own).exists() else uri)


def _outside_fences(markdown: str, change: Callable[[str], str]) -> str:
    """Return the text with `change` applied everywhere except in fenced blocks."""
    parts, at = [], 0
    for fence in _FENCE.finditer(markdown):
        parts += [change(markdown[at : fence.start()]), fence[0]]
        at = fence.end()
    return "".join([*parts, change(markdown[at:])])


def _root(config: MkDocsConfig) -> Path:
    return Path(config.config_file_path).parent
