"""stopitctl setup postfix on a running Postfix: the change is applied, works, and is undone to the byte."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from stopit_lab.client import Client
from stopit_lab.messages import message, reply
from stopit_lab.people import Cast, login_of
from stopit_lab.site import Site

pytestmark = pytest.mark.integration

CAST = Cast(0)


def setup(site: Site, *options: str) -> str:
    return site.ctl("setup", "postfix", "--postfix-config", str(directory(site)), *options)


def directory(site: Site) -> Path:
    return site.postfix.directory / "config"


def files(site: Site) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory(site).iterdir())}


@pytest.fixture(scope="module")
def bare(servers: None) -> Iterator[Site]:
    """A site whose Postfix has submission with SASL and no milter. Each test must restore this state."""
    names = [login_of(name) for name in (CAST.vera, CAST.mallory)]
    with Site(bare_postfix=True, passwords=dict.fromkeys(names, "sesame")) as site:
        yield site


def test_change_is_applied_works_and_is_undone(bare: Site) -> None:
    before = files(bare)
    (directory(bare) / "master.cf").chmod(0o640)
    shown = setup(bare)
    assert "+  -o { smtpd_milters = $stopit_from_members }" in shown
    assert files(bare) == before

    setup(bare, "--apply")
    assert (directory(bare) / "master.cf").stat().st_mode & 0o777 == 0o640
    assert "Nothing to do" in setup(bare, "--apply")
    bare.postfix.reload()
    assert "No fault was found." in bare.ctl(
        "doctor", "--postfix-config", str(directory(bare)), "--send-test", "--test-within", "30"
    )
    flag_is_withheld(bare)

    setup(bare, "--undo")
    assert files(bare) == before
    assert "Nothing to undo" in setup(bare, "--undo")


def flag_is_withheld(site: Site) -> None:
    """Assert that a flag through the listener with SASL is withheld."""
    harsh = message(CAST.mallory, [CAST.vera, CAST.walt], "harsh", "harsh words")
    members = Client(site.postfix.sasl, login=login_of(CAST.mallory), password="sesame")
    assert members.send(harsh, CAST.mallory, [CAST.vera, CAST.walt]).accepted
    site.wait_until_traced(harsh)
    flag = reply(harsh, CAST.vera, "stopit")
    members = Client(site.postfix.sasl, login=login_of(CAST.vera), password="sesame")
    assert members.send(flag, CAST.vera, [CAST.mallory]).accepted
    notice = site.mailbox(CAST.mallory).wait_for(lambda each: "Auto-Submitted" in each.message, "the notice")
    assert "vera" not in notice
    assert len(site.mailbox(CAST.mallory).messages()) == 1


def test_while_the_milter_is_away_nothing_is_changed(bare: Site) -> None:
    before = files(bare)
    bare.milter.terminate()
    try:
        with pytest.raises(RuntimeError, match="start stopit-milter first"):
            setup(bare, "--apply")
    finally:
        bare.milter.start()
    assert files(bare) == before


def test_files_that_postfix_check_refuses_are_restored(bare: Site) -> None:
    before, main = files(bare), directory(bare) / "main.cf"
    main.write_text(re.sub(r"^daemon_directory.*", "daemon_directory = /nowhere", main.read_text(), flags=re.M))
    broken = files(bare)
    try:
        with pytest.raises(
            RuntimeError, match=r"`postfix check` failed, so the old files were restored:\n.*/nowhere"
        ):
            setup(bare, "--apply")
        assert files(bare) == broken
    finally:
        main.write_bytes(before["main.cf"])
