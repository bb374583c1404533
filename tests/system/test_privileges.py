"""The files and sockets that an attacker could reach from a compromised daemon: as its user, and inside its unit.

Each try that must fail has a counterpart that must succeed, which shows that the try itself is correct.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stopit_lab.mailhost import MILTER, NOTIFIER
from stopit_lab.postfix_host import PostfixHost

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

CASES = "/var/lib/stopit-notifier/cases.db"
SOCKET = "/var/spool/postfix/stopit/milter.sock"

# Each line of the tries is an expression. The result is the name of the error, "" without one.
TRY = """
import ctypes, json, mmap, os, socket, sys

def read(path): open(path, "rb").close()
def write(path): open(path, "ab").close()
def connect(path):
    listener = socket.socket(socket.AF_UNIX)
    listener.connect(path)
    listener.close()
def namespace():
    if ctypes.CDLL(None, use_errno=True).unshare(0x10000000):
        raise OSError(ctypes.get_errno(), "unshare")
def machine_code(): mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)

said = {}
for line in sys.argv[1:]:
    try:
        eval(line)
        said[line] = ""
    except Exception as error:
        said[line] = type(error).__name__
print(json.dumps(said))
"""
DENIED = {"PermissionError", "FileNotFoundError"}
"""FileNotFoundError, because inaccessible files are hidden in the namespace of a unit."""

# Settings that only one process can have, and those about start and end; all others of [Service] are tried.
NOT_TAKEN = (
    "Type",
    "NotifyAccess",
    "Exec",
    "Restart",
    "WatchdogSec",
    "KillMode",
    "TimeoutStopSec",
    "RuntimeDirectory",
)


def tried(site: PostfixHost, tries: list[str], properties: list[str]) -> dict[str, Any]:
    said = site.host.run("python3", "-c", TRY, *tries, properties=properties)
    return dict(json.loads(said.out))


def as_user(site: PostfixHost, user: str, *tries: str) -> dict[str, Any]:
    """Run the tries as this user with all its groups, outside a unit."""
    return tried(site, list(tries), [f"User={user}"])


def inside(site: PostfixHost, unit: str, *tries: str) -> dict[str, Any]:
    """Run the tries with all settings of the unit."""
    text = site.host.run("systemctl", "cat", unit).out.partition("[Service]")[2].partition("\n[Install]")[0]
    lines = [line for line in text.splitlines() if "=" in line and not line.startswith(("#", *NOT_TAKEN))]
    assert "NoNewPrivileges=yes" in lines
    return tried(site, list(tries), lines)


def beside(site: PostfixHost, unit: str, *tries: str) -> dict[str, Any]:
    """Run the tries in the namespace of the running process, as its user."""
    user = site.host.show(unit, "User")
    enter = ["nsenter", f"--target={site.pid(unit)}", "--mount", "--"]
    become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "python3", "-c", TRY, *tries]
    return dict(json.loads(site.host.run(*enter, *become).out))


def test_milter_cannot_read_cases(site: PostfixHost) -> None:
    cases, queue = f"read('{CASES}')", "read('/var/lib/stopit/queue.db')"
    ways = [
        as_user(site, "stopit", cases, queue),
        inside(site, MILTER, cases, queue),
        beside(site, MILTER, cases, queue),
    ]

    assert all(said[cases] in DENIED for said in ways), ways
    assert [said[queue] for said in ways] == ["", "", ""]
    assert as_user(site, "stopit-notifier", cases) == {cases: ""}
    assert inside(site, NOTIFIER, cases) == {cases: ""}


def test_notifier_cannot_open_the_milters_socket(site: PostfixHost) -> None:
    opens = f"connect('{SOCKET}')"
    ways = [
        as_user(site, "stopit-notifier", opens),
        inside(site, NOTIFIER, opens),
        beside(site, NOTIFIER, opens),
    ]

    assert all(said[opens] in DENIED for said in ways), ways
    assert as_user(site, "postfix", opens) == {opens: ""}


def test_nobody_else_reads_anything_of_stopits(site: PostfixHost) -> None:
    files = [CASES, "/var/lib/stopit/queue.db", "/etc/stopit/stopit.toml", "/etc/stopit/site.key"]
    tries = [f"read('{path}')" for path in files]

    assert as_user(site, "nobody", *tries) == dict.fromkeys(tries, "PermissionError")


@pytest.mark.parametrize("unit", [MILTER, NOTIFIER])
def test_unit_can_change_nothing_of_the_system(site: PostfixHost, unit: str) -> None:
    refused = [
        "write('/etc/stopit/stopit.toml')",
        "write('/opt/stopit/new')",
        "write('/usr/new')",
        "os.setuid(0)",
        "namespace()",
        "machine_code()",
        "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
        "os.listdir('/root')",
        "os.mknod('/var/lib/stopit/device', 0o20600, os.makedev(1, 1))",
    ]
    allowed = ["read('/etc/stopit/stopit.toml')", "write('/var/lib/stopit/queue.db')", "write('/tmp/own')"]

    said = inside(site, unit, *refused, *allowed)

    assert [line for line in refused if said[line] == ""] == []
    assert {line: said[line] for line in allowed} == dict.fromkeys(allowed, "")
    assert not site.host.path("/tmp/own").exists()


def test_files_are_for_those_who_need_them(site: PostfixHost) -> None:
    paths = ["/etc/stopit", "/var/lib/stopit", "/var/lib/stopit-notifier", CASES, str(Path(SOCKET).parent), SOCKET]
    lines = site.host.run("stat", "--format=%a %U %G %n", *paths).out.splitlines()

    assert lines == [
        "750 root stopit /etc/stopit",
        "2770 root stopit /var/lib/stopit",
        "700 stopit-notifier stopit-notifier /var/lib/stopit-notifier",
        f"600 stopit-notifier stopit-notifier {CASES}",
        "2750 stopit postfix /var/spool/postfix/stopit",
        f"770 stopit postfix {SOCKET}",
    ]
