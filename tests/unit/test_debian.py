"""The Debian package's own files, as far as they can be read without building it. tests/system installs it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import click
import pytest

from stopit_core import __version__
from stopit_core.config import Settings
from stopit_core.credentials import CREDENTIALS, DIRECTORY
from stopit_ctl.__main__ import command_line
from stopit_lab.manual import pages

ROOT = Path(__file__).parents[2]
DEBIAN = ROOT / "debian"
SCRIPTS = ("postinst", "prerm", "postrm")
PROGRAMS = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"])


def table(name: str) -> list[list[str]]:
    """The lines of one of debhelper's files, each as its words."""
    return [line.split() for line in (DEBIAN / f"stopit.{name}").read_text().splitlines() if line]


def test_the_version_is_that_of_the_program() -> None:
    found = re.match(r"stopit \((.+)\) ", (DEBIAN / "changelog").read_text())
    assert found
    assert found[1] == __version__


def test_what_is_installed_is_there() -> None:
    installed = table("install")
    assert ["systemd/*.service", "lib/systemd/system"] in installed
    for source, _ in installed:
        assert list(ROOT.glob(source)), source
    for [source] in [*table("docs"), *table("examples")]:
        assert list(ROOT.glob(source)), source


def test_each_program_is_on_the_path_and_has_a_page() -> None:
    links = {Path(target).name: (source, target) for source, target in table("links")}
    assert set(links) == PROGRAMS
    assert all(source == f"/opt/stopit/bin/{name}" for name, (source, _) in links.items())
    assert links["stopitctl"][1] == "usr/bin/stopitctl"
    assert {f"{name}.8" for name in PROGRAMS} | {"stopit.toml.5"} <= set(pages(0))


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_maintainer_script_has_room_for_debhelper_once(name: str) -> None:
    """debhelper also replaces its token in a comment."""
    text = (DEBIAN / f"stopit.{name}").read_text()
    assert text.count("#DEBHELPER#") == 1
    assert "\n#DEBHELPER#\n" in text
    assert re.search(r"^set -e$", text, re.M)


def test_nothing_is_enabled_started_or_stopped_by_debhelper() -> None:
    """With --no-start alone, debhelper would stop the daemons before an upgrade and not start them again."""
    rules = (DEBIAN / "rules").read_text()
    assert "\tdh_installsystemd --no-enable --no-start --no-stop-on-upgrade\n" in rules


def test_the_configuration_of_the_package_has_only_comments() -> None:
    """The file never changes, so dpkg never asks about it, and `stopitctl init` may overwrite it."""
    text = (DEBIAN / "conffile" / "stopit.toml").read_text()
    assert tomllib.loads(text) == {}
    assert "stopitctl init" in text


@pytest.mark.parametrize("unit", sorted(CREDENTIALS))
def test_a_unit_passes_the_secrets_that_its_daemon_reads(unit: str) -> None:
    lines = (ROOT / "systemd" / f"{unit}.service").read_text().splitlines()
    loaded = [line.partition("=")[2] for line in lines if line.startswith("LoadCredential=")]
    instead = [line.partition("=")[2] for line in lines if line.startswith("SetCredential=")]

    assert loaded == [f"{name}:{DIRECTORY}/{name}" for name in CREDENTIALS[unit]]
    assert instead == [f"{name}:\\n" for name in CREDENTIALS[unit]]  # systemd 252 accepts no empty credential


def test_the_milter_gets_no_secret_of_the_case_record() -> None:
    assert not {"cases.password", "smtp.password"} & set(CREDENTIALS["stopit-milter"])


class TestManual:
    def test_each_command_of_stopitctl_has_a_page_that_its_group_refers_to(self) -> None:
        made = {name: text.replace(r"\-", "-") for name, text in pages(0).items()}

        def walk(group: click.Group, path: str) -> None:
            for name, command in group.commands.items():
                page = f"{path}-{name}"
                assert rf"\fB{page}(8)\fP" in made[f"{path}.8"]
                assert made[f"{page}.8"].splitlines()[2].startswith(f"{page} - ")
                assert '" "8" "' in made[f"{page}.8"].splitlines()[0]
                if isinstance(command, click.Group):
                    walk(command, page)

        walk(command_line(), "stopitctl")

    def test_a_page_has_the_options_and_the_exit_status(self) -> None:
        made = {name: text.replace(r"\-", "-") for name, text in pages(0).items()}
        assert r"\fB-h,\fP --help" in made["stopitctl.8"]
        assert r"\fB--send-test\fP" in made["stopitctl-doctor.8"]
        assert ".SH EXIT STATUS" in made["stopit-milter.8"]

    def test_the_configuration_has_all_of_its_keys(self) -> None:
        page = pages(0)["stopit.toml.5"].replace(r"\-", "-")
        for name, field in Settings.model_fields.items():
            heading = "[[office]]" if name == "office" else f"[{name}]"
            assert f'.SH "{heading}"' in page
            for key in getattr(field.annotation, "model_fields", {}):
                assert rf"\fB{key} = " in page, f"{name}.{key}"

    def test_no_line_is_taken_for_a_request(self) -> None:
        known = {".TH", ".SH", ".TP", ".PP", ".B", ".nf", ".fi"}
        for text in pages(0).values():
            assert {line.split()[0] for line in text.splitlines() if line[:1] in (".", "'")} <= known

    def test_the_same_package_has_the_same_pages(self) -> None:
        assert pages(1_800_000_000) == pages(1_800_000_000)
        assert '"2027-01-15"' in pages(1_800_000_000)["stopitctl.8"]
