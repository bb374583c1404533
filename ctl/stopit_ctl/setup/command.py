"""`stopitctl setup`: show, apply and undo the changes to the MTA's configuration."""

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
    """Configure the MTA of this host for Stopit."""


@setup_group.command("postfix")
@click.option("--apply", "apply", is_flag=True, help="Make the change, and keep copies of the old files.")
@click.option("--undo", "undo", is_flag=True, help="Remove everything that --apply added.")
@click.option("--force", is_flag=True, help="Make the change although the milter does not answer.")
@click.option(
    "--postfix-config",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Configuration of the Postfix to change. [default: the system's]",
)
@click.pass_obj
def postfix_command(site: Site, apply: bool, undo: bool, force: bool, postfix_config: Path | None) -> None:
    """Show the changes to main.cf and master.cf for this host, as a diff.

    The changes follow from the present configuration as postconf shows it: the
    services that accept mail, their milters, the chroot. Correct settings stay
    as they are, and decisions that only you can make are listed. Nothing is
    changed without --apply.

    --apply keeps a copy of each file (.before-stopit), runs `postfix check`,
    and restores the files if that fails. It does not reload Postfix. --undo
    removes what was added and nothing else: your later changes stay.
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

    The lines have the socket, the port and the addresses of stopit.toml. Put
    them before the MAILER lines, and remove your DAEMON_OPTIONS for MTA and
    MSA. Nothing is changed.
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
    _print_rest(output, setup, settings, change)


def _apply(output: ConsoleOutput, setup: Setup, settings: Settings, force: bool) -> None:
    change = setup.change()
    if change.after == setup.before:
        output.line("Nothing to do: Postfix asks the milter as it should.")
        _print_rest(output, setup, settings, change)
        return
    if not force:
        _must_answer(setup, settings)
    for path, kept in setup.write(change.after, keep=True):
        output.line(f"changed  {path}")
        output.line(f"kept     {kept} (the old file)")
    output.line("`postfix check` finds no fault.")
    _print_rest(output, setup, settings, change)


def _undo(output: ConsoleOutput, setup: Setup) -> None:
    after = undone(setup.before)
    if after == setup.before:
        output.line("Nothing to undo: there are no additions of `stopitctl setup postfix`.")
        return
    for path, _ in setup.write(after, keep=False):
        output.line(f"changed  {path}")
    for copy in setup.drop_copies(after):
        output.line(f"removed  {copy}: the file is as before again")
    output.line("`postfix check` finds no fault. Next: postfix reload")
    output.line("Set smtp.port in stopit.toml to the port of an existing service.")


def _must_answer(setup: Setup, settings: Settings) -> None:
    """Raise Refused when the milter does not answer."""
    results = probe_milter(settings.milter.socket, setup.queue_directory)
    fault = next((result for result in results if result.status is Status.FAULT), None)
    if fault is not None:
        raise Refused(
            f"{fault.text}. While it is down, members' mail is deferred: start stopit-milter first (or use --force). "
            "Nothing was changed"
        )


def _print_rest(output: ConsoleOutput, setup: Setup, settings: Settings, change: Change) -> None:
    if change.remarks:
        output.line()
        output.line("For you to decide:")
        output.text("\n".join(_items(change.remarks, ["-"] * len(change.remarks))))
    steps = list(setup.steps(settings))
    output.line()
    output.line("Remaining steps:")
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
