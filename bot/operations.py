"""What the operator does and hears: resolve, unpark, checks and notices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Literal

from bot.choice import is_draining
from bot.clock import Clock
from bot.errors import DeliveryError, DeliveryUnavailable, InvalidRequest, StoreError
from bot.job import Failure, Job, JobState, is_stuck
from bot.log import get_logger
from bot.notices import VERDICTS, Operator
from bot.pause import Pause
from bot.ports import Adapter, Dispatcher, Provider
from bot.pricing import price_of
from bot.refs import GenerationId, JobId, Micros, ThreadRef
from bot.replicas import Replicas
from bot.routing.failover import Failover, without_alternatives
from bot.store import attempts, jobs, ledger, messages, queues, reports, reviews, settings
from bot.store.database import Database
from bot.store.transaction import Tx
from bot.studio.receipts import hand_on
from bot.tables import OPERATOR, Contact
from bot.unserved import Unserved
from bot.upkeep import Chore, for_each

log = get_logger(__name__)
ResolveHow = Literal["adopt", "charge", "release"]
TELL_EVERY = timedelta(seconds=10)
PARK_AFTER_CRASHES = 3


class Operations:
    """The operator's acts, each in the audit log, and what their `contacts` are told."""

    def __init__(
        self,
        *,
        database: Database,
        dispatcher: Dispatcher,
        clock: Clock,
        announce: Callable[[JobId], None],
        watch: Callable[[Job], None],
        wake_courier: Callable[[], None],
        providers: Mapping[str, Provider],
        adapters: Mapping[str, Adapter],
        contacts: Sequence[Contact],
        failover: Failover,
        replicas: Replicas,
    ) -> None:
        self._database = database
        self._clock = clock
        self._hand_on = partial(hand_on, dispatcher=dispatcher, announce=announce)
        self._watch = watch
        self._wake_courier = wake_courier
        self._providers = providers
        self._adapters = adapters
        self._contacts = contacts
        #: Who was told already of a notice that is in the log, but not told to everybody yet.
        self._told: dict[str, set[Contact]] = {}
        self.unserved = Unserved(
            database=database,
            clock=clock,
            replicas=replicas,
            failover=failover,
            hand_on=self._hand_on,
            providers=providers,
        )
        self._pause = Pause(database=database, clock=clock)

    async def act(self, name: str, values: Mapping[str, object]) -> Mapping[str, object]:
        """An act of the operator by its name and arguments, as a command or a button sends them.

        Raises `InvalidRequest` for what there is not.
        """
        job_id = JobId(str(values.get("job_id", "")))
        match name:
            case "resolve":
                how, generation = values.get("how"), values.get("generation_id")
                if how not in ("adopt", "charge", "release"):
                    raise InvalidRequest("Say adopt, charge or release.")
                generation_id = GenerationId(str(generation)) if generation else None
                job = await self.resolve(job_id, how, generation_id=generation_id, actor=OPERATOR)
            case "unpark":
                job = await self.unpark(job_id, actor=OPERATOR)
            case "review":
                job = await self._review(job_id, values)
            case "learn":
                return {"sentence": await self._learn(values)}
            case "pause" | "resume":
                return {"sentence": await self._pause.act(name, values, actor=OPERATOR)}
            case _:
                raise InvalidRequest(f"There is no act {name!r}.")
        return {"job_id": job.id, "state": job.state, "sentence": f"{job.id} is now {job.state}."}

    async def _learn(self, values: Mapping[str, object]) -> str:
        """Keep what was observed of a provider, and let it look accordingly from now on."""
        name, known = str(values.get("provider", "")), values.get("known")
        provider = self._providers.get(name)
        if provider is None or not isinstance(known, dict):
            raise InvalidRequest(f"{name} is not in [defaults] providers, so nothing is learnt.")
        told = {str(key)[:60]: str(value)[:200] for key, value in known.items()}
        scope = settings.provider_scope(name)
        provider.learn(await self._database.write(lambda tx: settings.choose(tx, scope, told)))
        since = "each process's next start" if self._database.is_shared else "now"
        return f"{name} is looked at accordingly from {since} on."

    async def resolve(
        self, job_id: JobId, how: ResolveHow, *, generation_id: GenerationId | None, actor: str
    ) -> Job:
        """End what needs a person: `adopt` a generation, `charge` for it, or `release` the hold.

        An uncertain job takes all three; one that was put aside, or whose generation is lost at
        its provider, is charged or released. Raises `InvalidRequest` where that would lose or
        charge what it must not, and `ProviderError` while the provider cannot be asked.
        """
        gone: GenerationId | None = None
        if how != "adopt":
            gone = await self._find_lost(job_id)
        elif generation_id is None:
            raise InvalidRequest("Say which generation: `raybot resolve ID adopt GENERATION`.")
        else:
            await self._check_known(job_id, generation_id)

        def work(tx: Tx) -> Job:
            job = jobs.get(tx.conn, job_id)
            _check_open_question(job, how, gone)
            if how == "release" and ledger.is_settled(tx.conn, job_id):
                raise InvalidRequest(f"{job_id} was charged before it was reviewed. Say charge.")
            resolved = self._resolve(tx, job, how, generation_id)
            settings.write_audit(
                tx,
                self._clock.now(),
                actor=actor,
                act=f"resolve {how}",
                target=job_id,
                detail=generation_id or _situation(job),
            )
            return self._hand_on(tx, resolved)

        job = await self._database.write(work)
        self._watch(job)
        return job

    async def _check_known(self, job_id: JobId, generation_id: GenerationId) -> None:
        """A typing mistake would leave the job waiting for nothing for ever."""
        job = await self._database.read(lambda conn: jobs.get(conn, job_id))
        provider = self._providers.get(job.plan.provider) if job.plan else None
        if provider is None or not await provider.check([generation_id]):
            raise InvalidRequest(f"The video service knows no generation {generation_id}.")

    async def _find_lost(self, job_id: JobId) -> GenerationId | None:
        """The generation of this job that its provider has not known for long, nor knows now.

        Or one of which it says for hours that it is under way.

        Raises `InvalidRequest` where it may still become a clip: it is paid.
        """
        job = await self._database.read(lambda conn: jobs.get(conn, job_id))
        generation_id = job.generation_id
        if job.state is not JobState.GENERATING or job.provider_failure or not generation_id:
            return None
        if (job_id, generation_id) in await self._database.read(reports.endless):
            return generation_id
        assert job.plan is not None
        name = job.plan.provider
        provider = self._providers.get(name)
        if provider is None:
            raise InvalidRequest(
                f"{name} is not configured, so nobody can tell whether it still has generation "
                f"{generation_id} of {job_id}. Configure it again first."
            )
        if await provider.check([generation_id]):
            raise InvalidRequest(
                f"{job_id} is generating, not uncertain: {name} knows its generation "
                f"{generation_id}, and Raybot goes on with it."
            )
        if (job_id, generation_id) not in await self._database.read(reports.lost):
            raise InvalidRequest(
                f"{name} does not know generation {generation_id} of {job_id} just now. It may "
                "come back: wait until Raybot tells you that it has been missing for long."
            )
        return generation_id

    def _resolve(
        self, tx: Tx, job: Job, how: ResolveHow, generation_id: GenerationId | None
    ) -> Job:
        now = self._clock.now()
        match how:
            case "adopt":
                assert generation_id is not None
                return attempts.adopt(tx, job, generation_id, "adopted", now)
            case "charge":
                failure = _last_words(job, how)
                charged = _at_most(job) if job.clip is None else price_of(job, job.clip)
                return ledger.end(tx, job, JobState.FAILED, now, charged=charged, failure=failure)
            case "release":
                cost = _taken(job)
                return ledger.fail(tx, job, now, _last_words(job, how), provider_cost=cost)

    async def unpark(self, job_id: JobId, *, actor: str) -> Job:
        """Let a job that was put aside go on."""
        now = self._clock.now()

        def work(tx: Tx) -> Job:
            job = jobs.get(tx.conn, job_id)
            if job.parked_at is None:
                raise InvalidRequest(f"{job_id} was not put aside.")
            settings.write_audit(tx, now, actor=actor, act="unpark", target=job_id, detail="")
            fresh = jobs.change(tx, job, parked_at=None, next_at=now, **jobs.FRESH)
            return self._hand_on(tx, fresh)

        return await self._database.write(work)

    async def _review(self, job_id: JobId, values: Mapping[str, object]) -> Job:
        """Post a clip that waits for a moderator, or reject it, for a reason if one is given."""
        now, why = self._clock.now(), str(values.get("reason") or "")
        found = next((each for each in VERDICTS if each == values.get("how")), None)
        if found is None:
            raise InvalidRequest("Say post or reject.")

        def work(tx: Tx) -> Job:
            tx.after_commit(self._wake_courier)
            decided = reviews.decide(tx, job_id, found, by=OPERATOR, now=now, reason=why)
            return self._hand_on(tx, decided)

        return await self._database.write(work)

    async def recover(self) -> None:
        """At a start: blame what crashed the last, and end what nobody can do.

        Providers learn again what was observed of them once.
        """
        for name, provider in self._providers.items():
            scope = settings.provider_scope(name)
            provider.learn(await self._database.read(partial(settings.chosen, scope=scope)))
            if not is_draining(provider):
                continue
            if left := await self._database.read(partial(queues.left, provider=name)):
                log.info("provider.draining", provider=name, jobs=left)
        now, is_alone = self._clock.now(), not self._database.is_shared
        if not is_alone:
            return
        parked = await self._database.write(
            lambda tx: _park(tx, now) if settings.boot(tx, now) else []
        )
        for job_id in parked:
            log.error("job.parked", job=job_id)
        await self.unserved.give_up()

    async def blame(self, job_id: JobId) -> datetime | None:
        """Another process died or froze with this job in its hands; returns when it is due."""
        now = self._clock.now()
        parked, job = await self._database.write(
            lambda tx: (_park(tx, now, only=job_id), jobs.get_or_none(tx.conn, job_id))
        )
        if parked:
            log.error("job.parked", job=job_id)
        return job.next_at if job else None

    async def tell(self) -> None:
        """Say what the operators were not told yet: in the log, and where they chat."""
        untold = await self._database.read(settings.untold)
        for notice in untold:  # First all of them: a chat may be away for long.
            if notice.key not in self._told:
                log.warning("operator.notice", sentence=notice.sentence, job=notice.job_id)
                self._told[notice.key] = set()
        await for_each(untold, self._tell_notice, name=lambda notice: notice.key)

    async def _tell_notice(self, notice: settings.OperatorNotice) -> None:
        if await self._tell_all(notice):
            await self._note_told(notice)

    async def _note_told(self, notice: settings.OperatorNotice) -> None:
        await self._database.write(lambda tx: settings.tell(tx, notice.key, self._clock.now()))
        del self._told[notice.key]

    async def _tell_all(self, notice: settings.OperatorNotice) -> bool:
        """Write to each contact; False where a chat is out of reach and must be tried again."""
        told = self._told[notice.key]

        async def tell(contact: Contact) -> None:
            if contact not in told and await self._tell_one(contact, notice):
                told.add(contact)

        await for_each(self._contacts, tell, name=lambda contact: contact.adapter)
        return len(told) >= len(self._contacts)

    async def _tell_one(self, contact: Contact, notice: settings.OperatorNotice) -> bool:
        adapter = self._adapters.get(contact.adapter)
        if adapter is None:
            return True
        said = Operator(code=notice.key, sentence=notice.sentence, job_id=notice.job_id)
        try:
            thread = await _thread_of(contact, adapter)
            if thread is not None:
                await adapter.post(thread, said, key=notice.key, memo=messages.Forgetful())
        except DeliveryUnavailable:
            return False
        except DeliveryError as error:
            log.warning("operator.not_told", adapter=contact.adapter, cause=error.sentence)
        return True

    @property
    def chores(self) -> tuple[Chore, ...]:
        """What goes on until it is cancelled."""
        return self.tell_forever, self.unserved.run

    async def tell_forever(self) -> None:
        """Tell every few seconds until cancelled."""
        while True:
            try:
                await self.tell()
            except StoreError as error:
                log.error("operations.store_failed", cause=error.sentence)  # noqa: TRY400
            await self._clock.wait(asyncio.Event(), self._clock.now() + TELL_EVERY)


async def _thread_of(contact: Contact, adapter: Adapter) -> ThreadRef | None:
    address = contact.address
    return address if isinstance(address, ThreadRef) else await adapter.direct(address)


def _check_open_question(job: Job, how: ResolveHow, gone: GenerationId | None) -> None:
    """Whether a person may end this job now, decided where nothing else can change it."""
    if job.state is JobState.UNCERTAIN or (job.state is JobState.SUBMITTING and is_stuck(job)):
        return
    if job.state is JobState.REVIEWING:
        decide = f"`raybot review {job.id} post`, or `… reject`"
        raise InvalidRequest(f"{job.id} waits for a moderator. Say {decide}.")
    if how == "adopt":
        raise InvalidRequest(f"{job.id} is {job.state}, not uncertain.")
    if job.state is JobState.GENERATING and job.provider_failure is None:
        if gone is None or gone != job.generation_id:
            raise InvalidRequest(f"{job.id} has just begun to generate. Raybot goes on with it.")
        return
    if is_stuck(job):
        return
    if job.parked_at is None:
        raise InvalidRequest(f"{job.id} is {job.state}, neither uncertain nor put aside.")
    never_ran = job.state in (JobState.RECEIVED, JobState.ACCEPTED)
    if how == "charge" and (never_ran or job.provider_failure is not None):
        raise InvalidRequest(f"{job.id} has cost nothing at the video service. Release it.")


def _situation(job: Job) -> str:
    """Why a person had to decide, for the audit log; nothing where the job was uncertain."""
    if job.state is JobState.UNCERTAIN:
        return ""
    if job.parked_at or is_stuck(job):
        return f"{'put aside' if job.parked_at else 'stuck'}, {job.state}"
    return f"lost {job.generation_id}"


def _at_most(job: Job) -> Micros:
    """The most that its provider can have taken: the hold may be for a dearer one."""
    return min(without_alternatives(job.plan).hold, job.cost) if job.plan else job.cost


def _taken(job: Job) -> Micros:
    """What the video service took for a job that its person does not pay for."""
    if job.plan is None or job.generation_id is None or job.provider_failure is not None:
        return Micros(0)
    return job.plan.price.charged if job.clip is None else price_of(job, job.clip)


def _last_words(job: Job, how: ResolveHow) -> Failure:
    """What the person is told who asked for it."""
    if job.clip is not None:
        kept = f"The clip could not be posted. It is kept: `show {job.id}` gives it to you."
        return Failure(code="kept", sentence=kept)
    if how == "charge":
        why = "found that the video service ran it, but the clip could not be had."
    elif job.state in (JobState.UNCERTAIN, JobState.SUBMITTING):
        why = "found that the video service never ran it. Please ask again."
    else:
        why = "ended it, because it could not go on. Please ask again."
    return Failure(code="resolved", sentence=f"The operator {why}")


def _park(tx: Tx, now: datetime, *, only: JobId | None = None) -> list[JobId]:
    """Count a crash of what was in hand, of one job or all; the jobs that are put aside."""
    parked = jobs.count_crashes(tx, now, PARK_AFTER_CRASHES, only=only)
    for job_id in parked:
        sentence = (
            f"{job_id} was put aside: the bot stopped {PARK_AFTER_CRASHES} times while it was in "
            f"hand. `raybot unpark {job_id}` lets it go on."
        )
        settings.note_operator(tx, f"crashed:{job_id}:{now:%Y%m%dT%H%M%S}", sentence, now, job_id)
    return parked
