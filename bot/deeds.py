"""Whether a finished clip can be worked on as asked: upscaled, given a sound, reframed, modified.

Pure. Everything is refused before money is held, with the nearest that works.
"""

from __future__ import annotations

from collections.abc import Mapping

from bot import pricing
from bot.errors import InvalidRequest
from bot.ports import ModelCapabilities, Operation
from bot.request import (
    RESOLUTIONS,
    AnyWork,
    AspectRatio,
    ClipWork,
    ModifyWork,
    ReframeWork,
    Resolution,
    UpscaleWork,
)

#: What is done, as a person says it: `luma cannot … clips`.
VERBS: Mapping[Operation, str] = {
    "upscale": "upscale",
    "audio": "add sound to",
    "reframe": "reframe",
    "modify": "modify",
}
#: What is done by the model that made the clip, whatever somebody would like.
BY_ITS_MODEL = ("upscale", "audio")
#: Shapes differ by a few pixels; a clip with this many times more is certainly larger.
LARGER = 1.25


def check_model(work: ClipWork) -> None:
    """Refuse another model where nobody can choose one."""
    if work.kind in BY_ITS_MODEL and work.model != work.source.model:
        raise InvalidRequest(
            f"{work.source.job_id} was made by {work.source.model}, which does this, too. Leave "
            "the model out.",
            field="model",
        )


def refuse(work: ClipWork, provider: str, *, is_able: bool) -> str:
    """Why this is not done at the provider of the clip: it cannot, or nobody knows its price."""
    if not is_able:
        by = f"{work.model} of {provider}"
        return f"{work.source.job_id} was made by {by}, which cannot {VERBS[work.kind]} clips."
    key = pricing.tariff_key(work.model, work.kind)
    return (
        f"What {provider} asks for this is not known, so it is off. The operator can enter the "
        f'price under [providers.{provider}] prices, as "{key}".'
    )


def fit(work: ClipWork, can: ModelCapabilities, remarks: list[str]) -> ClipWork:
    """The work as this model can do it; raises `InvalidRequest`."""
    _check_length(work, can)
    if isinstance(work, ReframeWork):
        _check_shape(work)
    if isinstance(work, ReframeWork | ModifyWork):
        return _fit_size(work, can, remarks)
    if isinstance(work, UpscaleWork):
        return _fit_target(work, can, remarks)
    return work


def _check_length(work: ClipWork, can: ModelCapabilities) -> None:
    longest, length = can.longest.get(work.kind), pricing.billed_seconds(work)
    if longest is not None and length > longest:
        raise InvalidRequest(
            f"{work.source.job_id} has {length} s; {work.model} can {VERBS[work.kind]} clips of "
            f"up to {longest} s. Take a shorter clip.",
            field="source",
        )


def _check_shape(work: ReframeWork) -> None:
    shape = shape_of(work)
    if work.aspect_ratio == shape:
        raise InvalidRequest(
            f"{work.source.job_id} is {shape} already. Choose another aspect ratio.",
            field="aspect_ratio",
        )


def shape_of(work: ClipWork) -> AspectRatio:
    """The ratio of the clip that is worked on."""
    return pricing.nearest_ratio(work.source.width, work.source.height)


def _fit_size(
    work: ReframeWork | ModifyWork, can: ModelCapabilities, remarks: list[str]
) -> ClipWork:
    """In the size of its clip, or the nearest, where the service wants to be told one."""
    sizes = can.sizes.get((work.kind, work.aspect_ratio))
    if sizes is None:
        return work.model_copy(update={"resolution": None})
    own = work.source.resolution or sizes[0]
    size = max((each for each in sizes if _rank(each) <= _rank(own)), key=_rank, default=sizes[0])
    if size != own:
        shape = f" to {work.aspect_ratio}" if isinstance(work, ReframeWork) else ""
        remarks.append(f"It becomes {size}, because {work.model} cannot {work.kind} {own}{shape}.")
    return work.model_copy(update={"resolution": size})


def _rank(resolution: Resolution) -> int:
    return RESOLUTIONS.index(resolution)


def _fit_target(work: UpscaleWork, can: ModelCapabilities, remarks: list[str]) -> UpscaleWork:
    larger = [each for each in can.targets if _is_larger(each, work)]
    if work.resolution in larger:
        return work
    source = work.source
    size = f"{source.job_id} has {source.width}×{source.height} pixels"
    if not larger:
        raise InvalidRequest(
            f"{size}; {work.model} makes nothing larger of it.", field="resolution"
        )
    if "resolution" in work.typed:
        raise InvalidRequest(
            f"{size}, so {work.resolution} is no upscale. You can take {' or '.join(larger)}.",
            field="resolution",
        )
    remarks.append(f"It becomes {larger[0]}, because {size}.")
    return work.model_copy(update={"resolution": larger[0]})


def _is_larger(target: Resolution, work: UpscaleWork) -> bool:
    width, height = pricing.SIZES[target]
    return width * height > work.source.width * work.source.height * LARGER


def sizes_of(work: AnyWork, can: ModelCapabilities) -> tuple[Resolution, ...]:
    """The sizes in which a model can make a work, as far as it has any to choose from."""
    if isinstance(work, UpscaleWork):
        return can.targets
    if isinstance(work, ReframeWork | ModifyWork):
        return can.sizes.get((work.kind, work.aspect_ratio), ())
    return can.resolutions
