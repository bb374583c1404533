"""The manual pages of the Debian package, made with click-man from the help of the programs.

    python -m stopit_lab.manual DIRECTORY

Each program and each command of stopitctl has a page. click-man lays it out; this module escapes the text for man(7)
and adds what the help does not contain. The page of stopit.toml is made from the definitions of its keys. The module
is in the lab because only the lab may import all programs.
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
from click_man.man import ManPage

from stopit_core import __version__, config
from stopit_ctl.__main__ import command_line
from stopit_milter import __main__ as milter
from stopit_notifier import __main__ as notifier

__all__ = ["pages"]

_DAEMON = {
    "SIGNALS": {
        "SIGHUP": "Read the configuration again. A faulty one is refused, and the old one stays in force.",
        "SIGTERM": "Complete the work in progress, and exit.",
    },
    "EXIT STATUS": {
        "0": "The daemon exited after a signal.",
        "1": "The daemon could not start.",
        "2": "Wrong usage.",
        "78": "The configuration is faulty; systemd does not restart the daemon.",
    },
}
_FILES = {
    "/etc/stopit/stopit.toml": "The configuration; see stopit.toml(5).",
    "/etc/stopit/site.key": "The site's key. No trace and no reply address can be read without it: keep a copy.",
    "/var/lib/stopit": "Queue, ledger and spool, where they are files.",
    "/var/lib/stopit-notifier": "The case record, where it is a file.",
}
_CONFIGURATION = """\
The milter, the notifier and stopitctl read one file in TOML, /etc/stopit/stopit.toml. Each key is shown with its
default. Times are a number and a unit: "30s", "15m", "12h", "14d".

`stopitctl init DOMAIN` writes the file, `stopitctl check` reports every fault in it, and SIGHUP (systemctl reload)
makes the daemons read it again. A running daemon refuses a faulty file and keeps the old settings; a daemon that is
started with a faulty file exits with 78, and systemd does not restart it."""
_SEE_ALSO = ("stopitctl(8)", "stopit-milter(8)", "stopit-notifier(8)", "stopit.toml(5)")


def pages(epoch: float) -> Mapping[str, str]:
    """Return the text of each page by its file name. `epoch`: its date, in seconds."""
    date = time.strftime("%Y-%m-%d", time.gmtime(epoch))
    made = {"stopit.toml.5": _text(_configuration_page(), "stopit.toml(5)", date, {"FILES": _FILES})}
    for program, sections in ((command_line(), {}), (milter.command, _DAEMON), (notifier.command, _DAEMON)):
        for context in _contexts(program):
            name = context.command_path.replace(" ", "-")
            extra = {} if context.parent else {**sections, "FILES": _FILES}
            made[f"{name}.8"] = _text(_command_page(context), f"{name}(8)", date, extra)
    return made


def _contexts(command: click.Command, parent: click.Context | None = None) -> Iterator[click.Context]:
    """Return the context of a command and of every command below it."""
    context = click.Context(command, info_name=command.name, parent=parent, **command.context_settings)
    yield context
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from _contexts(inner, context)


def _command_page(context: click.Context) -> ManPage:
    command, page = context.command, ManPage(context.command_path)
    page.short_help = _summary(command)
    page.synopsis = " ".join(command.collect_usage_pieces(context))
    page.description = _prose(cleandoc(command.help or ""))
    records = (
        each.get_help_record(context) for each in command.get_params(context) if isinstance(each, click.Option)
    )
    page.options = [(option, _escaped(" ".join(text.split()))) for option, text in filter(None, records)]
    if isinstance(command, click.Group):
        page.commands = [(name, _summary(each)) for name, each in command.commands.items()]
    return page


def _configuration_page() -> ManPage:
    page = ManPage("stopit.toml")
    page.short_help = "configuration of Stopit"
    lines, comment = [_prose(_CONFIGURATION)], ""
    for line in config.describe().partition("\n\n")[2].splitlines():
        if line.startswith("# "):
            comment += line.removeprefix("#")
        elif line.lstrip("#").startswith("["):
            lines += [f'.SH "{_escaped(line.lstrip("#"))}"', _escaped(comment.strip())]
            comment = ""
        elif line:
            required = "" if line.startswith("#") else "  (an example; must be set)"
            lines += [".TP", rf"\fB{_escaped(line.lstrip('#'))}\fP{required}", _escaped(comment.strip())]
            comment = ""
    page.description = "\n".join(lines)
    return page


def _text(page: ManPage, name: str, date: str, sections: Mapping[str, Mapping[str, str]]) -> str:
    """Return the text of a page with more sections. `name`: with the section of the manual."""
    page.version, page.date = f"Stopit {__version__}", date
    title, _, section = name.rstrip(")").partition("(")
    # click-man writes pages of section 1, and refers to the page of a nested command by a name with a space.
    text = str(page).replace('" "1" "', f'" "{section}" "', 1).replace(r"(1)\fP", r"(8)\fP")
    text = text.replace(rf"See \fB{page.command}-", rf"See \fB{title}-")
    lines = []
    for heading, entries in sections.items():
        lines.append(f".SH {heading}")
        for term, meaning in entries.items():
            lines += [".TP", rf"\fB{_escaped(term)}\fP", _escaped(meaning)]
    lines += [".SH SEE ALSO", _escaped(", ".join(each for each in _SEE_ALSO if each != name))]
    return text + "\n".join([*lines, ".PP", r"The documents in \fI/usr/share/doc/stopit\fP.", ""])


def _summary(command: click.Command) -> str:
    """Return the first sentence of a command's help on one line, as lexgrog(1) needs it."""
    sentence = " ".join(re.split(r"\n\s*\n", cleandoc(command.help or ""))[0].split()).rstrip(".")
    return _escaped(sentence[:1].lower() + sentence[1:])


def _prose(text: str) -> str:
    """Format paragraphs for man(7). One marked with click's "\\b" keeps its lines."""
    made = []
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("\b"):
            made.append("\n".join([".nf", *map(_escaped, paragraph.splitlines()[1:]), ".fi"]))
        else:
            made.append(_escaped(" ".join(paragraph.split())))
    return "\n.PP\n".join(made)


def _escaped(text: str) -> str:
    """Escape text for man(7): it contains no request, and its hyphens can be copied."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-").replace('"', r"\(dq").replace("'", r"\(aq")
    return rf"\&{escaped}" if escaped.startswith(".") else escaped


def main() -> None:
    """Write the pages. Their date is that of the package ($SOURCE_DATE_EPOCH), so that builds are reproducible."""
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in pages(float(os.environ.get("SOURCE_DATE_EPOCH") or time.time())).items():
        (directory / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
