"""stopitctl setup postfix: the change for many kinds of hosts, as the real postconf shows them, and its undo."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stopit_core import config
from stopit_ctl.doctor.postfix import probe_postfix
from stopit_ctl.postconf import Postfix
from stopit_ctl.probe_results import Status
from stopit_ctl.setup import main_cf
from stopit_ctl.setup.change import Change, Files, Host, change_for, undone
from stopit_ctl.setup.postfix import PARAMETERS, Refused, Setup
from stopit_ctl.smtpd_services import SmtpdService

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
  -o receive_override_options=no_unknown_recipient_checks
"""


class Mta:
    """The configuration of a Postfix in a directory, and its setup."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.configure()

    def configure(self, **sections: dict[str, object]) -> None:
        """Set these sections of stopit.toml, and defaults for the rest."""
        self.settings = config.parse(config.describe(sections), "stopit.toml")

    def write(self, files: Files) -> None:
        for name, text in (("main.cf", files.main), ("master.cf", files.master)):
            path = self.directory / name
            path.write_text(text)
            os.utime(path, (0, 0))  # postconf waits until a file is two seconds old

    def setup(self) -> Setup:
        return Setup.of(Postfix(self.directory), self.settings)

    def change(self, main: str, master: str) -> Change:
        """Return the change for these two files. Assert that setup then finds nothing more to do and can undo it."""
        before = Files(main, master)
        self.write(before)
        change = self.setup().change()
        assert undone(change.after) == before
        self.write(change.after)
        assert self.setup().change().after == change.after
        return change

    def faults(self) -> list[str]:
        """Return the faults that doctor finds in the files."""
        found = probe_postfix(Postfix(self.directory), self.settings.milter.socket)
        return [str(result) for result in found if result.status is Status.FAULT]

    def conf(self, *arguments: str) -> str:
        command = ["postconf", "-c", str(self.directory), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def mta(tmp_path: Path, tool: Callable[[str], str]) -> Mta:
    tool("postconf")
    return Mta(tmp_path)


def milters(mta: Mta, service: str) -> list[str]:
    """Return the milters of a service: our two by their action, others by name."""
    (found,) = [each for each in Postfix(mta.directory).services() if each.name == service]
    return [found.action(entry) if "stopit/milter.sock" in entry else entry for entry in found.milters]


PLAIN = (MAIN, SMTP + COMMENTED + SUBMISSION + SUBMISSIONS + REST)


class TestHosts:
    def test_a_plain_one(self, mta: Mta) -> None:
        change = mta.change(*PLAIN)
        assert change.remarks == ()
        assert mta.faults() == []
        assert milters(mta, "smtp") == ["accept"]
        for service in ("submission", "submissions", "127.0.0.1:10587"):
            assert milters(mta, service) == ["tempfail"]
        assert mta.conf("-h", "non_smtpd_milters", "internal_mail_filter_classes").split() == [
            "$stopit_from_outside",
            "bounce",
        ]

    def test_one_that_signs_keeps_its_signer_behind(self, mta: Mta) -> None:
        mta.change(MAIN + SIGNER, PLAIN[1])
        signer = "inet:localhost:8891"
        assert milters(mta, "smtp") == ["accept", signer]
        for service in ("submission", "submissions", "127.0.0.1:10587"):
            assert milters(mta, service) == ["tempfail", signer]
        assert mta.conf("-xh", "non_smtpd_milters").count("stopit/milter.sock") == 1
        assert mta.faults() == []

    def test_milters_of_a_service_s_own_stay(self, mta: Mta) -> None:
        master = (
            SMTP
            + SUBMISSION
            + "  -o smtpd_milters=inet:localhost:8892\n"
            + SUBMISSIONS.replace(
                "-o smtpd_tls", "-o { smtpd_milters = inet:localhost:8893, unix:other }\n  -o smtpd_tls"
            )
        )
        mta.change(MAIN + SIGNER, master)
        assert milters(mta, "submission") == ["tempfail", "inet:localhost:8892"]
        assert milters(mta, "submissions") == ["tempfail", "inet:localhost:8893", "unix:other"]

    def test_what_a_content_filter_hands_back_is_not_seen_again(self, mta: Mta) -> None:
        mta.change(MAIN, SMTP + SUBMISSION + AMAVIS)
        assert milters(mta, "127.0.0.1:10025") == []
        mta.change(MAIN + SIGNER, SMTP + SUBMISSION + AMAVIS)
        assert milters(mta, "127.0.0.1:10025") == ["inet:localhost:8891"]

    def test_what_was_written_by_hand_from_the_snippets_is_left_alone(self, mta: Mta) -> None:
        main, master = ((CONFIG / f"{name}.cf.snippet").read_text() for name in ("main", "master"))
        base = MAIN.replace("recipient_delimiter = +\n", "")
        before = Files(base + main, SMTP + master)
        mta.write(before)
        assert mta.setup().change() == Change(before, ())

    def test_a_wrong_default_action_inherited_by_submission_is_overridden(self, mta: Mta) -> None:
        mta.change(MAIN + "smtpd_milters = { unix:stopit/milter.sock, default_action=accept }\n", PLAIN[1])
        assert milters(mta, "smtp") == ["accept"]
        assert milters(mta, "submission") == ["tempfail"]
        assert mta.faults() == []

    def test_filter_classes_and_lists_over_several_lines_keep_what_they_had(self, mta: Mta) -> None:
        several = "smtpd_milters =\n# the signer\n   inet:localhost:8891,\n\tunix:x\n"
        mta.change(MAIN + "internal_mail_filter_classes = notify\n" + several, PLAIN[1])
        assert mta.conf("-xh", "internal_mail_filter_classes").strip() == "bounce, notify"
        assert milters(mta, "smtp") == ["accept", "inet:localhost:8891", "unix:x"]
        assert milters(mta, "submission") == ["tempfail", "inet:localhost:8891", "unix:x"]

    def test_files_without_a_last_line_end(self, mta: Mta) -> None:
        mta.change(PLAIN[0].rstrip("\n"), PLAIN[1].rstrip("\n"))
        assert mta.faults() == []

    def test_milters_switched_off_for_a_service_are_switched_on_for_members_only(self, mta: Mta) -> None:
        mta.change(MAIN + SIGNER, SMTP + SUBMISSION + "  -o smtpd_milters=\n")
        assert milters(mta, "submission") == ["tempfail"]

    def test_postscreen_s_smtpd_is_port_25(self, mta: Mta) -> None:
        postscreen = "smtp inet n - y - 1 postscreen\nsmtpd pass - - y - - smtpd\n"
        mta.change(MAIN, postscreen + SUBMISSION)
        assert milters(mta, "smtpd") == ["accept"]
        assert mta.faults() == []

    def test_an_inet_socket(self, mta: Mta) -> None:
        mta.configure(milter={"socket": "inet:8890@127.0.0.1"})
        mta.change(*PLAIN)
        assert "inet:127.0.0.1:8890" in mta.conf("-xh", "smtpd_milters")
        assert mta.faults() == []

    def test_a_dedicated_service_at_another_port(self, mta: Mta) -> None:
        mta.configure(smtp={"port": 10600})
        change = mta.change(MAIN, PLAIN[1] + "127.0.0.1:10600 inet n - y - - smtpd\n")
        assert "10587" not in change.after.master
        assert milters(mta, "127.0.0.1:10600") == ["tempfail"]


class TestRemarks:
    """Decisions that setup leaves to the postmaster."""

    @pytest.mark.parametrize(
        ("main", "master", "said"),
        [
            ("", SMTP, "there is no submission service"),
            ("smtpd_sasl_auth_enable = yes\n", SMTP + SUBMISSION, "smtp takes logins too"),
            ("content_filter = smtp-amavis:[127.0.0.1]:10024\n", SMTP + SUBMISSION, "no service was recognised"),
            ("", SMTP + SUBMISSION + "127.0.0.1:2525 inet n - y - - smtpd\n", "its use is not known"),
            ("", SMTP + SUBMISSION + "  -o receive_override_options=no_milters\n", "submission asks no milter"),
            (
                "smtpd_milters = { unix:stopit/milter.sock, default_action=tempfail }\n",
                SMTP + SUBMISSION,
                "smtp asks the milter with default_action=tempfail: set it to accept",
            ),
            (
                "smtpd_milters = inet:localhost:8891, { unix:stopit/milter.sock, default_action=accept }\n",
                SMTP + SUBMISSION,
                "asks inet:localhost:8891 before Stopit",
            ),
        ],
    )
    def test_it_is_said(self, mta: Mta, main: str, master: str, said: str) -> None:
        assert said in "\n".join(mta.change(MAIN + main, master).remarks)

    def test_another_delimiter(self, mta: Mta) -> None:
        change = mta.change(MAIN.replace("recipient_delimiter = +", "recipient_delimiter = -"), PLAIN[1])
        (remark,) = change.remarks
        assert 'recipient_delimiter is "-", and' in remark

    def test_a_notifier_that_sends_through_another_host(self, mta: Mta) -> None:
        mta.configure(smtp={"host": "mx2.example.edu"})
        change = mta.change(*PLAIN)
        assert "smtp.host in stopit.toml is another host" in change.remarks[0]
        assert "10587" not in change.after.master


class TestRefused:
    @pytest.mark.parametrize(
        ("master", "socket", "said"),
        [
            (REST, "", "there is no smtpd service in master.cf"),
            ("smtp inet y\n", "", "postconf finds no Postfix on this host"),
            (SMTP, "unix:/run/stopit/milter.sock", "smtp runs chrooted below /var/spool/postfix and cannot reach"),
        ],
    )
    def test_it_says_why(self, mta: Mta, master: str, socket: str, said: str) -> None:
        if socket:
            mta.configure(milter={"socket": socket})
        mta.write(Files(MAIN, master))
        with pytest.raises(Refused, match=said):
            mta.setup().change()

    def test_no_postfix(self, mta: Mta) -> None:
        with pytest.raises(Refused, match="finds no Postfix on this host"):
            mta.setup()


class TestUndone:
    """--undo removes our lines and nothing else."""

    def test_what_the_admin_wrote_since_stays(self, mta: Mta) -> None:
        after = mta.change(MAIN + SIGNER, PLAIN[1]).after
        since = Files(
            after.main.replace("inet:localhost:8891", "inet:localhost:11332") + "message_size_limit = 1\n",
            after.master.replace("  -o syslog_name=postfix/submission\n", "") + "x inet n - y - - smtpd\n",
        )
        assert undone(since) == Files(
            MAIN + SIGNER.replace("8891", "11332") + "message_size_limit = 1\n",
            PLAIN[1].replace("  -o syslog_name=postfix/submission\n", "") + "x inet n - y - - smtpd\n",
        )

    def test_our_milter_is_found_where_the_admin_moved_it(self, mta: Mta) -> None:
        after = mta.change(MAIN + SIGNER, PLAIN[1]).after
        ours, signer = "$stopit_from_outside", "inet:localhost:8891"
        moved = after.main.replace(f"{ours}, {signer}", f"{signer}, {ours}")
        assert undone(Files(moved, after.master)).main == MAIN + SIGNER

    def test_lines_written_by_hand_stay(self) -> None:
        by_hand = Files("smtpd_milters = $stopit_from_outside\nstopit_from_outside = unix:x\n", SMTP)
        assert undone(by_hand) == by_hand


VALUES = st.sampled_from(
    [
        "inet:localhost:8891",
        "unix:a, unix:b",
        "",
        "{ unix:a, default_action=accept }",
        "\n  unix:a\n# c\n  unix:b",
        " \n\tunix:a",
        "$others",
    ]
)
MAINS = st.lists(
    st.one_of(
        st.sampled_from(["", "# words", "a = b", "a =\n  b", "compatibility_level=3.6"]),
        st.builds(
            "{}{}{}".format,
            st.sampled_from(["smtpd_milters", "non_smtpd_milters"]),
            st.sampled_from([" = ", "=", " ="]),
            VALUES,
        ),
    )
)
OPTIONS = st.sampled_from(
    [
        "",
        "  -o smtpd_milters=",
        "  -o smtpd_milters=unix:a,unix:b",
        "  -o { smtpd_milters = unix:a }",
        "# words",
        "  -o { smtpd_milters = }",
        "  -o {smtpd_milters=unix:a, unix:b} -o x=y",
        "  -o { smtpd_milters =\n    unix:a }",
    ]
)


@given(st.builds("{}\n{}".format, st.just("queue_directory = /q"), MAINS.map("\n".join)), OPTIONS, st.booleans())
@settings(max_examples=300)
def test_whatever_is_done_is_undone_to_the_byte(main: str, option: str, end: bool) -> None:
    own = {} if "smtpd_milters" not in option else {"smtpd_milters": option}
    given_values = main_cf.values(main)
    services = [
        SmtpdService("submission", "inet", True, own, {"smtpd_milters": ""}),
        SmtpdService("smtp", "inet", True, {}, {}),
    ]
    expanded = {name: given_values.get(name, "") for name in PARAMETERS}
    host = Host(["unix:stopit/milter.sock"], services, "127.0.0.1:10587", expanded)
    master = f"submission inet n - y - - smtpd\n{option}\n{SMTP}"
    before = Files(main + ("\n" if end else ""), master if end else master.rstrip("\n"))
    after = change_for(before, host).after
    assert after != before
    assert undone(after) == before


class TestCommand:
    """The commands as the postmaster uses them."""

    def run(self, host, mta: Mta, *options: str):  # the private Postfix of an `Mta`, the site of a `Host`
        done = host.run("setup", "postfix", "--postfix-config", str(mta.directory), *options)
        return done, done.output.replace(str(mta.directory), "/etc/postfix").replace(str(host.directory), "/site")

    def test_what_it_shows(self, host, mta: Mta, golden: Callable[[str, str], None]) -> None:
        mta.write(Files(MAIN + SIGNER, SMTP + SUBMISSION + AMAVIS + REST))
        done, said = self.run(host, mta)
        assert done.exit_code == 0
        golden("setup-postfix", said)
        assert max(map(len, said.splitlines())) <= 80
        assert Path(mta.directory / "main.cf").read_text() == MAIN + SIGNER

    def test_it_changes_nothing_while_the_milter_is_away(self, host, mta: Mta) -> None:
        mta.write(Files(*PLAIN))
        done, said = self.run(host, mta, "--apply")
        assert done.exit_code == 1
        assert "start stopit-milter first" in said
        assert (mta.directory / "main.cf").read_text() == PLAIN[0]

    def test_apply_and_undo_exclude_each_other(self, host, mta: Mta) -> None:
        assert self.run(host, mta, "--apply", "--undo")[0].exit_code == 2


def test_the_snippets_say_what_setup_writes(mta: Mta, tmp_path: Path) -> None:
    """config/postfix has the same lines, to add by hand."""
    main, master = ((CONFIG / f"{name}.cf.snippet").read_text() for name in ("main", "master"))
    services = master[: master.index("# The dedicated service for Stopit's own mail")]
    without = "".join(line for line in services.splitlines(keepends=True) if "smtpd_milters" not in line)
    base = MAIN.replace("recipient_delimiter = +\n", "")

    def in_force() -> dict[str, str]:
        values = {
            service: mta.conf("-xP", f"{service}/inet")
            for service in ("submission", "submissions", "127.0.0.1:10587")
        }
        return {"main": mta.conf("-xn"), "services": mta.conf("-M"), **values}

    mta.write(Files(base + main, SMTP + master))
    by_hand = in_force()
    mta.change(base, SMTP + without)
    assert in_force() == by_hand
