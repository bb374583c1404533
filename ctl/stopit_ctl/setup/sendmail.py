"""The lines for sendmail.mc: config/sendmail/stopit.mc with the values of stopit.toml.

They are printed, not applied: a .mc file is an m4 program of its owner, and only a person can place lines in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from stopit_core.config import Settings

__all__ = ["lines_for", "remarks_on", "shipped_lines"]

_SOCKET = "local:/run/stopit/milter.sock"
_PORT = "Port=10587,"
_ALIAS = "dnl   stopit: stopit-staff\n"
_NOT_OURS = frozenset({25, 465, 587})


def shipped_lines() -> str:
    """Return the shipped file: from the installed package, or from config/sendmail of a checkout."""
    installed = Path(str(resources.files("stopit_ctl"))) / "sendmail" / "stopit.mc"
    checkout = Path(__file__).resolve().parents[3] / "config" / "sendmail" / "stopit.mc"
    return (installed if installed.is_file() else checkout).read_text("utf-8")


def lines_for(settings: Settings) -> str:
    """Return the lines for this site."""
    report, staff = (
        address.partition("@")[0] for address in (settings.campus.report_address, settings.campus.staff_address)
    )
    text = shipped_lines()
    for old, new in (
        (_SOCKET, _socket(settings.milter.socket)),
        (_PORT, f"Port={_port(settings)},"),
        (_ALIAS, f"dnl   {report}: {staff}\n"),
    ):
        if old not in text:
            raise ValueError(f"config/sendmail/stopit.mc has no {old}")
        text = text.replace(old, new)
    return text


def remarks_on(settings: Settings) -> Iterator[str]:
    """Return the changes that stopit.toml needs."""
    if settings.milter.socket.startswith("unix:/var/spool/postfix/"):
        yield (
            "milter.socket in stopit.toml is below Postfix's queue directory. For Sendmail, set it to "
            '"unix:/run/stopit/milter.sock", then run this again.'
        )
    if settings.smtp.port != _port(settings):
        yield f"smtp.port in stopit.toml is {settings.smtp.port}: set it to {_port(settings)}."


def _socket(url: str) -> str:
    """Return milter.socket as Sendmail spells it: "local:/path" or "inet:port@host"."""
    return url.replace("unix:", "local:", 1)


def _port(settings: Settings) -> int:
    port = settings.smtp.port
    return 10587 if port in _NOT_OURS else port
