"""The URL of a Redis service with Sentinels: all its parts, and messages that never show a password."""

from __future__ import annotations

import pytest

from stopit_core.config.redis_url import SentinelUrl, is_sentinel_url


def test_every_part_is_found() -> None:
    url = SentinelUrl.parse(
        "rediss+sentinel://milter:p%40ss%2Fword@s1.example.edu:26380,192.0.2.7,[2001:db8::7]:26381,[::1]/mail/3"
        "?sentinel_username=watcher&sentinel_password=a%26b&ssl_ca_certs=/etc/ssl/ca.pem"
    )
    assert url.sentinels == (("s1.example.edu", 26380), ("192.0.2.7", 26379), ("2001:db8::7", 26381), ("::1", 26379))
    assert (url.service, url.database, url.login) == ("mail", 3, ("milter", "p@ss/word"))
    assert url.sentinel_login == ("watcher", "a&b")
    assert url.tls == {"ssl_ca_certs": "/etc/ssl/ca.pem"}


def test_only_what_is_needed() -> None:
    url = SentinelUrl.parse("redis+sentinel://s1/mail")
    assert url == SentinelUrl((("s1", 26379),), "mail", 0, ("", ""), ("", ""), None)
    assert SentinelUrl.parse("rediss+sentinel://s1/mail").tls == {}
    assert SentinelUrl.parse("redis+sentinel://:secret@s1/mail").login == ("", "secret")


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://",
        "redis+sentinel:///mail",
        "redis+sentinel://u:secret@s1",
        "redis+sentinel://u:secret@s1,/mail",
        "redis+sentinel://u:secret@s1:0/mail",
        "redis+sentinel://u:secret@s1:99999/mail",
        "redis+sentinel://u:secret@s1 s2/mail",
        "redis+sentinel://u:secret@[::1/mail",
        "redis+sentinel://u:secret@s1/my mail",
        "redis+sentinel://u:secret@s1/mail/x",
        "redis+sentinel://u:sec/ret@s1/mail",
        "redis+sentinel://u:secret@s1/mail?db=3",
        "redis+sentinel://u:secret@s1/mail?ssl_keyfile=/k",
        "redis://u:secret@s1/0",
    ],
)
def test_what_is_wrong_is_said_without_the_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"must|option") as caught:
        SentinelUrl.parse(url)
    assert "secret" not in str(caught.value)
    assert "ret@" not in str(caught.value)


def test_other_urls_are_not_meant() -> None:
    assert not any(map(is_sentinel_url, ("redis://s1/0", "rediss://s1/0", "unix:///a/redis+sentinel://", "")))
