"""What people make of a finished clip: what is possible with it, and asking for that."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TypedDict, Unpack

from bot.acts import DEFAULT_CHOICES, NEEDS, RELATIONS, Act, Offered, Wish, to_work
from bot.errors import InvalidRequest, NotAllowed
from bot.job import DELICATE, TERMINAL, Job
from bot.menu import Menu, firm
from bot.refs import JobId, MessageRef, ThreadRef
from bot.request import Frame, GenerationRequest, Requester, Work
from bot.store import lookup
from bot.store.database import Database
from bot.store.lineage import keys_of
from bot.studio.intake import Intake
from bot.studio.receipts import Receipt
from bot.text import thing

#: Acts that need no clip: the same is asked for again, as it is or with changes.
OF_REQUESTS: frozenset[Act] = frozenset({"retry", "remix"})
#: Acts that ask for the same work, with its images as they were kept.
OF_THE_SAME: frozenset[Act] = OF_REQUESTS | {"variation", "loop", "final"}
#: All else is done with a film's shots.
OF_FILMS: frozenset[Act] = frozenset({"retry", "delete"})


class Given(TypedDict, total=False):
    """What an act needs of a person (`bot.acts.Wish`); an empty choice is the usual one."""

    choice: str
    prompt: str
    negative_prompt: str
    other: JobId | None
    frame: Frame | None


class Works:
    """Follow-ups of a job, each a job of its own at its own price."""

    def __init__(self, *, database: Database, intake: Intake, menu: Menu) -> None:
        self._database = database
        self._intake = intake
        self._menu = menu

    async def offered(self, job_id: JobId, requester: Requester) -> tuple[Offered, ...]:
        """What can be done with a job now, in the order to offer it in."""
        return self._menu.of(await self._visible(job_id, requester))

    async def offer(self, job_id: JobId, act: Act, requester: Requester) -> Offered:
        """How one act is possible with a job now; raises `InvalidRequest` that says why not."""
        job = await self._visible(job_id, requester)
        _check(job, act, is_private=True)
        return self._offer(act, job)

    def _offer(self, act: Act, job: Job) -> Offered:
        offer = next((each for each in self._menu.of(job) if each.act == act), None)
        if offer is None:
            raise InvalidRequest(self._menu.why_not(act, job))
        return offer

    async def follow(
        self,
        job_id: JobId,
        act: Act,
        requester: Requester,
        *,
        dedupe_key: str,
        thread: ThreadRef,
        count: int = 1,
        work: Work | None = None,
        asked_in: MessageRef | None = None,
        asked_at: datetime | None = None,
        is_private: bool = False,
        is_age_restricted: bool = False,
        is_confirmed: bool = False,
        **given: Unpack[Given],
    ) -> tuple[Receipt, ...]:
        """Ask for something to be made of a job; raises `Refusal`s, then nothing is charged.

        Several variations (`count`) are all started, or none. `work` is what a remix asks for.
        """
        if known := await self._intake.receipts.of(dedupe_key):
            return known
        given["choice"] = given.get("choice") or (str(count) if act == "variation" else "")
        job = await self._source(job_id, act, requester, given.get("other"), is_private=is_private)
        request = GenerationRequest(
            dedupe_key=dedupe_key,
            requester=requester,
            thread=thread,
            work=self._to_work(act, job, given, work),
            asked_in=asked_in,
            asked_at=asked_at,
            is_age_restricted=is_age_restricted,
            is_private=is_private,
            parent=job.id,
            relation=RELATIONS[act],
        )
        batch = _to_batch(request, int(given["choice"]) if act == "variation" else 1)
        again = job.id if act in OF_THE_SAME else None
        return await self._intake.submit_all(batch, is_confirmed=is_confirmed, retry_of=again)

    async def _source(
        self,
        job_id: JobId,
        act: Act,
        requester: Requester,
        other: JobId | None,
        *,
        is_private: bool,
    ) -> Job:
        """The job, once it and the `other` are seen and have what the act needs."""
        named = [job_id] if other is None else [job_id, other]
        every = [await self._visible(each, requester) for each in named]
        for job in every:
            _check(job, act, is_private=is_private)
            is_own = job.request.requester.person == requester.person
            if job.failure is not None and job.failure.code in DELICATE and not is_own:
                raise NotAllowed("Only who asked for it can change that.")
        return every[0]

    def _to_work(self, act: Act, job: Job, given: Given, remixed: Work | None) -> Work:
        if act == "retry":
            return job.request.work
        if act == "remix" and remixed is not None:
            return remixed
        wish = Wish(**given)
        if not wish.choice:
            wish = replace(wish, choice=self._usual(act, job))
        work = to_work(act, job, wish)
        provider = self._menu.providers.get(job.plan.provider) if job.plan else None
        can = provider.capabilities.get(work.model) if provider else None
        return firm(work, can) if can is not None else work

    def _usual(self, act: Act, job: Job) -> str:
        """What holds where nothing was chosen: of the sizes, the usual one or the largest."""
        usual = DEFAULT_CHOICES.get(NEEDS[act].choice, "")
        if NEEDS[act].choice != "resolution":
            return usual
        possible = [each.value for each in self._offer(act, job).options]
        return usual if usual in possible else possible[-1]

    async def _visible(self, job_id: JobId, requester: Requester) -> Job:
        return await self._database.read(lambda conn: lookup.visible(conn, job_id, requester))


def _to_batch(request: GenerationRequest, size: int) -> list[GenerationRequest]:
    """The request, or so many of it that share a batch."""
    if size > 1:
        shared = {"batch": request.dedupe_key, "batch_size": size}
        request = request.model_copy(update=shared)
    keys = keys_of(request.dedupe_key, size)
    return [request.model_copy(update={"dedupe_key": key}) for key in keys]


def _check(job: Job, act: Act, *, is_private: bool) -> None:
    """Raise `InvalidRequest` where nothing can be made of a job, or others would read of it."""
    if job.request.is_private and not is_private:
        raise InvalidRequest(
            f"{job.id} is private. Use the buttons under it, which keep it so, or --private."
        )
    if job.is_film and act not in OF_FILMS:
        raise InvalidRequest(f"{job.id} is a film. Go on from one of its shots: `show {job.id}`")
    if act in OF_REQUESTS or job.clip is not None:
        return
    what = thing(job.work)
    if job.state not in TERMINAL:
        raise InvalidRequest(f"{job.id} is not finished yet. Ask again once its {what} is here.")
    if job.failure is not None and job.failure.code == "deleted":
        raise InvalidRequest(f"The {what} of {job.id} was deleted, so nothing comes of it.")
    raise InvalidRequest(f"{job.id} has no {what}. To try it again: `retry {job.id}`")
