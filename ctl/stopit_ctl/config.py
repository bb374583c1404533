"""`stopitctl config`: describe each key, and show the settings in force."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import click

from stopit_core.config import Settings, describe, describe_key
from stopit_core.errors import ConfigError
from stopit_ctl.local_site import Site

__all__ = ["config_group", "in_force"]

_PASSWORD = re.compile(r"(?<=://)([^/@:]*):[^/@]*(?=@)")
_PASSWORD_PARAMETER = re.compile(r"(?<=[?&]password=)[^&\"]*")


@click.group("config")
def config_group() -> None:
    """Describe the keys of the configuration, and show the settings in force."""


@config_group.command("describe")
@click.argument("key", required=False)
@click.pass_obj
def describe_command(site: Site, key: str | None) -> None:
    """Print the documented configuration file, or one KEY of it.

    KEY is a section ("policy") or a key with its section ("policy.cooldown").
    Without KEY, the output is a complete file to start from.
    """
    if key is None:
        site.output.text(describe())
        return
    try:
        site.output.text(describe_key(key))
    except ConfigError as error:
        raise click.BadParameter(error.faults[0].advice, param_hint=key) from error


@config_group.command("show")
@click.pass_obj
def show_command(site: Site) -> None:
    """Print the settings in force: those in the file, and defaults for the rest.

    Password files are not read, and passwords in URLs are shown as ***.
    """
    site.output.text(in_force(site.settings()))


def in_force(settings: Settings) -> str:
    """Format the settings as a configuration file without comments. Passwords in URLs are masked."""
    values = settings.model_dump()
    offices = values.pop("office")
    chosen = {
        name: {key: _masked(value) for key, value in section.items() if value is not None}
        for name, section in values.items()
    }
    lines = [line for line in describe(chosen).splitlines() if not line.startswith("#")]
    text = re.sub(r"\n{2,}", "\n\n", "\n".join(lines)).strip()
    return "\n".join([text, *(line for office in offices for line in _office(office))]) + "\n"


def _masked(value: object) -> object:
    if not isinstance(value, str) or "://" not in value:
        return value
    return _PASSWORD_PARAMETER.sub("***", _PASSWORD.sub(r"\1:***", value))


def _office(office: dict[str, str]) -> Iterator[str]:
    yield from ("", "[[office]]")
    for key, value in office.items():
        yield f"{key} = {json.dumps(value, ensure_ascii=False)}"
