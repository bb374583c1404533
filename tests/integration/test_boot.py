"""Users, directories and units as the package brings them, on a fresh Debian that boots with its own systemd: modes,
units with all their hardening, and the main story through them.

Takes two minutes and downloads a Debian, so it runs where it is asked for:

    apt-get install mmdebstrap systemd-container
    STOPIT_BOOT=1 ./run test tests/integration/test_boot.py
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.environ.get("STOPIT_BOOT") != "1", reason="downloads and boots a Debian; see STOPIT_BOOT"),
]

ROOT = Path(__file__).parents[2]
PACKAGES = "systemd,systemd-sysv,dbus,python3,postfix,libmilter1.0.1,procps"
BOOT_SECONDS = 180

# What happens inside, after the boot. Each `say NAME` sends what follows to a file of that name.
SCRIPT = r"""#!/bin/bash
say() { exec >"/root/said/$1" 2>&1; }
mkdir -p /root/said
say prepare
set -x
systemd-sysusers stopit.conf
systemd-tmpfiles --create stopit.conf
for name in mallory vera walt stopit-staff; do
    useradd "$name"
    install -o "$name" -m 600 /dev/null "/var/mail/$name"
done
postconf -e myhostname=mx.example.edu mydestination=example.edu
cat /root/main.cf.snippet >>/etc/postfix/main.cf
cat /root/master.cf.snippet /root/test-door >>/etc/postfix/master.cf
echo 'stopit: stopit-staff' >>/etc/aliases
newaliases
/opt/stopit/bin/stopitctl init example.edu
systemd-tmpfiles --create stopit.conf
sed -i 's/^#* *port = 25.*/port = 10587/' /etc/stopit/stopit.toml
sed -i 's/^#* *notice_delay = .*/notice_delay = ["1s", "1s"]/' /etc/stopit/stopit.toml
set +x
say check; /opt/stopit/bin/stopitctl check
say start; systemctl start stopit-milter stopit-notifier; echo "started: $?"; systemctl restart postfix
say story; python3 /root/story.py
for name in mallory vera walt stopit-staff; do cp "/var/mail/$name" "/root/said/mail-$name"; done
say doctor; /opt/stopit/bin/stopitctl doctor
say reload; systemctl reload stopit-milter stopit-notifier; echo "reloaded: $?"
say modes; stat -c '%a %U %G %n' /etc/stopit/* /var/lib/stopit/queue.db /var/spool/postfix/stopit/milter.sock
say privileges
for unit in stopit-milter stopit-notifier; do
    grep -E '^(CapEff|NoNewPrivs|Seccomp):' "/proc/$(systemctl show -p MainPID --value $unit)/status"
done
say restart
for unit in stopit-milter stopit-notifier; do kill -9 "$(systemctl show -p MainPID --value $unit)"; done
sleep 10; systemctl is-active stopit-milter stopit-notifier
say stop; systemctl stop stopit-notifier stopit-milter; systemctl show -p Result --value stopit-notifier stopit-milter
say journal; journalctl --no-pager -b -u stopit-milter -u stopit-notifier
systemctl poweroff
"""

STORY = r"""
import pathlib, smtplib, time
def submit(login, recipients, head, text):
    with smtplib.SMTP("127.0.0.1", 2587) as door:
        door.docmd("XCLIENT", f"LOGIN={login}")
        message = f"From: {login}@example.edu\r\nTo: {recipients[0]}\r\n{head}\r\n\r\n{text}\r\n"
        door.sendmail(f"{login}@example.edu", recipients, message)
both = ["vera@example.edu", "walt@example.edu"]
submit("mallory", both, "Message-ID: <o@example.edu>\r\nSubject: harsh", "harsh words")
time.sleep(2)
reply = "Message-ID: <r@example.edu>\r\nIn-Reply-To: <o@example.edu>\r\nSubject: Re: harsh"
submit("vera", ["mallory@example.edu"], reply, "stopit")
until = time.monotonic() + 30
while "Auto-Submitted" not in pathlib.Path("/var/mail/mallory").read_text() and time.monotonic() < until:
    time.sleep(0.5)
time.sleep(1)
"""

# XCLIENT stands in for a login (XCLIENT_README); all else of this door is as on submission.
TEST_DOOR = """127.0.0.1:2587 inet n - y - - smtpd
  -o smtpd_authorized_xclient_hosts=127.0.0.1
  -o { smtpd_milters = $stopit_from_members }
"""

UNIT = """[Unit]
After=basic.target
[Service]
Type=oneshot
ExecStart=/root/script.sh
"""


def run(*command: str | Path) -> None:
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"


def install_program(place: Path) -> None:
    """The virtual environment, made to believe that it was done in /opt/stopit."""
    run("/usr/bin/python3", "-m", "venv", place)
    pip = (place / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "--require-hashes", "-r", "requirements-build.txt")
    run(*pip, "--require-hashes", "--no-build-isolation", "-r", "requirements.txt")
    run(*pip, "--no-deps", "--no-build-isolation", ".")
    for program in (place / "bin").glob("stopit*"):
        program.write_text(re.sub(r"\A#!.*", "#!/opt/stopit/bin/python3", program.read_text()))


def install_files(host: Path) -> None:
    """Users, directories, units, what Postfix needs, and the script."""
    for kind in ("sysusers.d", "tmpfiles.d"):
        shutil.copy(ROOT / "systemd" / kind / "stopit.conf", host / "usr" / "lib" / kind)
    (host / "usr" / "share" / "stopit").mkdir()
    shutil.copy(ROOT / "systemd" / "milter-socket.conf", host / "usr" / "share" / "stopit")
    units = host / "etc" / "systemd" / "system"
    for unit in (ROOT / "systemd").glob("*.service"):
        shutil.copy(unit, units)
    for snippet in (ROOT / "config" / "postfix").iterdir():
        shutil.copy(snippet, host / "root")
    for name, text in (("script.sh", SCRIPT), ("story.py", STORY), ("test-door", TEST_DOOR)):
        (host / "root" / name).write_text(text)
    (host / "root" / "script.sh").chmod(0o755)
    (units / "script.service").write_text(UNIT)
    wanted = units / "multi-user.target.wants"
    wanted.mkdir(exist_ok=True)
    (wanted / "script.service").symlink_to("../script.service")


@pytest.fixture(scope="module")
def said() -> Iterator[dict[str, str]]:
    """What was said at each step, by its name."""
    with tempfile.TemporaryDirectory(prefix="stopit-boot-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        directory.chmod(0o755)
        host, program = directory / "host", directory / "program"
        run("mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", host)
        install_program(program)
        install_files(host)
        boot = ["systemd-nspawn", "--boot", "--register=no", "--keep-unit", "--quiet", "--private-network"]
        subprocess.run(
            [*boot, f"--directory={host}", f"--bind={program}:/opt/stopit"],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=BOOT_SECONDS, check=False,
        )  # fmt: skip
        yield {path.name: path.read_text("utf-8", "replace") for path in (host / "root" / "said").iterdir()}


def test_the_configuration_that_init_writes_passes_check(said: dict[str, str]) -> None:
    assert "FAULT" not in said["check"]


def test_both_daemons_start_reload_and_stop(said: dict[str, str]) -> None:
    assert said["start"].strip() == "started: 0", said["journal"]
    assert said["reload"].strip() == "reloaded: 0", said["journal"]
    assert said["stop"].split() == ["success", "success"], said["journal"]


def test_the_story_comes_true_through_the_hardened_units(said: dict[str, str]) -> None:
    assert "Auto-Submitted: auto-generated" in said["mail-mallory"], said["journal"]
    assert not re.search("vera|walt|harsh", said["mail-mallory"])
    assert "Auto-Submitted: auto-replied" in said["mail-vera"]
    assert "Auto-Submitted" not in said["mail-walt"]
    assert "X-Stopit-Flag: flag" in said["mail-stopit-staff"]


def test_doctor_finds_nothing_but_the_clock_that_a_container_does_not_keep(said: dict[str, str]) -> None:
    faults = [line for line in said["doctor"].splitlines() if line.startswith("FAULT")]
    assert [line for line in faults if "clock:" not in line] == []


def test_files_are_for_those_who_need_them(said: dict[str, str]) -> None:
    modes = {line.split()[3]: line.split()[:3] for line in said["modes"].splitlines()}
    assert modes["/etc/stopit/site.key"] == ["600", "root", "root"]
    assert modes["/etc/stopit/stopit.toml"] == ["640", "root", "stopit"]
    assert modes["/var/lib/stopit/queue.db"] == ["660", "stopit", "stopit"]
    assert modes["/var/spool/postfix/stopit/milter.sock"] == ["770", "stopit", "postfix"]


def test_they_run_with_no_privileges_and_come_back_after_a_kill(said: dict[str, str]) -> None:
    lines = said["privileges"].split()
    assert lines == ["CapEff:", "0" * 16, "NoNewPrivs:", "1", "Seccomp:", "2"] * 2
    assert said["restart"].split() == ["active", "active"], said["journal"]
