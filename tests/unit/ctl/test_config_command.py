"""stopitctl config: the documented keys, and the settings in force."""

from __future__ import annotations

from stopit_core import config


def test_the_whole_file_is_described(host) -> None:
    assert host.run("config", "describe").stdout == config.describe()


def test_a_key_is_described(host) -> None:
    done = host.run("config", "describe", "policy.reporter_daily_cap")
    assert done.stdout == (
        "# The number of reports by one reporter in 24 hours. Further reports go to staff.\n"
        "#reporter_daily_cap = 20\n"
    )


def test_an_unknown_key_is_wrong_usage(host) -> None:
    done = host.run("config", "describe", "policy.coldown")
    assert done.exit_code == 2
    assert "no such key" in done.stderr


def test_a_key_under_its_former_name_leads_to_the_new_one(host) -> None:
    done = host.run("config", "describe", "milter.recycle_after")
    assert done.exit_code == 2
    assert "is now milter.max_messages" in done.stderr


def test_a_former_name_in_another_section_is_unknown(host) -> None:
    assert "no such key" in host.run("config", "describe", "queue.recycle_after").stderr


def test_describing_needs_no_site(host) -> None:
    host.path.unlink()
    assert host.run("config", "describe").exit_code == 0


def test_what_is_shown_is_what_is_in_force(host) -> None:
    host.configure(policy={"cooldown": 7 * 86400.0}, identity={"trusted_relays": ["192.0.2.1"]})
    office = '[[office]]\nname = "A \\"b\\" \\\\ c"\naddress = "a@example.edu"\nabout = "Ünï."\n'
    host.path.write_text(host.path.read_text() + office)
    done = host.run("config", "show")
    assert done.exit_code == 0
    assert "#" not in done.stdout
    assert config.parse(done.stdout, "shown") == host.settings


def test_passwords_in_urls_are_masked_and_password_files_not_read(host) -> None:
    host.configure(
        queue={"url": "redis://stopit:hunter2@127.0.0.1:6379/0"},
        ledger={"url": "unix:///run/redis.sock?db=1&password=hunter2&x=1"},
        cases={"url": "postgresql+psycopg://stopit:hunter2@db.example.edu/stopit"},
        smtp={"login": "stopit", "password_file": host.directory / "nothing-here"},
    )
    done = host.run("config", "show")
    assert done.exit_code == 0
    assert "hunter2" not in done.stdout
    assert "redis://stopit:***@127.0.0.1:6379/0" in done.stdout
    assert "password=***&x=1" in done.stdout
    assert "nothing-here" in done.stdout
