"""stopitctl setup sendmail: the shipped lines with the values of this site."""

from __future__ import annotations

from collections.abc import Callable

from stopit_ctl.setup.sendmail import shipped_lines


def test_a_site_s_own_values(host, golden: Callable[[str, str], None]) -> None:
    host.configure(
        milter={"socket": "unix:/run/stopit/m.sock"},
        smtp={"port": 10600},
        campus={"report_address": "halt@campus.example", "staff_address": "halt-staff@campus.example"},
    )
    done = host.run("setup", "sendmail")
    assert done.exit_code == 0
    assert done.stderr == ""
    golden("setup-sendmail", done.stdout)


def test_the_defaults_of_sendmail_are_the_lines_that_ship(host) -> None:
    host.configure(milter={"socket": "unix:/run/stopit/milter.sock"}, smtp={"port": 10587})
    assert host.run("setup", "sendmail").stdout == shipped_lines()


def test_a_socket_that_is_postfix_s_is_named(host) -> None:
    done = host.run("setup", "sendmail")
    assert "milter.socket in stopit.toml is below Postfix's queue directory" in done.stderr
    assert "smtp.port in stopit.toml is 25: set it to 10587" in done.stderr


def test_an_inet_socket(host) -> None:
    host.configure(milter={"socket": "inet:8890@127.0.0.1"})
    assert "S=inet:8890@127.0.0.1," in host.run("setup", "sendmail").stdout
