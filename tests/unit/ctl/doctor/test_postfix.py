"""The probe of a Postfix's configuration, as the real postconf shows it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stopit_ctl.doctor.postfix import probe_postfix
from stopit_ctl.postconf import Postfix
from stopit_ctl.probe_results import ProbeResult, Status

ROOT = Path(__file__).parents[4]
SOCKET = "unix:/var/spool/postfix/stopit/milter.sock"
MAIN = "compatibility_level = 3.7\nqueue_directory = /var/spool/postfix\n"
MASTER = "smtp inet n - y - - smtpd\npickup unix n - y 60 1 pickup\n"
ACCEPT = "smtpd_milters = { unix:stopit/milter.sock, default_action=accept }\n"
MEMBERS = "submission inet n - y - - smtpd\n  -o smtpd_sasl_auth_enable=yes\n"


@pytest.fixture
def look(tmp_path: Path, tool: Callable[[str], str]) -> Callable[..., list[ProbeResult]]:
    """Return the results for a Postfix with these additions to a minimal main.cf and master.cf."""
    tool("postconf")

    def find(main: str, master: str = "", socket: str = SOCKET) -> list[ProbeResult]:
        for name, text in (("main.cf", MAIN + main), ("master.cf", MASTER + master)):
            (tmp_path / name).write_text(text)
            os.utime(tmp_path / name, (0, 0))  # postconf waits until a file is two seconds old
        return list(probe_postfix(Postfix(tmp_path), socket))

    return find


def faults(found: list[ProbeResult]) -> list[str]:
    return [str(result) for result in found if result.status is Status.FAULT]


def test_the_snippets_that_ship_are_in_order(look: Callable[..., list[ProbeResult]]) -> None:
    snippets = [(ROOT / "config" / "postfix" / f"{name}.cf.snippet").read_text() for name in ("main", "master")]
    found = look(*snippets)
    assert faults(found) == []
    assert [str(result) for result in found][:2] == [
        "postfix: smtp asks the milter, default_action=accept",
        "postfix: submission asks the milter, default_action=tempfail",
    ]


def test_a_postfix_that_knows_no_milter(look: Callable[..., list[ProbeResult]]) -> None:
    assert "no smtpd_milters names unix:stopit/milter.sock" in faults(look("", MEMBERS))[-1]


def test_submission_that_accepts_while_the_milter_is_away(look: Callable[..., list[ProbeResult]]) -> None:
    (fault,) = faults(look(ACCEPT, MEMBERS))
    assert "submission accepts members' mail and has default_action=accept" in fault


def test_port_25_that_takes_logins_too(look: Callable[..., list[ProbeResult]]) -> None:
    (fault,) = faults(look(ACCEPT + "smtpd_sasl_auth_enable = yes\n"))
    assert "smtp accepts members' mail" in fault


def test_the_default_action_of_postfix_itself_counts(look: Callable[..., list[ProbeResult]]) -> None:
    plain = "smtpd_milters = unix:stopit/milter.sock\n"
    assert faults(look(plain, MEMBERS)) == []
    assert len(faults(look(plain + "milter_default_action = accept\n", MEMBERS))) == 1


def test_submission_without_the_milter(look: Callable[..., list[ProbeResult]]) -> None:
    (fault,) = faults(look(ACCEPT, MEMBERS + "  -o smtpd_milters=inet:localhost:8891\n"))
    assert "submission accepts members' mail and does not ask the milter" in fault


def test_port_25_without_the_milter(look: Callable[..., list[ProbeResult]]) -> None:
    (fault,) = faults(look("", MEMBERS + "  -o smtpd_milters=unix:stopit/milter.sock\n"))
    assert "smtp does not ask the milter" in fault


@pytest.mark.parametrize(
    ("socket", "spelling"),
    [
        (SOCKET, "unix:/stopit/milter.sock"),
        (SOCKET, SOCKET),
        ("unix:/run/stopit/milter.sock", "unix:/run/stopit/milter.sock"),
        ("inet:8890@127.0.0.1", "inet:127.0.0.1:8890"),
        ("inet:8890@127.0.0.1", "{ inet:127.0.0.1:8890, connect_timeout=5s }, inet:localhost:8891"),
    ],
)
def test_spellings_of_one_socket(look: Callable[..., list[ProbeResult]], socket: str, spelling: str) -> None:
    assert faults(look(f"smtpd_milters = {spelling}\n", socket=socket)) == []


def test_no_postfix_no_results(tmp_path: Path) -> None:
    assert list(probe_postfix(Postfix(tmp_path / "none"), SOCKET)) == []
