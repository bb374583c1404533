"""The units, their users and their directories, as systemd's own tools read them."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import servers
from stopit_core.config import parse

SYSTEMD = Path(__file__).parents[2] / "systemd"
SOCKET = SYSTEMD / "milter-socket.conf"
UNITS = ("stopit-milter.service", "stopit-notifier.service")
MOST_EXPOSED = 1.5  # systemd-analyze counts from 0 (safe) to 10; what is left is explained at the end of each unit

SETTINGS = parse(
    """
    [campus]
    name = "Example University"
    domains = ["example.edu"]
    report_address = "stopit@example.edu"
    staff_address = "staff@example.edu"
    """,
    "stopit.toml",
)

Tool = Callable[[str], str]


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def directives(unit: str) -> list[tuple[str, str]]:
    lines = (SYSTEMD / unit).read_text().splitlines()
    return [
        (key, value) for key, equals, value in (line.partition("=") for line in lines if line[:1] != "#") if equals
    ]


def values(unit: str, key: str) -> list[str]:
    return [value for name, value in directives(unit) if name == key]


@pytest.fixture
def root() -> Iterator[Path]:
    """A root directory with only root, Postfix's user and the files of the package. Other users may enter it, unlike
    pytest's own directories."""
    with tempfile.TemporaryDirectory(prefix="stopit-root-") as name:
        place = Path(name)
        place.chmod(0o755)
        for kind in ("sysusers.d", "tmpfiles.d"):
            directory = place / "usr" / "lib" / kind
            directory.mkdir(parents=True)
            (directory / "stopit.conf").write_text((SYSTEMD / kind / "stopit.conf").read_text())
        (place / "etc").mkdir()
        (place / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\npostfix:x:101:103::/:/usr/sbin/nologin\n")
        (place / "etc" / "group").write_text("root:x:0:\npostfix:x:103:\n")
        yield place


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_no_fault_in_a_unit(unit: str, tool: Tool, tmp_path: Path) -> None:
    text = (SYSTEMD / unit).read_text().replace("/opt/stopit/bin/", f"{tmp_path}/")  # it looks for the program
    program = tmp_path / Path(unit).stem
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    copy = tmp_path / unit
    copy.write_text(text)

    assert unit not in run(tool("systemd-analyze"), "verify", "--man=no", str(copy))


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_calls_a_unit_hardened(unit: str, tool: Tool) -> None:
    report = run(tool("systemd-analyze"), "security", "--offline=true", "--no-pager", str(SYSTEMD / unit))

    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", report)
    assert found, report
    assert float(found[1]) <= MOST_EXPOSED, report


@pytest.mark.parametrize("unit", UNITS)
def test_every_weakness_that_systemd_names_is_explained_or_needed(unit: str, tool: Tool) -> None:
    report = run(
        tool("systemd-analyze"), "security", "--offline=true", "--no-pager", "--json=short", str(SYSTEMD / unit)
    )
    weak = {
        re.split(r"[=:]", row["json_field"])[0] for row in json.loads(report) if not row["set"] and row["exposure"]
    }
    known = {
        "RestrictAddressFamilies_AF_UNIX": "the MTA's socket, and systemd's own",
        "RestrictAddressFamilies_AF_INET_INET6": "the metrics",
        "DeviceAllow": "ProtectClock=yes itself adds the clock, for reading",
        "SupplementaryGroups": "the notifier reaches the shared stores by group",
    }
    comments = [line for line in (SYSTEMD / unit).read_text().splitlines() if line.startswith("# ")]

    unexplained = {
        name
        for name in weak - set(known)
        if not any(line.startswith(f"# {name.removesuffix('OrRootImage')}=") for line in comments)
    }
    assert not unexplained, report


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_uses_nothing_newer_than_systemd_252(unit: str) -> None:
    assert values(unit, "Type") == ["notify"]  # notify-reload came with 253
    assert not {"RestartSteps", "RestartMaxDelaySec", "ImportCredential"} & {name for name, _ in directives(unit)}


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_names_the_program_and_the_file_of_the_documents(unit: str) -> None:
    assert values(unit, "ExecStart") == [f"/opt/stopit/bin/{Path(unit).stem} --config /etc/stopit/stopit.toml"]
    assert values(unit, "ExecReload") == ["/bin/kill -HUP $MAINPID"]
    assert values(unit, "Restart") == ["always"]
    assert values(unit, "TimeoutStopSec") == ["30s"]
    assert values(unit, "LimitNOFILE") == ["65536"]


def test_the_default_stores_lie_where_their_user_can_write_and_nobody_else_should_look() -> None:
    directories = {}
    lines = [*(SYSTEMD / "tmpfiles.d" / "stopit.conf").read_text().splitlines(), *SOCKET.read_text().splitlines()]
    for fields in (line.split() for line in lines):
        if fields[:1] in (["d"], ["d-"]):
            directories[Path(fields[1])] = (fields[2], fields[3], fields[4])

    def place(url: str) -> tuple[str, str, str]:
        return directories[Path(url.removeprefix("sqlite:///")).parent]

    assert place(SETTINGS.queue.url) == place(SETTINGS.ledger.url) == ("2770", "root", "stopit")
    assert place(SETTINGS.cases.url) == ("0700", "stopit-notifier", "stopit-notifier")
    assert directories[SETTINGS.queue.spool_dir] == ("0700", "stopit", "stopit")
    assert directories[Path(SETTINGS.milter.socket.removeprefix("unix:")).parent] == ("2750", "stopit", "postfix")
    assert directories[SETTINGS.ledger.key_file.parent] == ("0750", "root", "stopit")


def test_the_milter_cannot_see_the_case_record() -> None:
    assert values("stopit-milter.service", "User") != values("stopit-notifier.service", "User")
    place = str(Path(SETTINGS.cases.url.removeprefix("sqlite:///")).parent)
    assert f"-{place}" in values("stopit-milter.service", "InaccessiblePaths")
    assert values("stopit-notifier.service", "StateDirectory") == [Path(place).name]


def test_users_are_made_once_and_the_notifier_is_in_the_shared_group(root: Path, tool: Tool) -> None:
    sysusers = tool("systemd-sysusers")
    said = run(sysusers, f"--root={root}", "--dry-run", "stopit.conf")
    assert "Creating user 'stopit-notifier'" in said
    assert "stopit" not in (root / "etc" / "passwd").read_text()
    servers.require(root=True)

    run(sysusers, f"--root={root}", "stopit.conf")

    groups = {line.split(":")[0]: line.split(":")[3] for line in (root / "etc" / "group").read_text().splitlines()}
    users = {line.split(":")[0]: line.split(":") for line in (root / "etc" / "passwd").read_text().splitlines()}
    assert groups["stopit"] == "stopit-notifier"
    assert users["stopit"][6] == users["stopit-notifier"][6] == "/usr/sbin/nologin"
    assert "Creating" not in run(sysusers, f"--root={root}", "stopit.conf")


def test_directories_and_files_get_their_owners_and_modes(root: Path, tool: Tool) -> None:
    servers.require(root=True)
    run(tool("systemd-sysusers"), f"--root={root}", "stopit.conf")
    (root / "etc" / "stopit").mkdir()
    (root / "etc" / "stopit" / "site.key").write_text("")

    (root / "etc" / "stopit" / "cases.password").write_text("")
    run(tool("systemd-tmpfiles"), f"--root={root}", "--create", "stopit.conf")
    run(tool("systemd-tmpfiles"), f"--root={root}", "--create", str(SOCKET))

    ids = {line.split(":")[0]: int(line.split(":")[2]) for line in (root / "etc" / "passwd").read_text().splitlines()}
    gids = {line.split(":")[0]: int(line.split(":")[2]) for line in (root / "etc" / "group").read_text().splitlines()}

    def found(path: str) -> tuple[str, int, int]:
        status = (root / path).stat()
        return f"{status.st_mode & 0o7777:04o}", status.st_uid, status.st_gid

    assert found("var/spool/postfix/stopit") == ("2750", ids["stopit"], gids["postfix"])
    assert found("var/lib/stopit") == ("2770", 0, gids["stopit"])
    assert found("var/lib/stopit/queue.db") == ("0660", ids["stopit"], gids["stopit"])
    assert found("var/lib/stopit-notifier") == ("0700", ids["stopit-notifier"], gids["stopit-notifier"])
    assert found("var/lib/stopit-notifier/cases.db") == ("0600", ids["stopit-notifier"], gids["stopit-notifier"])
    assert found("run/stopit") == ("2755", ids["stopit"], 0)
    assert found("etc/stopit/site.key") == found("etc/stopit/cases.password") == ("0600", 0, 0)


def test_each_user_opens_its_own_and_nobody_elses(root: Path, tool: Tool) -> None:
    """Tried as each user: the milter's cannot read cases, and the notifier's cannot open the milter's socket."""
    servers.require(root=True)
    run(tool("systemd-sysusers"), f"--root={root}", "stopit.conf")
    (root / "etc" / "stopit").mkdir()
    for name in ("site.key", "cases.password", "stopit.toml"):
        (root / "etc" / "stopit" / name).write_text(name)
    run(tool("systemd-tmpfiles"), f"--root={root}", "--create", "stopit.conf")
    run(tool("systemd-tmpfiles"), f"--root={root}", "--create", str(SOCKET))
    users = {line.split(":")[0]: line.split(":") for line in (root / "etc" / "passwd").read_text().splitlines()}
    shared = int(users["stopit"][3])

    def may(user: str, program: str, path: str) -> bool:
        done = subprocess.run(
            ["/usr/bin/python3", "-c", program, root / path],
            capture_output=True,
            text=True,
            check=False,
            user=int(users[user][2]),
            group=int(users[user][3]),
            extra_groups=[shared] if user == "stopit-notifier" else [],
            umask=0o007,
        )
        assert done.returncode == 0 or "PermissionError" in done.stderr, done.stderr
        return done.returncode == 0

    read = "import sys; open(sys.argv[1], 'rb').read()"
    write = "import sys; open(sys.argv[1], 'r+b').read()"
    call = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"
    listen = "import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])"

    assert may("stopit-notifier", write, "var/lib/stopit-notifier/cases.db")
    assert not may("stopit", read, "var/lib/stopit-notifier/cases.db")
    for store in ("queue.db", "ledger.db"):
        assert may("stopit", write, f"var/lib/stopit/{store}")
        assert may("stopit-notifier", write, f"var/lib/stopit/{store}")
    for user in ("stopit", "stopit-notifier"):
        assert may(user, read, "etc/stopit/stopit.toml")
        assert not may(user, write, "etc/stopit/stopit.toml")
        assert not may(user, read, "etc/stopit/site.key")
        assert not may(user, read, "etc/stopit/cases.password")
    for directory in ("var/spool/postfix/stopit", "run/stopit"):
        path = f"{directory}/milter.sock"
        with socket.socket(socket.AF_UNIX) as listener:
            assert may("stopit", listen, path)
            (root / path).unlink()
            listener.bind(str(root / path))  # a listener like the milter's: its group is that of the directory
            listener.listen()
            os.chown(root / path, int(users["stopit"][2]), (root / directory).stat().st_gid)
            (root / path).chmod(0o770)
            assert may("stopit", call, path)
            assert not may("stopit-notifier", call, path)
            assert may("postfix", call, path) == (directory == "var/spool/postfix/stopit")
