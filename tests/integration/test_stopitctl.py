"""stopitctl on a site that runs: real Postfix, real stores, the socket tried as user postfix."""

from __future__ import annotations

from email.message import EmailMessage

import pytest

from stopit_lab.letters import reply
from stopit_lab.people import login_of
from stopit_lab.site import Site
from stopit_lab.story import Story
from stopit_lab.waiting import until

pytestmark = pytest.mark.integration


def doctor(site: Site) -> str:
    return site.ctl("doctor", "--postfix-config", str(site.postfix.directory / "config"))


def case_about(site: Site, sender: str) -> str:
    """The number of the case about this sender."""
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


def test_simulate_says_what_then_happens(story: Story, site: Site) -> None:
    original = story.write()
    until_flaggable(site, story, original)
    story.flag(original)
    story.notice()
    shown = site.ctl("cases", "show", case_about(site, story.cast.mallory))
    assert "notice: notice-due" in shown
    assert "The history holds" in shown
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
        "A report about mail from your account", "A second report about mail from your account",
    }  # fmt: skip


def simulated(site: Site, story: Story, original: EmailMessage) -> str:
    """What stopitctl says of vera's flag of a message."""
    path = site.directory / "flag.eml"
    path.write_bytes(reply(original, story.cast.vera, "stopit").as_bytes())
    return site.ctl("simulate", str(path), "--login", login_of(story.cast.vera))


def until_flaggable(site: Site, story: Story, original: EmailMessage) -> None:
    """Return when the ledger has the message: traces are written behind, and nobody replies within a tenth."""
    until(lambda: "(notice-due)" in simulated(site, story, original), "the trace of the original")
