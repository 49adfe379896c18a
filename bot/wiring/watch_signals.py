"""Passes news between the watcher of a provider and the steps of jobs, in any process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from pydantic import TypeAdapter

from bot.errors import ProviderClosed, ProviderError, ProviderUnavailable
from bot.job import Job, JobState
from bot.ports import Generation
from bot.replicas import Replicas, drain_role, watch_role
from bot.watcher import ProviderWatcher
from bot.watching.callbacks import Hint

_GENERATION: TypeAdapter[Generation] = TypeAdapter(Generation)
Said = Mapping[str, str]


class Relay:
    """Brings it to the watchers here, and tells the other processes what may be theirs.

    What another process misses of this it finds within a second in the rows, or by asking.
    """

    def __init__(self, replicas: Replicas, watchers: Mapping[str, ProviderWatcher]) -> None:
        self._replicas = replicas
        self._watchers = watchers
        replicas.on("callback", self._on_callback)
        replicas.on("trouble", self._on_trouble)
        replicas.on("taken", self._on_taken)

    def roles(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """The watching of each provider, which one process does for all."""
        return {
            drain_role(name) if each.admission.is_draining else watch_role(name): each.run
            for name, each in self._watchers.items()
        }

    def watch(self, job: Job) -> None:
        """A generation runs; that of a service that is configured no more waits for it."""
        watcher = self._watchers.get(job.plan.provider) if job.plan is not None else None
        if job.state is JobState.GENERATING and watcher is not None:
            watcher.watch(job)

    def nudge(self, provider: str) -> None:
        """Somebody waits, or a slot became free."""
        if (watcher := self._watchers.get(provider)) is not None:
            watcher.admission.nudge()

    def call_back(self, provider: str, hint: Hint) -> None:
        """A callback arrived."""
        if self._watchers[provider].hint(hint):
            return
        generation = _GENERATION.dump_json(hint.generation).decode()
        self._replicas.tell(
            "callback", provider=provider, token_hash=hint.token_hash, generation=generation
        )

    def trouble(self, provider: str, error: ProviderError) -> None:
        """A provider did not take a submission."""
        self._watchers[provider].admission.trouble(error)
        self._replicas.tell(
            "trouble",
            provider=provider,
            sentence=error.sentence,
            is_closed="yes" if isinstance(error, ProviderClosed) else "",
            retry_after="" if error.retry_after is None else str(error.retry_after),
        )

    def taken(self, provider: str) -> None:
        """A provider took a submission."""
        self._watchers[provider].admission.taken()
        self._replicas.tell("taken", provider=provider)

    def troubles(self) -> dict[str, str | None]:
        """Why each provider takes nothing, or tells nothing of what runs, if so."""
        every = {name: each.admission for name, each in self._watchers.items()}
        return {name: each.trouble_sentence or each.look_trouble for name, each in every.items()}

    # ---- what other processes say --------------------------------------------------------

    def _on_callback(self, said: Said) -> None:
        if (watcher := self._watchers.get(said["provider"])) is not None:
            generation = _GENERATION.validate_json(said["generation"])
            watcher.hint(Hint(token_hash=said["token_hash"], generation=generation))

    def _on_trouble(self, said: Said) -> None:
        if (watcher := self._watchers.get(said["provider"])) is not None:
            kind = ProviderClosed if said["is_closed"] else ProviderUnavailable
            after = float(said["retry_after"]) if said["retry_after"] else None
            watcher.admission.trouble(
                kind(said["sentence"], provider=said["provider"], retry_after=after)
            )

    def _on_taken(self, said: Said) -> None:
        if (watcher := self._watchers.get(said["provider"])) is not None:
            watcher.admission.taken()
