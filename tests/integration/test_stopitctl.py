"""stopitctl on a running site: a real Postfix, real stores, and the socket tried as user postfix."""

from __future__ import annotations

import json
import re
from email.message import EmailMessage

import pytest

from stopit_lab.messages import reply
from stopit_lab.people import Cast, login_of
from stopit_lab.site import Site
from stopit_lab.story import Story
from stopit_lab.waiting import until

pytestmark = pytest.mark.integration


def doctor(site: Site) -> str:
    return site.ctl("doctor", "--postfix-config", str(site.postfix.directory / "config"))


def case_about(site: Site, sender: str) -> str:
    """Return the number of the case about this sender."""
    lines = site.ctl("cases", "list", "--addresses").splitlines()
    return next(line.split()[0] for line in lines if line.split()[-1:] == [sender])


def test_a_running_site_is_well(site: Site) -> None:
    assert "No fault was found." in doctor(site)
    assert "FAULT" not in site.ctl("check")


def test_a_socket_that_smtpd_cannot_reach_is_found(make_site) -> None:
    site = make_site()
    directory = site.directory / "milter"
    directory.chmod(0o700)
    with pytest.raises(RuntimeError, match=r"milter\.sock cannot be used as user postfix: Permission denied"):
        doctor(site)


def test_simulate_says_what_happens_to_the_same_message(story: Story, site: Site) -> None:
    original = story.write()
    until_flaggable(site, story, original)
    story.flag(original)
    story.notice()
    shown = site.ctl("cases", "show", case_about(site, story.cast.mallory))
    assert "notice: notice-due" in shown
    assert "The history is intact" in shown
    assert story.cast.mallory not in shown
    until(lambda: "(notice-sent)" in simulated(site, story, original), "the notice on record")


def test_staff_send_the_firmer_notice(story: Story, site: Site) -> None:
    first = story.write()
    until_flaggable(site, story, first)
    story.flag(first)
    story.notice()
    second = story.write()
    until(lambda: "(again-after-notice)" in simulated(site, story, second), "the trace of the second message")
    story.flag(second)
    case = case_about(site, story.cast.mallory)
    until(lambda: "staff-review: again-after-notice" in site.ctl("cases", "show", case), "the second report")
    site.ctl("cases", "notice", case, "--firmer", "--yes")
    until(lambda: len(story.notices()) == 2, "the firmer notice")
    assert {notice.header("Subject") for notice in story.notices()} == {
        "A report about mail from your account",
        "A second report about mail from your account",
    }


def simulated(site: Site, story: Story, original: EmailMessage) -> str:
    """Return the output of `stopitctl simulate` for vera's flag of a message."""
    path = site.directory / "flag.eml"
    path.write_bytes(reply(original, story.cast.vera, "stopit").as_bytes())
    return site.ctl("simulate", str(path), "--login", login_of(story.cast.vera))


def until_flaggable(site: Site, story: Story, original: EmailMessage) -> None:
    """Return when the ledger has the message, because traces are written asynchronously."""
    until(lambda: "(notice-due)" in simulated(site, story, original), "the trace of the original")


def numbers_of_cases(site: Site) -> set[str]:
    """Return the numbers of all cases. A deferred message of another test may change a case meanwhile."""
    return {line.split()[0] for line in site.ctl("cases", "list").splitlines()}


class TestSendTest:
    """doctor --send-test: through all parts, without a recipient."""

    def test_each_step_is_printed_and_nobody_gets_anything(self, site: Site) -> None:
        site.postfix.wait_until_queue_is_empty()
        staff, cases = len(site.staff.messages()), numbers_of_cases(site)
        said = sent_test(site)
        legs = [line.removeprefix("ok      test: ") for line in said.splitlines() if "test: " in line]
        assert [re.sub(r"\d+(\.\d+)? s", "N s", leg) for leg in legs] == [
            f"127.0.0.1:{site.postfix.outgoing} and the milter accepted the message in N s",
            "its trace was in the ledger after N s more",
            "the notifier processed its report after N s more",
            "its answer passed the milter after N s more; N s in all",
        ]
        assert "No fault was found." in said
        site.postfix.wait_until_queue_is_empty()
        assert len(site.staff.messages()) == staff
        assert numbers_of_cases(site) == cases
        assert "Reports set aside" not in site.ctl("queue", "list")

    def test_in_observe_mode_too_nobody_gets_anything(self, make_site) -> None:
        site = make_site(values={"milter": {"mode": "observe"}})
        assert "s in all" in sent_test(site)
        site.postfix.wait_until_queue_is_empty()
        assert site.staff.messages() == []

        story = Story(site, Cast(0))
        story.flag(story.write())
        until(lambda: flags_observed(site), "the flag that was only looked at")
        seen = json.loads(site.ctl("observe-report", "--json"))
        assert seen["flags"]["by_channel"] == {"reply": 1, "header": 0, "report-address": 0}
        assert (seen["would_withhold"], seen["safe"]) == (1, True)
        assert site.ctl("observe-report").splitlines()[-1].startswith("It is safe")

    def test_through_submission_it_shows_that_the_milter_is_told_the_login(self, make_site, monkeypatch) -> None:
        site = make_site(passwords={"vera": "sesame"})
        monkeypatch.setenv("STOPIT_TEST_PASSWORD", "sesame")
        by_members = ("--test-door", f"127.0.0.1:{site.postfix.sasl}", "--test-login", "vera")
        assert "the milter was told the login" in sent_test(site, *by_members)
        site.postfix.set("milter_mail_macros", "i")
        with pytest.raises(RuntimeError, match=r"vera logged in at 127.0.0.1:\d+, and the milter was not told"):
            sent_test(site, *by_members)
        assert site.staff.messages() == []

    def test_a_part_that_is_down_is_named_and_no_mailbox_gets_the_test(self, make_site) -> None:
        site = make_site()
        site.notifier.terminate()
        with pytest.raises(RuntimeError, match="the notifier did not process its report within 3 s"):
            sent_test(site, "--test-within", "3")
        site.milter.terminate()
        with pytest.raises(RuntimeError, match="test: not sent, because the milter is down"):
            sent_test(site)
        site.postfix.wait_until_queue_is_empty()
        assert site.staff.messages() == []


def flags_observed(site: Site) -> int:
    flags: int = json.loads(site.ctl("observe-report", "--json"))["flags"]["all"]
    return flags


def sent_test(site: Site, *options: str) -> str:
    config = str(site.postfix.directory / "config")
    return site.ctl("doctor", "--postfix-config", config, "--send-test", *options)
