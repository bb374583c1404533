"""stopitctl setup postfix: the change for many kinds of hosts, as the real postconf tells of them, and taken back."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from stopit_core import config
from stopit_ctl.findings import State
from stopit_ctl.postfix import Postfix
from stopit_ctl.setup.change import Change, Files, undone
from stopit_ctl.setup.postfix import Setup

CONFIG = Path(__file__).parents[3] / "config" / "postfix"
MAIN = """\
# See /usr/share/postfix/main.cf.dist for a commented, more complete version
compatibility_level = 3.6
queue_directory = /var/spool/postfix
recipient_delimiter = +
inet_interfaces = all
"""
SMTP = "smtp      inet  n       -       y       -       -       smtpd\n"
COMMENTED = "#submission inet n       -       y       -       -       smtpd\n#  -o syslog_name=postfix/submission\n"
SUBMISSION = """\
submission inet n       -       y       -       -       smtpd
  -o syslog_name=postfix/submission
# -o smtpd_tls_security_level=encrypt
  -o smtpd_sasl_auth_enable=yes
"""
SUBMISSIONS = "submissions inet n - y - - smtpd -o smtpd_tls_wrappermode=yes -o smtpd_sasl_auth_enable=yes\n"
REST = "pickup    unix  n       -       y       60      1       pickup\n# the end\n"
SIGNER = "smtpd_milters = inet:localhost:8891\nnon_smtpd_milters = $smtpd_milters\nmilter_default_action = accept\n"
AMAVIS = """\
127.0.0.1:10025 inet n  -       n       -       -       smtpd
  -o content_filter=
  -o receive_override_options=no_header_body_checks,no_unknown_recipient_checks
"""


class Mta:
    """A Postfix's configuration in a directory, and what setup makes of it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.settings = config.parse(config.describe(), "stopit.toml")

    def write(self, files: Files) -> None:
        for name, text in (("main.cf", files.main), ("master.cf", files.master)):
            path = self.directory / name
            path.write_text(text)
            os.utime(path, (0, 0))  # postconf waits until a file is two seconds old

    def setup(self) -> Setup:
        return Setup.of(Postfix(self.directory), self.settings)

    def change(self, main: str, master: str) -> Change:
        """What setup would make of these two; and that it then finds nothing more to do, and can take it back."""
        before = Files(main, master)
        self.write(before)
        change = self.setup().change()
        assert undone(change.after) == before
        self.write(change.after)
        assert self.setup().change().after == change.after
        return change

    def faults(self) -> list[str]:
        """What doctor says of the files as they are."""
        found = Postfix(self.directory).look(self.settings.milter.socket)
        return [str(finding) for finding in found if finding.state is State.FAULT]

    def conf(self, *arguments: str) -> str:
        command = ["postconf", "-c", str(self.directory), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def mta(tmp_path: Path, tool: Callable[[str], str]) -> Mta:
    tool("postconf")
    return Mta(tmp_path)


def milters(mta: Mta, service: str) -> list[str]:
    """Which milters a service asks: the two of ours by their action, others by name."""
    (door,) = [door for door in Postfix(mta.directory).doors() if door.service == service]
    return [door.action(entry) if "stopit/milter.sock" in entry else entry for entry in door.milters]


PLAIN = (MAIN, SMTP + COMMENTED + SUBMISSION + SUBMISSIONS + REST)


class TestHosts:
    def test_a_plain_one(self, mta: Mta) -> None:
        change = mta.change(*PLAIN)
        assert change.left == ()
        assert mta.faults() == []
        assert milters(mta, "smtp") == ["accept"]
        for door in ("submission", "submissions", "127.0.0.1:10587"):
            assert milters(mta, door) == ["tempfail"]
        assert mta.conf("-h", "non_smtpd_milters", "internal_mail_filter_classes").split() == [
            "$stopit_from_outside", "bounce",
        ]  # fmt: skip

    def test_one_that_signs_keeps_its_signer_behind(self, mta: Mta) -> None:
        mta.change(MAIN + SIGNER, PLAIN[1])
        signer = "inet:localhost:8891"
        assert milters(mta, "smtp") == ["accept", signer]
        for door in ("submission", "submissions", "127.0.0.1:10587"):
            assert milters(mta, door) == ["tempfail", signer]
        assert mta.conf("-xh", "non_smtpd_milters").count("stopit/milter.sock") == 1
        assert mta.faults() == []

    def test_milters_of_a_service_s_own_stay(self, mta: Mta) -> None:
        master = SMTP + SUBMISSION + "  -o smtpd_milters=inet:localhost:8892\n" + SUBMISSIONS.replace(
            "-o smtpd_tls", "-o { smtpd_milters = inet:localhost:8893, unix:other }\n  -o smtpd_tls"
        )  # fmt: skip
        mta.change(MAIN + SIGNER, master)
        assert milters(mta, "submission") == ["tempfail", "inet:localhost:8892"]
        assert milters(mta, "submissions") == ["tempfail", "inet:localhost:8893", "unix:other"]

    def test_what_a_content_filter_hands_back_is_not_seen_again(self, mta: Mta) -> None:
        mta.change(MAIN, SMTP + SUBMISSION + AMAVIS)
        assert milters(mta, "127.0.0.1:10025") == []
        mta.change(MAIN + SIGNER, SMTP + SUBMISSION + AMAVIS)
        assert milters(mta, "127.0.0.1:10025") == ["inet:localhost:8891"]
