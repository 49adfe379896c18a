"""Cancel, retry, delete, and decide about jobs and clips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from adapters.web.desk.act import DeskAct, Form
from adapters.web.desk.flash import FlashMessage
from bot.errors import InvalidRequest, NotAllowed, PostStays, Refusal
from bot.notices import OUTCOMES, VERDICTS, Accepted, Cancelled, ConfirmNeeded
from bot.text import DECIDED, describe
from bot.words import charge_words

if TYPE_CHECKING:
    from bot.studio import Sitting, Studio


class ActsOnJobs:
    """Each looks first whether the job is theirs to see."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._acts = studio.desk.acts

    @property
    def acts(self) -> Mapping[str, DeskAct]:
        """By their paths."""
        return {
            "/desk/acts/cancel": self._cancel,
            "/desk/acts/retry": self._retry,
            "/desk/acts/delete": self._delete,
            "/desk/acts/report": self._report,
            "/desk/acts/review": self._review,
            "/desk/acts/resolve": self._resolve,
            "/desk/acts/unpark": self._unpark,
        }

    async def _cancel(self, form: Form, sitting: Sitting) -> FlashMessage:
        found = await self._acts.of_job(sitting, form.job)
        notice = await self._studio.cancel(found.job_id, sitting.who, is_moderator=True)
        await self._studio.admin.note_own("cancel", found.job_id, actor=sitting.who)
        said = f"{found.job_id} of {found.name} is cancelled."
        if isinstance(notice, Cancelled):
            said += f" {charge_words(notice.charged)}"
        return FlashMessage(sentence=said)

    async def _retry(self, form: Form, sitting: Sitting) -> FlashMessage:
        found = await self._acts.of_job(sitting, form.job)
        key = f"desk:{found.job_id}:{form.nonce}"
        try:
            receipt = await self._studio.retries.retry(
                found.job_id, actor=sitting.who, dedupe_key=key
            )
        except InvalidRequest:
            raise
        except Refusal as refused:
            # It is said to whoever asks, who is somebody else here.
            said = f"It cannot be asked for again. {found.name} would read: {refused.sentence}"
            raise NotAllowed(said) from refused
        said = f"{found.job_id} is tried again for {found.name}, as {receipt.job_id}"
        if isinstance(receipt.notice, ConfirmNeeded):
            return FlashMessage(sentence=f"{said}. It waits for them to confirm its price.")
        if isinstance(receipt.notice, Accepted):
            return FlashMessage(sentence=f"{said}.")
        return FlashMessage(sentence=f"{said}: {describe(receipt.notice).title}")

    async def _delete(self, form: Form, sitting: Sitting) -> FlashMessage:
        found = await self._acts.of_job(sitting, form.job)
        try:
            await self._studio.delete(found.job_id, sitting.who, is_moderator=True)
        except PostStays:
            await self._studio.admin.note_own("delete", found.job_id, actor=sitting.who)
            raise
        await self._studio.admin.note_own("delete", found.job_id, actor=sitting.who)
        return FlashMessage(sentence=f"What {found.job_id} made for {found.name} is deleted.")

    # ---- what waits for a word -----------------------------------------------------------

    async def _report(self, form: Form, sitting: Sitting) -> FlashMessage:
        found = await self._acts.of_job(sitting, form.job)
        outcome = next((each for each in OUTCOMES if each == form.text("outcome")), None)
        if outcome is None:
            raise InvalidRequest("Choose whether to remove the clip, block its maker, or keep it.")
        await self._studio.care.decide(found.job_id, outcome, actor=sitting.who)
        return FlashMessage(sentence=f"{found.job_id}: {DECIDED[outcome]}")

    async def _review(self, form: Form, sitting: Sitting) -> FlashMessage:
        found = await self._acts.of_job(sitting, form.job)
        verdict = next((each for each in VERDICTS if each == form.text("verdict")), None)
        if verdict is None:
            raise InvalidRequest("Choose whether to post the clip or to reject it.")
        decided = await self._studio.reviews.decide(
            found.job_id, verdict, actor=sitting.who, reason=form.text("reason")
        )
        return FlashMessage(sentence=f"{found.job_id}: {describe(decided).lines[0]}")

    # ---- what only an operator can mend --------------------------------------------------

    async def _resolve(self, form: Form, sitting: Sitting) -> FlashMessage:
        found = await self._acts.of_job(sitting, form.job)
        match form.text("how"):
            case "charge":
                await self._studio.admin.resolve(found.job_id, "charge", actor=sitting.who)
                return FlashMessage(sentence=f"{found.job_id} is ended and charged.")
            case "release":
                await self._studio.admin.resolve(found.job_id, "release", actor=sitting.who)
                return FlashMessage(
                    sentence=f"{found.job_id} is ended; {found.name} pays nothing for it."
                )
            case _:
                raise InvalidRequest("Choose whether to charge for it or to give the money back.")

    async def _unpark(self, form: Form, sitting: Sitting) -> FlashMessage:
        found = await self._acts.of_job(sitting, form.job)
        await self._studio.admin.unpark(found.job_id, actor=sitting.who)
        return FlashMessage(sentence=f"{found.job_id} goes on.")
