"""`stopitctl preview`: print the messages of the site's templates, before anybody receives them."""

from __future__ import annotations

from collections.abc import Sequence

import click

from stopit_core.decision.policy import Reason
from stopit_core.outgoing.facts import AlertKind, AnswerEffect, MessageKind
from stopit_core.outgoing.render import Renderer
from stopit_ctl.doctor.files import load_templates
from stopit_ctl.local_site import Site
from stopit_ctl.message_text import sample_text

__all__ = ["preview_group"]

About = Reason | AnswerEffect | AlertKind


@click.group("preview")
def preview_group() -> None:
    """Print a message as people will receive it, with sample facts.

    Your own templates (notifier.templates) are used where they exist.
    """


@preview_group.command("notice")
@click.option("--firmer", is_flag=True, help="The firmer notice, which only staff send.")
@click.pass_obj
def notice_command(site: Site, firmer: bool) -> None:
    """Print the notice to the sender."""
    site.output.text(sample_text(_renderer(site), MessageKind.FIRMER_NOTICE if firmer else MessageKind.NOTICE))


@preview_group.command("acknowledgement")
@click.option(
    "--reason",
    type=click.Choice([each.value for each in (*Reason, *AnswerEffect)]),
    help="[default: notice-due]",
    metavar="REASON",
)
@click.option("--all", "everything", is_flag=True, help="Print all of them.")
@click.pass_obj
def acknowledgement_command(site: Site, reason: str | None, everything: bool) -> None:
    """Print the acknowledgement to the reporter.

    REASON is the reason of a decision ("notice-due", "no-trace"), or the effect
    of the reporter's answer ("cancelled"). An unknown one prints the list.
    """
    chosen: Sequence[About] = [*Reason, *AnswerEffect] if everything else [_about(reason or Reason.NOTICE_DUE)]
    _print(site, MessageKind.ACKNOWLEDGEMENT, chosen)


@preview_group.command("alert")
@click.option(
    "--kind",
    type=click.Choice([each.value for each in AlertKind]),
    default=AlertKind.REVIEW.value,
    metavar="KIND",
    help="[default: review]",
)
@click.option("--all", "everything", is_flag=True, help="Print all of them.")
@click.pass_obj
def alert_command(site: Site, kind: str, everything: bool) -> None:
    """Print the alert to staff."""
    _print(site, MessageKind.STAFF_ALERT, list(AlertKind) if everything else [AlertKind(kind)])


def _print(site: Site, kind: MessageKind, chosen: Sequence[About]) -> None:
    renderer = _renderer(site)
    for at, about in enumerate(chosen):
        if at:
            site.output.line()
        if len(chosen) > 1:
            site.output.line(f"--- {about}", style="bold")
        site.output.text(sample_text(renderer, kind, about))


def _about(reason: str) -> Reason | AnswerEffect:
    return next((effect for effect in AnswerEffect if effect == reason), None) or Reason(reason)


def _renderer(site: Site) -> Renderer:
    settings = site.settings()
    with site.notifier_user.acting():
        return load_templates(settings)
