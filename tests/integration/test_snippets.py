"""The lines that a site pastes into Postfix and Sendmail, as these programs read them, and their effect while the
milter is down."""

from __future__ import annotations

import re
import shutil
import smtplib
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from servers import missing, require
from stopit_core.config import Smtp, describe, parse
from stopit_lab.ports import HOST, spare_ports
from stopit_lab.waiting import until

pytestmark = pytest.mark.integration

CONFIG = Path(__file__).parents[2] / "config"
SERVICES = ("smtp", "submission", "submissions", "127.0.0.1:10587")
SENDMAIL = Path("/usr/share/sendmail/cf")

_MAIN = """\
compatibility_level = 3.7
multi_instance_name = postfix-snippets
queue_directory = {directory}/queue
data_directory = {directory}/data
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {directory}/log
maillog_file_prefixes = {directory}
alias_maps = texthash:{directory}/aliases
alias_database =
inet_interfaces = {host}
inet_protocols = ipv4
myhostname = mx.example.edu
mydestination = example.edu
local_recipient_maps = $alias_maps
local_transport = discard:
default_transport = error:nothing leaves this host
smtpd_peername_lookup = no
smtpd_tls_security_level = none
"""

_MASTER = """\
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


class Instance:
    """A Postfix of its own whose configuration is a plain one with the snippets pasted in."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        ports = dict(zip(SERVICES, spare_ports(len(SERVICES)), strict=True))
        self.ports = ports
        for name in ("queue", "data", "config"):
            (directory / name).mkdir(mode=0o755, exist_ok=True)
        shutil.chown(directory / "data", "postfix")
        (directory / "aliases").write_text("stopit stopit-staff\nstopit-staff stopit-staff\n")
        main = (CONFIG / "postfix" / "main.cf.snippet").read_text()
        master = (CONFIG / "postfix" / "master.cf.snippet").read_text()
        (directory / "config" / "main.cf").write_text(_MAIN.format(directory=directory, host=HOST) + main)
        (directory / "config" / "master.cf").write_text(_MASTER + "smtp inet n - y - - smtpd\n" + master)

    def conf(self, *arguments: str) -> str:
        """Return the output of postconf. Fails on a warning: postconf warns of names that nothing uses."""
        command = ["postconf", "-c", str(self.directory / "config"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert not done.stderr
        return done.stdout

    def command(self, verb: str) -> str:
        command = ["postfix", "-c", str(self.directory / "config"), verb]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def use_spare_ports(self) -> None:
        """Make the services usable in a test: with other ports, and without chroot, TLS and SASL, which need files
        of the site."""
        path = self.directory / "config" / "master.cf"
        text = re.sub(r"^(\S+ +inet +n +- +)y", r"\1n", path.read_text(), flags=re.M)
        for service, port in self.ports.items():
            text = re.sub(rf"^{re.escape(service)}(?= +inet)", f"{HOST}:{port}", text, flags=re.M)
        text = re.sub(r"^  -o smtpd_(tls|sasl)_.*\n", "", text, flags=re.M)
        path.write_text(text.replace("permit_sasl_authenticated", "permit_mynetworks"))

    def send(self, service: str, sender: str, recipient: str) -> int:
        """Send a message through this service, and return the code of the last reply."""
        with smtplib.SMTP(HOST, self.ports[service], timeout=20) as client:
            client.ehlo("client.example.edu")
            for answer in (client.mail(sender), client.rcpt(recipient)):
                if answer[0] >= 400:
                    return answer[0]
            return client.data(b"Subject: hello\r\n\r\nhello\r\n")[0]


@pytest.fixture
def postfix() -> Iterator[Instance]:
    """The snippets in place; nothing runs."""
    with tempfile.TemporaryDirectory(prefix="stopit-snippets-") as name:
        directory = Path(name)
        directory.chmod(0o755)  # Postfix's own users must be able to pass
        yield Instance(directory)


@pytest.fixture
def running(postfix: Instance) -> Iterator[Instance]:
    """The same Postfix, running, without a milter."""
    postfix.use_spare_ports()
    postfix.command("start")
    try:
        for port in postfix.ports.values():
            until(partial(_greets, port), f"Postfix's greeting on port {port}")
        yield postfix
    finally:
        postfix.command("stop")


def _greets(port: int) -> bool:
    try:
        with smtplib.SMTP(HOST, port, timeout=10) as client:
            return client.noop()[0] == 250
    except (OSError, smtplib.SMTPException):
        return False


class TestPostfix:
    def test_it_finds_no_fault(self, postfix: Instance) -> None:
        said = postfix.command("check")
        assert "fatal" not in said
        assert "smtpd_milters" in postfix.conf("-n")

    def test_only_port_25_lets_mail_pass_while_the_milter_is_away(self, postfix: Instance) -> None:
        def action(*arguments: str) -> list[str]:
            return re.findall(r"default_action=(\w+)", postfix.conf("-x", *arguments))

        assert action("smtpd_milters") == ["accept"]
        assert "smtp/inet/smtpd_milters" not in postfix.conf("-P")
        for service in SERVICES[1:]:
            assert action("-P", f"{service}/inet/smtpd_milters") == ["tempfail"]

    def test_the_socket_is_the_one_of_the_configuration(self, postfix: Instance) -> None:
        socket = parse(describe(), "stopit.toml").milter.socket
        inside = postfix.conf("-xh", "smtpd_milters").split()[1].rstrip(",")
        assert socket == inside.replace("unix:", "unix:/var/spool/postfix/")

    def test_the_notifiers_own_service_is_on_this_host_only(self, postfix: Instance) -> None:
        services = [line.split() for line in postfix.conf("-M").splitlines()]
        own = [fields[0] for fields in services if fields[0].endswith(":10587")]
        assert own == [f"{Smtp().host}:10587"]

    def test_a_dead_milter_defers_mail_of_members_only(self, running: Instance) -> None:
        outside = running.send("smtp", "somebody@elsewhere.example", "stopit-staff@example.edu")
        assert outside == 250
        for service in SERVICES[1:]:
            assert 400 <= running.send(service, "vera@example.edu", "stopit-staff@example.edu") < 500

    def test_answers_to_tagged_addresses_are_taken(self, running: Instance) -> None:
        taken = running.send("smtp", "", "stopit+abcdefghijklmnopqrstuvwxyz234567@example.edu")
        assert taken == 250
        assert running.send("smtp", "", "nobody@example.edu") == 550


@pytest.fixture(scope="module")
def sendmail_cf() -> str:
    """The lines of Sendmail's own configuration that the .mc makes, in a plain one."""
    if not SENDMAIL.is_dir():
        missing("sendmail-cf")
    require("m4")
    snippet = (CONFIG / "sendmail" / "stopit.mc").read_text()
    text = (
        f"include(`{SENDMAIL}/m4/cf.m4')dnl\nVERSIONID(`test')\nOSTYPE(`debian')dnl\nDOMAIN(`debian-mta')dnl\n"
        f"{snippet}MAILER(`local')dnl\nMAILER(`smtp')dnl\n"
    )
    done = subprocess.run(["m4", "-"], input=text, capture_output=True, text=True, check=True)
    assert not done.stderr
    return done.stdout


class TestSendmail:
    def test_only_port_25_lets_mail_pass_while_the_milter_is_away(self, sendmail_cf: str) -> None:
        filters = dict(re.findall(r"^X([\w-]+), *(.*)$", sendmail_cf, re.M))
        services = re.findall(r"^O DaemonPortOptions=Port=(\w+),.*InputMailFilters=([\w-]+)", sendmail_cf, re.M)

        assert {service: "F=T" in filters[name] for service, name in services} == {
            "smtp": False,
            "submission": True,
            "10587": True,
        }

    def test_the_milter_is_told_who_logged_in(self, sendmail_cf: str) -> None:
        macros = dict(re.findall(r"^O Milter\.macros\.(\w+)=(.*)$", sendmail_cf, re.M))
        assert {"i", "{auth_authen}"} <= set(macros["envfrom"].split(", "))
        assert "{client_addr}" in macros["connect"].split(", ")
