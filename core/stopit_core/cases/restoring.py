"""Handle a record that was restored from a backup: what it may lack, and what must not follow from that.

The record lacks all events between the backup and the loss: notices were sent, reporters cancelled notices, flags
were decided. So for a record that was restored from an earlier time:

* a pending notice is not sent. If the ledger has its trace, it was sent before: the notifier records that as after a
  crash (`recovery`). Else it is cancelled, its reports have no notice, and staff are told; they can send it by
  `stopitctl cases notice` if the MTA's log shows that it was not sent;
* no automatic notice is sent for mail that passed before the restore (`policy.Reason.RESTORED`): a flag of that mail
  may have been decided in between, and its notice sent. Staff decide.

So nobody gets a notice twice, nor one that was cancelled. Acknowledgements and alerts may be sent twice, which is
harmless.
"""

from __future__ import annotations

from sqlalchemy import insert, select, update

from stopit_core.cases.records import Actor, CaseState, EventKind, MessageRow, MessageState, Party
from stopit_core.cases.rows import message_of
from stopit_core.cases.schema import messages, reports, restores
from stopit_core.cases.work import Work

__all__ = ["Restoring"]

_CLAIM_ID = "restore"
"""The claim id of a notice whose trace was found."""


class Restoring:
    """The changes to a restored record, in the transaction `work`."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._connection = work.flushed_connection()

    def mark(self, made_at: float, now: float) -> None:
        """Record that the data is of `made_at` and was restored at `now`."""
        self._connection.execute(insert(restores).values(at=now, made_at=made_at))

    def waiting_notices(self) -> list[MessageRow]:
        """Return the notices that are pending or being sent."""
        rows = self._connection.execute(
            select(messages)
            .where(
                messages.c.state.in_((MessageState.PENDING.value, MessageState.SENDING.value)),
                messages.c.party == Party.SENDER.value,
            )
            .order_by(messages.c.id)
        )
        return [message_of(row) for row in rows]

    def record_as_sending(self, notice: MessageRow, made_at: float, now: float) -> None:
        """Mark a notice whose trace is in the ledger, so that the notifier records that it was sent, and when."""
        self._set(
            notice,
            state=MessageState.SENDING.value,
            attempts=1,
            claimed_by=_CLAIM_ID,
            claimed_at=now,
            data_at=made_at,
            error="",
        )

    def cancel(self, notice: MessageRow, why: str, now: float) -> None:
        """Cancel the notice; its reports have no notice afterwards, and the case goes to staff."""
        self._work.lock(notice.recipient)
        self._set(notice, state=MessageState.CANCELLED.value, error=why)
        self._connection.execute(update(reports).where(reports.c.notice_id == notice.id).values(notice_id=None))
        self._work.note(notice.case_id, now, Actor.SYSTEM, EventKind.MESSAGE_CANCELLED, ref=notice.ref, error=why)
        self._work.set_state(notice.case_id, CaseState.STAFF, now)

    def _set(self, notice: MessageRow, **values: object) -> None:
        self._connection.execute(update(messages).where(messages.c.id == notice.id).values(**values))
