"""Acting as the daemons' users: all ids are changed, and all are restored."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import pytest

from stopit_core.errors import ConfigError, Fault
from stopit_ctl.doctor.as_user import probe_as
from stopit_ctl.probe_results import ProbeResult, config_faults
from stopit_ctl.service_user import ServiceUser, operator

root_only = pytest.mark.usefixtures("as_root")
NOBODY = pwd.getpwnam("nobody")


def identity() -> tuple[int, int, list[int]]:
    return os.geteuid(), os.getegid(), sorted(os.getgroups())


@root_only
def test_rights_are_given_up_and_taken_back() -> None:
    before = identity()
    with ServiceUser("nobody").acting():
        assert identity() == (NOBODY.pw_uid, NOBODY.pw_gid, [NOBODY.pw_gid])
    assert identity() == before


@root_only
def test_rights_come_back_after_an_error() -> None:
    before = identity()
    with pytest.raises(RuntimeError), ServiceUser("nobody").acting():
        raise RuntimeError
    assert identity() == before


@root_only
def test_what_root_alone_may_read_is_not_readable(host) -> None:
    with ServiceUser("nobody").acting(), pytest.raises(PermissionError):
        host.key.read_text()


@root_only
def test_a_result_names_the_user_of_the_probe() -> None:
    (result,) = probe_as(ServiceUser("nobody"), lambda: iter([ProbeResult.ok("all well")]))
    assert result.text == "all well (as nobody)"


@root_only
def test_a_file_that_a_daemon_may_not_read_says_what_to_do() -> None:
    def look() -> Iterator[ProbeResult]:
        yield from config_faults(ConfigError([Fault("/etc/stopit/site.key", "", "", f"cannot be read: {denied}")]))

    denied = PermissionError(13, "Permission denied", "/etc/stopit/site.key")
    (result,) = probe_as(ServiceUser("nobody"), look)
    assert "chgrp stopit, chmod 0640" in result.advice


@root_only
def test_a_secret_is_read_as_root_for_the_daemon_that_gets_it_and_for_no_other(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    for name in ("cases.password", "own.password"):
        (tmp_path / name).write_text("secret\n")
        (tmp_path / name).chmod(0o600)
    milter = ServiceUser("nobody", "stopit-milter", tmp_path)
    notifier = ServiceUser("nobody", "stopit-notifier", tmp_path)

    with notifier.acting():
        before = identity()
        assert notifier.read(tmp_path / "cases.password") == "secret"
        assert identity() == before
        with pytest.raises(PermissionError):
            notifier.read(tmp_path / "own.password")
    with milter.acting(), pytest.raises(PermissionError):
        milter.read(tmp_path / "cases.password")


@pytest.mark.parametrize("name", ["", "no-such-user-here"])
def test_without_such_a_user_nothing_changes(name: str) -> None:
    before = identity()
    with ServiceUser(name).acting():
        assert identity() == before
    assert not ServiceUser(name).reachable


def test_operator_is_the_user_behind_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    plain = operator()
    assert plain
    monkeypatch.setenv("SUDO_USER", "paula")
    assert operator() == ("paula" if os.getuid() == 0 else plain), "only sudo, run by root, is believed"
