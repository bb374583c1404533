"""A purge removes everything, and mail is delivered without Stopit."""

from __future__ import annotations

import pytest

from stopit_lab.postfix_host import PostfixHost
from stopit_lab.story import Story

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


def test_purge_leaves_no_process_and_no_file(story: Story[PostfixHost]) -> None:
    site = story.site
    site.untell_mta()
    site.host.run("apt-get", "purge", "--yes", "stopit", environment={"DEBIAN_FRONTEND": "noninteractive"})

    assert site.host.run("pgrep", "-a", "-f", "stopit[-_]", check=False).out == ""
    owned = "-user stopit -o -user stopit-notifier -o -group stopit -o -group stopit-notifier"
    # Not of the package: the staff mailbox, the package file, and the files of root's shell.
    found = site.host.shell(
        f"find / /run -xdev \\( {owned} -o -iname '*stopit*' \\) ! -path '/home/stopit-staff*' ! -path '/root/*' "
        "! -path '/proc/*' ! -path '/sys/*' ! -path '/var/mail/*'"
    )
    assert found.out == ""
    assert "stopit" not in site.host.run("postconf", "-n").out
    assert "stopit" not in site.host.run("systemctl", "list-unit-files", "--no-pager").out
    original = story.write()  # mail is delivered without Stopit
    answer, said = story.answer(original, typed="Please don't.")
    assert said.accepted
    story.find(story.cast.mallory, answer)
