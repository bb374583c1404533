"""The daemons as a postmaster uses them: reload, modes, metrics and logs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stopit_lab.people import Cast
from stopit_lab.site import EMERGENCY, Site
from stopit_lab.story import Story
from stopit_lab.waiting import until

pytestmark = pytest.mark.integration

MakeSite = Callable[..., Site]
Settled = Callable[[Site], None]

RELOADED = "stopit_config_last_reload_successful"


class TestReload:
    """SIGHUP: a good file is in force at once, a broken one not at all."""

    @pytest.fixture
    def own_site(self, make_site: MakeSite) -> Site:
        return make_site()

    def test_milter(self, own_site: Site, cast: Cast) -> None:
        story = Story(own_site, cast)
        original = story.write()

        own_site.configure({"flag": {"keywords": ["genug"]}})
        own_site.milter.reload()
        passed, _ = story.answer(original, typed="stopit")
        withheld, _ = story.answer(original, typed="genug")
        story.find(cast.mallory, passed)
        story.notice()
        assert not story.has(cast.mallory, withheld)

        own_site.configure({"flag": {"keywords": []}})
        own_site.milter.reload()
        assert own_site.milter_metrics().value(RELOADED) == 0
        assert "flag.keywords" in own_site.milter.log_text()
        withheld, _ = story.answer(original, typed="genug")
        story.staff_copy(withheld)
        assert not story.has(cast.mallory, withheld)

        own_site.configure({})
        own_site.milter.reload()
        assert own_site.milter_metrics().value(RELOADED) == 1

    def test_notifier(self, own_site: Site, casts) -> None:
        own_site.configure({"campus": {"emergency": ["Shout for Olga."]}})
        own_site.notifier.reload()
        story = Story(own_site, next(casts))
        story.flag(story.write())
        assert story.acknowledgement().text.lstrip().startswith("Shout for Olga.")

        own_site.configure({"policy": {"notice_delay": ["2h", "1h"]}})
        own_site.notifier.reload()
        assert own_site.notifier_metrics().value(RELOADED) == 0
        assert "policy.notice_delay" in own_site.notifier.log_text()
        story = Story(own_site, next(casts))
        story.flag(story.write())
        assert story.acknowledgement().text.lstrip().startswith("Shout for Olga.")
        story.notice()

        own_site.configure({})
        own_site.notifier.reload()
        assert own_site.notifier_metrics().value(RELOADED) == 1
        story = Story(own_site, next(casts))
        story.flag(story.write())
        assert story.acknowledgement().text.lstrip().startswith(EMERGENCY[0])


def test_deliver_lets_the_reply_through(make_site: MakeSite, cast: Cast) -> None:
    story = Story(make_site(values={"milter": {"reply": "deliver"}}), cast)

    flag = story.flag(story.write())

    story.find(cast.mallory, flag)
    story.staff_copy(flag)
    notice = story.notice()
    assert [secret for secret in story.secrets() if secret in notice] == []


def test_observe_changes_and_sends_nothing(make_site: MakeSite, cast: Cast) -> None:
    site = make_site(values={"milter": {"mode": "observe"}})
    story = Story(site, cast)

    flag = story.flag(story.write())
    received = story.find(cast.mallory, flag)
    until(lambda: site.notifier_metrics().total("stopit_decisions_total") == 1, "the decision")
    until(lambda: site.notifier_metrics().value("stopit_queue_depth") == 0, "an empty queue")
    site.postfix.wait_until_queue_is_empty()

    assert b"X-Stopit" not in received.raw
    assert site.staff.messages() == []
    assert story.service_mail(cast.vera) == []
    assert story.notices() == []
    assert site.notifier_metrics().value("stopit_messages_sent_total", kind="notice", result="sent") == 0


def test_several_workers_share_the_mail(make_site: MakeSite, casts) -> None:
    site = make_site(values={"milter": {"workers": 3}})
    stories = [Story(site, next(casts)) for _ in range(6)]

    for story in stories:
        story.flag(story.write())

    for story in stories:
        story.notice()
    counted = site.milter_metrics()
    assert counted.value("stopit_flags_total", channel="reply", result="queued") == len(stories)
    assert counted.value("stopit_milter_faults_total", stage="decide") == 0


def test_stop_is_orderly(make_site: MakeSite) -> None:
    site = make_site()

    assert site.notifier.terminate() == 0
    assert site.milter.terminate() == 0


def test_logs_and_metrics_name_no_address(story: Story, nothing_more_is_sent: Settled) -> None:
    flag = story.flag(story.write())
    story.staff_copy(flag)
    story.notice()
    story.acknowledgement()
    nothing_more_is_sent(story.site)

    site = story.site
    logs = site.milter.log_text() + site.notifier.log_text()
    pages = "\n".join(
        str(line) for scraped in (site.milter_metrics(), site.notifier_metrics()) for line in scraped.series()
    )
    queue_ids = set(story.queue_ids())
    secrets = {*story.secrets(), story.cast.mallory} - queue_ids
    assert [secret for secret in secrets if secret in logs] == []
    assert [secret for secret in secrets | queue_ids if secret in pages] == []
    assert all(queue_id in logs for queue_id in queue_ids)
