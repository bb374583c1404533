"""The probe of who can read the key."""

from __future__ import annotations

import os

import pytest

from stopit_ctl.doctor.secret_permissions import probe_secret_permissions
from stopit_ctl.probe_results import ProbeResult, Status

NOBODY = 65534


def look(host) -> ProbeResult:
    (result,) = probe_secret_permissions(host.settings, ())
    return result


def test_a_key_of_one_s_own(host) -> None:
    assert look(host).status is Status.OK
    assert "only (mode 0600)" in look(host).text


@pytest.mark.usefixtures("as_root")
def test_a_key_that_is_somebody_else_s(host) -> None:
    os.chown(host.key, NOBODY, -1)
    assert "nobody owns" in look(host).text


@pytest.mark.usefixtures("as_root")
def test_a_key_that_another_group_reads(host) -> None:
    os.chown(host.key, -1, 4242)
    host.key.chmod(0o640)
    assert "group 4242 can read" in look(host).text


def test_a_directory_in_which_anybody_can_put_another(host) -> None:
    host.directory.chmod(0o777)
    assert "every user can replace" in look(host).text
