"""The manual pages of the Debian package: each program's from its help, the configuration's from its definitions.

    python -m stopit_lab.manual DIRECTORY

So a page cannot say other than what the program says. The format is man(7). It stands here, because only the lab may
import all programs.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from inspect import cleandoc
from pathlib import Path

import click

from stopit_core import __version__, config
from stopit_ctl.__main__ import command_line
from stopit_milter import __main__ as milter
from stopit_notifier import __main__ as notifier

__all__ = ["pages"]

_FILES = {
    "/etc/stopit/stopit.toml": "The configuration; see stopit.toml(5).",
    "/etc/stopit/site.key": "The site's key. Without it no trace and no reply address can be read: keep a copy.",
    "/var/lib/stopit": "Queue, ledger and spool, where they are files.",
    "/var/lib/stopit-notifier": "The case record, where it is a file.",
}
_CONFIGURATION = [
    "One file in TOML, /etc/stopit/stopit.toml, for the milter, the notifier and stopitctl. Each key is shown with"
    ' what holds when nothing is written; times are a number and a unit: "30s", "15m", "12h", "14d".',
    "`stopitctl init DOMAIN` writes the file, `stopitctl check` names every fault in it at once, and SIGHUP"
    " (systemctl reload) makes the daemons read it again. A faulty file leaves the old one in force; a daemon that is"
    " started with one ends with code 78, and systemd does not start it again by itself.",
]
_PROGRAMS = ("stopitctl(8)", "stopit-milter(8)", "stopit-notifier(8)", "stopit.toml(5)")


def pages(epoch: float) -> Mapping[str, str]:
    """Each page's text, by the name of its file. `epoch`: its date, in seconds."""
    day = time.strftime("%Y-%m-%d", time.gmtime(epoch))
    made = {
        "stopitctl.8": _of_tool(command_line()),
        "stopit-milter.8": _of_daemon(milter.command, milter.__doc__ or ""),
        "stopit-notifier.8": _of_daemon(notifier.command, notifier.__doc__ or ""),
        "stopit.toml.5": _of_configuration(),
    }
    return {name: "\n".join([*_head(name, day), *lines, *_foot(name)]) + "\n" for name, lines in made.items()}


def _head(name: str, day: str) -> Iterator[str]:
    title, _, section = name.rpartition(".")
    yield f'.TH "{title.upper()}" "{section}" "{day}" "Stopit {__version__}" "Stopit"'


def _foot(name: str) -> Iterator[str]:
    yield ".SH FILES"
    for path, about in _FILES.items():
        yield from (".TP", f".I {_plain(path)}", _plain(about))
    title, _, section = name.rpartition(".")
    yield from (".SH SEE ALSO", ".PP", _plain(", ".join(page for page in _PROGRAMS if page != f"{title}({section})")))
    yield ".PP"
    yield r"The documents in \fI/usr/share/doc/stopit\fR."


def _of_tool(group: click.Group) -> Iterator[str]:
    context = click.Context(group, info_name="stopitctl")
    first, rest = _paragraphs(group.help or "")[0], _paragraphs(group.help or "")[1:]
    yield from (".SH NAME", rf"stopitctl \- {_plain(_as_name(first))}")
    yield from (".SH SYNOPSIS", rf"\fB{_plain(context.command_path)}\fR {_plain(_usage(group, context))}")
    yield from (".SH DESCRIPTION", *_prose([first, *rest]))
    yield from (".SH OPTIONS", *_options(group, context))
    yield ".SH COMMANDS"
    yield from _commands(group, context)


def _commands(group: click.Group, context: click.Context) -> Iterator[str]:
    for name, command in group.commands.items():
        inner = click.Context(command, info_name=name, parent=context)
        yield f'.SS "{_plain(inner.command_path)} {_plain(_usage(command, inner))}"'
        yield from _prose(_paragraphs(command.help or ""))
        yield from _options(command, inner)
        if isinstance(command, click.Group):
            yield from _commands(command, inner)


def _of_daemon(command: click.Command, theory: str) -> Iterator[str]:
    name = command.name or ""
    context = click.Context(command, info_name=name)
    yield from (".SH NAME", rf"{_plain(name)} \- {_plain(_as_name(command.help or ''))}")
    yield from (".SH SYNOPSIS", rf"\fB{_plain(name)}\fR {_plain(_usage(command, context))}")
    yield from (".SH DESCRIPTION", *_prose(_paragraphs(command.help or "")), *_prose(_paragraphs(theory)))
    yield from (".SH OPTIONS", *_options(command, context))


def _of_configuration() -> Iterator[str]:
    _, *sections = config.describe().split("\n\n")
    yield from (".SH NAME", r"stopit.toml \- configuration of Stopit", ".SH DESCRIPTION")
    yield from _prose(_CONFIGURATION)
    for section in sections:
        said: list[str] = []
        for line in section.splitlines():
            if line.startswith("# "):
                said.append(line.removeprefix("# "))
            elif line.lstrip("#").startswith("["):
                yield from (f'.SH "{_plain(line.lstrip("#"))}"', _plain(" ".join(said)))
                said = []
            else:
                needed = "" if line.startswith("#") else "  (an example; must be set)"
                yield from (".TP", rf"\fB{_plain(line.lstrip('#'))}\fR{needed}", _plain(" ".join(said)))
                said = []


def _usage(command: click.Command, context: click.Context) -> str:
    return " ".join(command.collect_usage_pieces(context))


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        if isinstance(parameter, click.Option) and (record := parameter.get_help_record(context)):
            name, about = record
            yield from (".TP", rf"\fB{_plain(name)}\fR", _plain(" ".join(about.split())))


def _paragraphs(text: str) -> list[str]:
    """Of a docstring, cleaned. One that begins with a blank is a drawing, and stays as it is."""
    return re.split(r"\n\s*\n(?=\S)|\n\n", cleandoc(text))


def _prose(paragraphs: list[str]) -> Iterator[str]:
    for paragraph in paragraphs:
        if paragraph.startswith(" "):
            yield from (".PP", ".nf", *map(_plain, paragraph.rstrip().splitlines()), ".fi")
        else:
            yield from (".PP", _plain(" ".join(paragraph.replace("\b", "").split())))


def _as_name(sentence: str) -> str:
    """A first sentence as it stands behind a program's name (lexgrog(1) takes one line)."""
    text = " ".join(sentence.split()).rstrip(".")
    return text[:1].lower() + text[1:]


def _plain(text: str) -> str:
    """Text that man(7) shows as it is: no escape, no request, and each hyphen one that can be copied."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-").replace('"', r"\(dq").replace("'", r"\(aq")
    return rf"\&{escaped}" if escaped.startswith(".") else escaped


def main() -> None:
    """Write the pages. Their date is that of the package ($SOURCE_DATE_EPOCH), so that they come out the same."""
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in pages(float(os.environ.get("SOURCE_DATE_EPOCH") or time.time())).items():
        (directory / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
