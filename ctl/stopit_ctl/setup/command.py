"""`stopitctl setup`: what the MTA needs, shown before it is done, and taken back when it is not wanted."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from stopit_core.config import Settings
from stopit_ctl.cli import EX_FOUND
from stopit_ctl.console_output import ConsoleOutput
from stopit_ctl.doctor.milter import probe_milter
from stopit_ctl.local_site import Site
from stopit_ctl.postconf import Postfix
from stopit_ctl.probe_results import Status
from stopit_ctl.setup.change import Change, undone
from stopit_ctl.setup.postfix import Refused, Setup
from stopit_ctl.setup.sendmail import lines_for, remarks_on

__all__ = ["setup_group"]

_WIDTH = 78


@click.group("setup")
def setup_group() -> None:
    """Tell the MTA of Stopit: the exact change for this host."""


@setup_group.command("postfix")
@click.option("--apply", "apply", is_flag=True, help="Make the change, and keep what was there.")
@click.option("--undo", "undo", is_flag=True, help="Take everything out again that --apply put in.")
@click.option("--force", is_flag=True, help="Apply although the milter does not answer yet.")
@click.option(
    "--postfix-config",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Configuration of the Postfix that is meant. [default: the system's]",
)
@click.pass_obj
def postfix_command(site: Site, apply: bool, undo: bool, force: bool, postfix_config: Path | None) -> None:
    """Show what main.cf and master.cf need on this host, as a diff.

    postconf tells what there is: the services that take mail, the milters
    that are asked, the chroot. What is in order already is left alone, and
    what only you can decide is said. Nothing is changed without --apply.

    --apply keeps a copy of each file beside it (.before-stopit), asks
    `postfix check`, and puts everything back if that complains. It does not
    reload Postfix. --undo takes out what was put in and nothing else: what
    you have changed since stays.
    """
    if apply and undo:
        raise click.UsageError("--apply and --undo exclude each other")
    settings = site.settings()
    try:
        setup = Setup.of(Postfix(postfix_config), settings)
        if undo:
            _undo(site.output, setup)
        elif apply:
            _apply(site.output, setup, settings, force)
        else:
            _show(site.output, setup, settings)
    except Refused as refused:
        for line in f"stopitctl: {refused}".splitlines():
            site.output.error(line)
        raise click.exceptions.Exit(EX_FOUND) from refused


@setup_group.command("sendmail")
@click.pass_obj
def sendmail_command(site: Site) -> None:
    """Print the lines that sendmail.mc needs on this host.

    With the socket, the port and the addresses of stopit.toml. Put them
    before the MAILER lines, in place of the DAEMON_OPTIONS for MTA and MSA
    that you have. Nothing is changed.
    """
    settings = site.settings()
    site.output.text(lines_for(settings))
    for remark in remarks_on(settings):
        site.output.error(f"stopitctl: {remark}")


def _show(output: ConsoleOutput, setup: Setup, settings: Settings) -> None:
    change = setup.change()
    if change.after == setup.before:
        output.line("Nothing to do: Postfix asks the milter as it should.")
    else:
        output.text(setup.diff(change.after))
        output.line()
        output.line("Nothing was changed yet; --apply makes this change.")
    _tell(output, setup, settings, change)


def _apply(output: ConsoleOutput, setup: Setup, settings: Settings, force: bool) -> None:
    change = setup.change()
    if change.after == setup.before:
        output.line("Nothing to do: Postfix asks the milter as it should.")
        _tell(output, setup, settings, change)
        return
    if not force:
        _must_answer(setup, settings)
    for path, kept in setup.write(change.after, keep=True):
        output.line(f"changed  {path}")
        output.line(f"kept     {kept} (what was there)")
    output.line("`postfix check` finds no fault.")
    _tell(output, setup, settings, change)


def _undo(output: ConsoleOutput, setup: Setup) -> None:
    after = undone(setup.before)
    if after == setup.before:
        output.line("Nothing to undo: nothing of `stopitctl setup postfix` is there.")
        return
    for path, _ in setup.write(after, keep=False):
        output.line(f"changed  {path}")
    for copy in setup.drop_copies(after):
        output.line(f"removed  {copy}: it is as it was before")
    output.line("`postfix check` finds no fault. Now: postfix reload")
    output.line("Set smtp.port in stopit.toml back to a door that is there.")


def _must_answer(setup: Setup, settings: Settings) -> None:
    """Raises Refused when Postfix would ask a milter that is not there."""
    found = probe_milter(settings.milter.socket, setup.queue_directory)
    wrong = next((result for result in found if result.status is Status.FAULT), None)
    if wrong is not None:
        raise Refused(
            f"{wrong.text}. While it is away, members who send mail are told to try again: "
            "start stopit-milter first (or say --force). Nothing was changed"
        )


def _tell(output: ConsoleOutput, setup: Setup, settings: Settings, change: Change) -> None:
    if change.left:
        output.line()
        output.line("For you to decide:")
        output.text("\n".join(_items(change.left, ["-"] * len(change.left))))
    steps = list(setup.steps(settings))
    output.line()
    output.line("What else there is to do:")
    output.text("\n".join(_items(steps, [f"{number}." for number in range(1, len(steps) + 1)])))


def _items(texts: Sequence[str], marks: Sequence[str]) -> Iterator[str]:
    for text, mark in zip(texts, marks, strict=True):
        yield from textwrap.wrap(
            text,
            _WIDTH,
            initial_indent=f"{mark:<3}",
            subsequent_indent="   ",
            break_long_words=False,
            break_on_hyphens=False,
        )
