"""Services that answer one long POST with the finished clip, and tell nothing of it afterwards.

What they have in common: what their operator has to say of them, how the answer is read, and what
is never done because nothing proves that it works. What they are called is theirs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Annotated, Any, Generic, TypeVar

import httpx
from pydantic import AfterValidator, Field, SecretStr, ValidationInfo

from bot import errors, http, ports
from bot.clock import Clock
from bot.dialects.dream_machine import Row, explain
from bot.job import Failure
from bot.log import get_logger
from bot.metrics import Metrics
from bot.ports import Generation, ModelCapabilities, Submission, Tell, to_nobody
from bot.refs import GenerationId, Micros
from bot.request import DEFAULT_MODEL
from bot.service import Address, OverHttp, ServiceTable, open_service
from bot.tables import AspectRatios, Durations, Resolutions, micros
from bot.tariffs import PerClip, Tariff

log = get_logger(__name__)
#: So deep an unknown answer is searched for links, and so many of them are named.
DEEPEST, NAMED = 6, 8
REFUSALS = {400, 403, 422}
NO_LOOP = "This model does not loop here. Leave the loop out."


def needed(hint: str, is_set: Callable[[Any], bool] = bool) -> AfterValidator:
    """Want this key wherever there is an `api_key`; without one the provider is skipped."""

    def check(value: Any, info: ValidationInfo) -> Any:
        key = info.data.get("api_key")
        if isinstance(key, SecretStr) and key.get_secret_value() and not is_set(value):
            raise ValueError(hint)
        return value

    return AfterValidator(check)


class AnswerTable(ServiceTable):
    """What the operator tells of such a service.

    `model` is the name that people type; `result` is where the answer has the clip's link, as a
    dotted path. The lists are what its clips are like, the first where nobody can choose.
    `prices` are $ a clip, under the model's name, or under "720p 5s" where they differ.
    """

    base_url: Annotated[Address | None, needed("give the service's address")] = Field(
        default=None, validate_default=True
    )
    model: str = Field(default=DEFAULT_MODEL, min_length=1)
    result: Annotated[
        str | None, needed("say where the answer has the clip's link, such as result.videoUrl")
    ] = Field(default=None, validate_default=True)
    aspect_ratios: AspectRatios = Field(default=("16:9",), min_length=1)
    durations: Durations = Field(default=("5s",), min_length=1)
    resolutions: Resolutions = Field(default=("720p",), min_length=1)
    #: Each holds one of the dispatcher's hands for as long as the clip takes.
    running_limit: int = Field(default=3, ge=1)
    submit_timeout_seconds: float = Field(default=600.0, gt=0)

    def priced(self) -> Collection[str]:
        """The model, and each kind of its clips."""
        kinds = (f"{size} {length}" for size in self.resolutions for length in self.durations)
        return (self.model, *kinds)


T = TypeVar("T", bound=AnswerTable)


def to_tariffs(can: ModelCapabilities, prices: Mapping[str, float]) -> dict[str, Tariff]:
    """What the operator says that a clip costs; nothing where they say nothing."""
    durations = (can.fixed[0],) if can.fixed else can.durations
    resolutions = (can.fixed[1],) if can.fixed else can.resolutions
    clips = {
        (resolution, duration): micros(usd)
        for resolution in resolutions
        for duration in durations
        if (usd := prices.get(f"{resolution} {duration}", prices.get(can.model))) is not None
    }
    return {can.model: PerClip(clips=clips)} if clips else {}


def read_link(answer: object, path: str) -> str | None:
    """The link at this dotted path, in which a number is a place in a list (from 0)."""
    value: Any = answer
    for part in path.split("."):
        match value:
            case dict():
                value = value.get(part)
            case list() if part.isdecimal() and int(part) < len(value):
                value = value[int(part)]
            case _:
                return None
    link = value.strip() if isinstance(value, str) else ""
    return link if re.fullmatch(r"https?://\S+", link) else None


def link_paths(value: object, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Where an answer has links, without the links: one of these paths is to be `result`."""
    if isinstance(value, str) and re.match("https?://", value.strip()):
        yield ".".join(path)
    parts: Iterable[tuple[object, object]] = ()
    if isinstance(value, dict | list) and len(path) < DEEPEST:
        parts = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in parts:
        if re.fullmatch(r"[\w-]{1,40}", str(key)):
            yield from link_paths(inner, (*path, str(key)))


def read_words(said: object) -> str:
    """What an error says, in whichever of the usual places; empty where it says nothing."""
    if not isinstance(said, dict):
        return http.plain(said)
    inner = (said.get(key) for key in ("error", "message", "details", "detail"))
    return next((words for each in inner if (words := read_words(each))), "")


@dataclass(frozen=True, kw_only=True)
class Dialect(Generic[T]):
    """How one of these services is spoken to.

    `title` is what people call it. Its paths are those of the paid POST, and of a GET that a wrong
    key is not answered. `read_failure` is told an answer without a clip: what it says of why,
    None where it says nothing of a failure. `read_id` is the service's name for what it did.
    """

    title: str
    paid_path: str
    key_path: str
    to_model: Callable[[T], ModelCapabilities]
    to_payload: Callable[[Submission, T], dict[str, Any]]
    read_failure: Callable[[Row], str | None]
    read_id: Callable[[Row], str | None]


def read_error(response: httpx.Response, *, title: str, name: str) -> errors.ProviderError:
    """The error that a 4xx stands for; these services document next to none of them."""
    words, status = read_words(http.read_json(response.content)), response.status_code
    if status in REFUSALS and explain(words):
        return to_rejection(words, title=title, name=name)
    # OpenAI, and who speaks like it, says 429 to an account without money, too.
    if status == 402 or (status in {400, 403, 429} and http.NO_CREDITS.search(words)):
        said = f"The account at {title} has no credits left; its owner can add some."
        return errors.ProviderOutOfCredits(said, provider=name)
    if status in {401, 403}:
        said = f"{title} refuses the key of [providers.{name}]."
        return errors.ProviderAuthError(said, provider=name)
    if status in {404, 405, 410}:
        said = f"{title} has nothing there. Look at [providers.{name}]."
        return errors.ProviderRetired(said, provider=name)
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return http.to_error(response, provider=name)
    return to_rejection(words, title=title, name=name)


def to_rejection(words: str, *, title: str, name: str) -> errors.ProviderRejected:
    """What a service's words for a failure become; it passes Luma's own on, as far as is known."""
    said = f": {words.rstrip('.')}." if words else " and gave no reason."
    failure = explain(words) or Failure(code="refused", sentence=f"{title} made no clip{said}")
    # "image" would be sent again with a fresh link, but this run may have cost something.
    code = "refused" if failure.code == "image" else failure.code
    return errors.ProviderRejected(failure.sentence, provider=name, code=code)


class OneAnswer(OverHttp, Generic[T]):
    """`ports.Provider` for such a service; connections open with the first call."""

    def __init__(
        self,
        settings: T,
        *,
        dialect: Dialect[T],
        clock: Clock,
        name: str = "",
        is_test: bool = False,
        metrics: Metrics | None = None,
    ) -> None:
        self.name, self.is_test = name or dialect.title.lower(), is_test
        can = dialect.to_model(settings)
        self.capabilities = {can.model: can}
        self.tariffs: Mapping[str, Tariff] = to_tariffs(can, settings.prices)
        self.limits = settings.to_limits()
        self._table, self._dialect = settings, dialect
        self._api = open_service(
            self.name,
            settings,
            base_url=settings.base_url or "",
            clock=clock,
            read_error=partial(read_error, title=dialect.title, name=self.name),
            metrics=metrics,
        )

    async def submit(self, submission: Submission) -> Generation:
        """One POST, never repeated, that lasts as long as the clip takes to be made.

        Raises `ProviderRejected` for a run that failed: nobody could be asked about it later. An
        answer that has neither a clip nor a failure is doubtful: the clip may be paid.
        """
        dialect, path = self._dialect, self._table.result or ""
        payload = dialect.to_payload(submission, self._table)
        row = await self._api.post(dialect.paid_path, payload, self.limits.submit_seconds)
        answer: Row = row if isinstance(row, dict) else {}
        if (link := read_link(answer, path)) is None:
            if (words := dialect.read_failure(answer)) is not None:
                raise to_rejection(words, title=dialect.title, name=self.name)
            paths = list(islice(link_paths(answer), NAMED))
            log.warning("answer.no_link", provider=self.name, result=path, links_at=paths)
            said = f"{dialect.title} answers without a link where Raybot was told to look for it."
            raise errors.SubmissionUncertain(said, provider=self.name)
        named = dialect.read_id(answer) or f"{submission.job_id}-{submission.attempt}"
        return Generation(id=GenerationId(named), state="completed", clip_url=link)

    async def check(
        self, ids: Collection[GenerationId], tell: Tell = to_nobody
    ) -> Mapping[GenerationId, Generation]:
        """Nothing: there is nobody to ask, and what was answered is in the job's row."""
        return {}

    async def find(
        self, submission: Submission, owned: Collection[GenerationId]
    ) -> ports.Found | ports.Absent | ports.CannotTell:
        """Nobody can tell: there is no list, and nothing to ask by."""
        return ports.CannotTell()

    async def cancel(self, generation_id: GenerationId) -> bool:
        """Never: it has ended before anybody knows its name."""
        return False

    async def balance(self) -> Micros | None:
        """Not told; but a refused key is."""
        await self._api.get(self._dialect.key_path)
        return None

    async def read_callback(
        self, headers: Mapping[str, str], body: bytes, token: str
    ) -> Generation | None:
        """None: the service is given no address to call, so whoever calls is somebody else."""
        return None
