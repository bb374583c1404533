"""Find the templates, and check them before any message is due.

A site's own directory precedes the one that ships, file by file. A template is refused if it uses a variable that no
message has, cannot be read or parsed, has a subject that is not constant (a value in a Subject could inject headers),
or includes a file outside of the two directories.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from pathlib import Path

from jinja2 import FileSystemLoader, StrictUndefined, TemplateSyntaxError, nodes
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment

from stopit_core.errors import Fault

__all__ = ["SUBJECT", "check_templates", "environment", "family", "shipped_directory", "template_names"]

_SUFFIX = ".txt.j2"
SUBJECT = "Subject: "
_ATTRIBUTES = frozenset(("name", "address", "about", "first", "last", "index"))  # of an office, and of `loop`
_LEFT_ALONE = (".", "README")


def shipped_directory() -> Path:
    """Return the directory of the templates that ship: inside the installed package, or config/templates of a
    checkout."""
    installed = Path(str(resources.files("stopit_core"))) / "templates"
    return installed if installed.is_dir() else Path(__file__).resolve().parents[3] / "config" / "templates"


def template_names() -> tuple[str, ...]:
    """Return every file name that a template can have."""
    return tuple(sorted(path.name for path in shipped_directory().glob(f"*{_SUFFIX}")))


def family(template: str) -> str:
    """Return the name of the set of variables for a template: "notice", "acknowledgement", "staff-alert", or "" for a
    part (its name begins with _) that several of them include."""
    stem = template.removesuffix(_SUFFIX)
    if stem.startswith("_"):
        return ""
    if stem.startswith("ack"):
        return "acknowledgement"
    return "notice" if stem in ("notice", "firmer-notice") else "staff-alert"


def environment(site: Path | None) -> ImmutableSandboxedEnvironment:
    """Return a Jinja2 environment for the two directories, sandboxed and strict. Plain text: nothing is escaped."""
    directories = [path for path in (site, shipped_directory()) if path is not None]
    return ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(directories, followlinks=False),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        cache_size=-1,
        auto_reload=False,
    )


def check_templates(
    env: ImmutableSandboxedEnvironment, site: Path | None, variables: Mapping[str, frozenset[str]]
) -> list[Fault]:
    """Return every fault of every template. `variables`: for each family the names that its templates may use."""
    names = template_names()
    faults = list(_site_faults(site, names)) if site else []
    for name in names:
        faults += _template_faults(env, name, names, variables[family(name)])
    return faults


def _site_faults(site: Path, names: tuple[str, ...]) -> Iterator[Fault]:
    """Yield a fault for each file in the site's directory that is no template."""
    try:
        found = sorted(path.name for path in site.iterdir())
    except OSError as error:
        yield Fault(str(site), "notifier.templates", "", f"cannot be read: {error.strerror}")
        return
    for name in found:
        if name not in names and not name.startswith(_LEFT_ALONE) and not name.endswith("~"):
            yield Fault(str(site / name), "", "", f"no template has this name; {_nearest(name, names)}")


def _template_faults(
    env: ImmutableSandboxedEnvironment, name: str, names: tuple[str, ...], allowed: frozenset[str]
) -> Iterator[Fault]:
    file = name
    try:
        source, filename, _ = env.loader.get_source(env, name)  # type: ignore[union-attr]
        file = filename or name
        tree = env.parse(source, name, filename)
        env.get_template(name)  # compiled once, and cached for rendering
    except TemplateSyntaxError as error:
        yield Fault(f"{file}:{error.lineno}", "", "", f"cannot be parsed: {error.message}")
        return
    except (OSError, UnicodeDecodeError) as error:
        yield Fault(str(file), "", "", f"cannot be read as UTF-8 text: {error}")
        return
    yield from _unknown_names(file, tree, allowed)
    yield from _unknown_files(file, tree, names)
    yield from _subject_faults(file, name, tree)


def _unknown_names(file: str, tree: nodes.Template, allowed: frozenset[str]) -> Iterator[Fault]:
    unknown = find_undeclared_variables(tree) - allowed
    seen = set()
    for node in tree.find_all(nodes.Name):
        if node.name in unknown and node.name not in seen:
            seen.add(node.name)
            yield Fault(f"{file}:{node.lineno}", "", node.name, f"unknown variable; {_nearest(node.name, allowed)}")
    for part in tree.find_all(nodes.Getattr):
        if part.attr not in _ATTRIBUTES:
            yield Fault(f"{file}:{part.lineno}", "", part.attr, f"unknown part; {_nearest(part.attr, _ATTRIBUTES)}")


def _unknown_files(file: str, tree: nodes.Template, names: tuple[str, ...]) -> Iterator[Fault]:
    for node in tree.find_all((nodes.Extends, nodes.Include, nodes.Import, nodes.FromImport)):
        target = node.template  # type: ignore[attr-defined]
        if not isinstance(target, nodes.Const) or not isinstance(target.value, str):
            yield Fault(f"{file}:{node.lineno}", "", "", "the name of another template must be plain text in quotes")
        elif target.value not in names:
            advice = f"no template has this name; {_nearest(target.value, names)}"
            yield Fault(f"{file}:{node.lineno}", "", target.value, advice)


def _subject_faults(file: str, name: str, tree: nodes.Template) -> Iterator[Fault]:
    blocks = [block for block in tree.find_all(nodes.Block) if block.name == "subject"]
    for block in blocks:
        words = "".join(data.data for data in block.find_all(nodes.TemplateData)).strip()
        constant = all(isinstance(node, nodes.Output | nodes.TemplateData) for node in block.find_all(nodes.Node))
        if not constant or not words or "\n" in words:
            yield Fault(f"{file}:{block.lineno}", "", "", "the subject must be one line of words, without variables")
    if not family(name) or next(tree.find_all(nodes.Extends), None):
        return
    head = [child for node in tree.body for child in (node.nodes if isinstance(node, nodes.Output) else [node])][:3]
    first = head[0].data.lstrip() if head and isinstance(head[0], nodes.TemplateData) else ""
    if first != SUBJECT or len(head) < 2 or head[1] not in blocks:
        advice = f"must begin with `{SUBJECT}{{% block subject %}}...{{% endblock %}}`"
        yield Fault(f"{file}:1", "", "", advice)
    elif len(head) < 3 or not (isinstance(head[2], nodes.TemplateData) and head[2].data.startswith("\n")):
        # The line end of the block is trimmed, so without another one the text would become part of the subject.
        yield Fault(f"{file}:{head[1].lineno}", "", "", "an empty line and the text must follow the subject")


def _nearest(name: str, known: Iterable[str]) -> str:
    choices = sorted(known)
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"known here: {', '.join(choices)}"
