"""The commands as Discord shows them: names, options and choices. What they do is `listener`'s."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import discord
from discord import app_commands
from discord.app_commands import Choice, Group, Range

from adapters.discord.admin_commands import OWN_SETTINGS, named, ray_admin
from adapters.discord.choices import MADE_OF_CLIPS
from bot.ports import ModelCapabilities

Interaction = discord.Interaction[Any]
PROMPT_CHARS = 5000
#: As many as the form takes, in which it may have to be changed.
STORY_CHARS = 4000
CHOICES = 25
ANIMATE = "Animate with Ray"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a person gave to `/ray create`, `animate`, `still` or `story`; None: nothing."""

    prompt: str = ""
    is_still: bool = False
    start_frame: discord.Attachment | None = None
    end_frame: discord.Attachment | None = None
    start_link: str | None = None
    end_link: str | None = None
    model: str | None = None
    aspect_ratio: str | None = None
    resolution: str | None = None
    duration: str | None = None
    loop: bool | None = None
    camera: str | None = None
    is_draft: bool = False
    is_private: bool = False


class CommandHandler(Protocol):
    """Who carries commands out."""

    async def on_ask(self, interaction: Interaction, options: Options) -> None:
        """`/ray create`, `/ray animate` and `/ray still`."""

    async def on_story(self, interaction: Interaction, options: Options) -> None:
        """`/ray story`."""

    async def on_menu(self, interaction: Interaction, message: discord.Message) -> None:
        """The message command."""

    async def on_page(self, interaction: Interaction, name: str, **given: Any) -> None:
        """`/ray jobs|show|usage|settings|forget-me|help`."""

    async def on_action(self, interaction: Interaction, action: str, target: str) -> None:
        """`/ray cancel`, and every button."""

    async def on_more(self, interaction: Interaction, act: str, job: str) -> None:
        """`/ray more`."""

    async def suggest_jobs(
        self, interaction: Interaction, typed: str, *, is_clip: bool
    ) -> list[Choice[str]]:
        """Jobs of theirs, while somebody types an id."""

    async def on_admin(self, interaction: Interaction, act: str, **given: Any) -> None:
        """`/ray-admin …`."""


def build(
    tree: app_commands.CommandTree[Any],
    handler: CommandHandler,
    models: Sequence[ModelCapabilities],
) -> None:
    """Put every command into the tree; what can be chosen is what the providers can do."""
    tree.add_command(_ray(handler, models))
    tree.add_command(ray_admin(handler))

    async def animate(interaction: Interaction, message: discord.Message) -> None:
        await handler.on_menu(interaction, message)

    tree.add_command(app_commands.ContextMenu(name=ANIMATE, callback=animate))


def _choices(values: Iterable[str]) -> list[Choice[str]]:
    return [Choice(name=value, value=value) for value in list(dict.fromkeys(values))[:CHOICES]]


def _describe_options(models: Sequence[ModelCapabilities]) -> Callable[[Any], Any]:
    """Descriptions, choices and the list of camera moves for both ways to ask."""

    def decorate(command: Any) -> Any:
        app_commands.choices(
            model=_choices(model.model for model in models),
            aspect_ratio=_choices(each for model in models for each in model.aspect_ratios),
            resolution=_choices(each for model in models for each in model.resolutions),
            duration=_choices(each for model in models for each in model.durations),
        )(command)
        app_commands.autocomplete(camera=_camera_moves(models))(command)
        return command

    return decorate


def _camera_moves(
    models: Sequence[ModelCapabilities],
) -> Callable[[Interaction, str], Coroutine[Any, Any, list[Choice[str]]]]:
    moves = list(dict.fromkeys(each for model in models for each in model.concepts))

    async def suggest(_interaction: Interaction, typed: str) -> list[Choice[str]]:
        wanted = typed.strip().lower().replace(" ", "_").replace("-", "_")
        found = [move for move in moves if wanted in move]
        found.sort(key=lambda move: not move.startswith(wanted))
        return [Choice(name=each.replace("_", " "), value=each) for each in found[:CHOICES]]

    return suggest


def _own_jobs(
    handler: CommandHandler, *, is_clip: bool
) -> Callable[[Interaction, str], Coroutine[Any, Any, list[Choice[str]]]]:
    async def suggest(interaction: Interaction, typed: str) -> list[Choice[str]]:
        return await handler.suggest_jobs(interaction, typed, is_clip=is_clip)

    return suggest


ID_WORDS = "The job's id, such as r-0yb7k2m9q"
OPTION_WORDS = {
    "prompt": "What to see, in your words",
    "image": "The picture to begin with",
    "start_frame": "A picture to begin with",
    "end_frame": "A picture to end with",
    "start_frame_url": "A link to a picture to begin with, or the id of one of your clips",
    "end_frame_url": "A link to a picture to end with, or the id of one of your clips",
    "model": "The video model",
    "aspect_ratio": "The shape; with an image, the nearest to it",
    "resolution": "The size; more costs more",
    "duration": "The length; more costs more",
    "loop": "Whether it ends as it begins",
    "camera": "How the camera moves",
    "draft": "The smallest and cheapest first; Final under the clip makes it large",
    "private": "Only you see the answer",
}


def _ray(handler: CommandHandler, models: Sequence[ModelCapabilities]) -> Group:
    ray = Group(name="ray", description="Short video clips from words and pictures")
    clips = [each for each in models if "video" in each.operations]
    stills = [each for each in models if "image" in each.operations]
    _add_create(ray, handler, clips)
    _add_animate(ray, handler, clips)
    _add_story(ray, handler, clips)
    if stills:
        _add_still(ray, handler, stills)
    _add_more(ray, handler)
    _add_pages(ray, handler)
    return ray


def _add_create(ray: Group, handler: CommandHandler, models: Sequence[ModelCapabilities]) -> None:
    @ray.command(name="create", description="Make a clip from words, and pictures if you like")
    @app_commands.describe(**{k: v for k, v in OPTION_WORDS.items() if k != "image"})
    @_describe_options(models)
    async def create(
        interaction: Interaction,
        prompt: Range[str, 1, PROMPT_CHARS],
        start_frame: discord.Attachment | None = None,
        end_frame: discord.Attachment | None = None,
        start_frame_url: str | None = None,
        end_frame_url: str | None = None,
        model: str | None = None,
        aspect_ratio: str | None = None,
        resolution: str | None = None,
        duration: str | None = None,
        loop: bool | None = None,  # noqa: FBT001 - an option
        camera: str | None = None,
        draft: bool = False,  # noqa: FBT001, FBT002 - an option
        private: bool = False,  # noqa: FBT001, FBT002 - an option
    ) -> None:
        options = Options(
            prompt=prompt,
            start_frame=start_frame,
            end_frame=end_frame,
            start_link=start_frame_url,
            end_link=end_frame_url,
            model=model,
            aspect_ratio=aspect_ratio,
            resolution=resolution,
            duration=duration,
            loop=loop,
            camera=camera,
            is_draft=draft,
            is_private=private,
        )
        await handler.on_ask(interaction, options)


def _add_animate(ray: Group, handler: CommandHandler, models: Sequence[ModelCapabilities]) -> None:
    @ray.command(name="animate", description="Set a picture in motion")
    @app_commands.describe(
        **{k: v for k, v in OPTION_WORDS.items() if not k.startswith("start_frame")}
    )
    @_describe_options(models)
    async def animate(
        interaction: Interaction,
        image: discord.Attachment,
        prompt: Range[str, 1, PROMPT_CHARS] | None = None,
        end_frame: discord.Attachment | None = None,
        end_frame_url: str | None = None,
        model: str | None = None,
        aspect_ratio: str | None = None,
        resolution: str | None = None,
        duration: str | None = None,
        loop: bool | None = None,  # noqa: FBT001 - an option
        camera: str | None = None,
        draft: bool = False,  # noqa: FBT001, FBT002 - an option
        private: bool = False,  # noqa: FBT001, FBT002 - an option
    ) -> None:
        options = Options(
            prompt=prompt or "",
            start_frame=image,
            end_frame=end_frame,
            end_link=end_frame_url,
            model=model,
            aspect_ratio=aspect_ratio,
            resolution=resolution,
            duration=duration,
            loop=loop,
            camera=camera,
            is_draft=draft,
            is_private=private,
        )
        await handler.on_ask(interaction, options)


def _add_still(ray: Group, handler: CommandHandler, models: Sequence[ModelCapabilities]) -> None:
    @ray.command(name="still", description="Make a picture from words, which you can then animate")
    @app_commands.describe(
        prompt=OPTION_WORDS["prompt"],
        model="The picture model",
        aspect_ratio="The shape",
        private=OPTION_WORDS["private"],
    )
    @app_commands.choices(
        model=_choices(each.model for each in models),
        aspect_ratio=_choices(ratio for each in models for ratio in each.aspect_ratios),
    )
    async def still(
        interaction: Interaction,
        prompt: Range[str, 1, PROMPT_CHARS],
        model: str | None = None,
        aspect_ratio: str | None = None,
        private: bool = False,  # noqa: FBT001, FBT002 - an option
    ) -> None:
        options = Options(
            prompt=prompt,
            is_still=True,
            model=model,
            aspect_ratio=aspect_ratio,
            is_private=private,
        )
        await handler.on_ask(interaction, options)


def _add_story(ray: Group, handler: CommandHandler, models: Sequence[ModelCapabilities]) -> None:
    @ray.command(name="story", description="One film of several shots, a line for each")
    @app_commands.describe(
        lines="The shots, parted by |; without them a form asks for a line each",
        model=OPTION_WORDS["model"],
        aspect_ratio="The shape",
        resolution="The size of every shot; more costs more",
        duration="The length of every shot; more costs more",
        private=OPTION_WORDS["private"],
    )
    @app_commands.choices(
        model=_choices(each.model for each in models),
        aspect_ratio=_choices(ratio for each in models for ratio in each.aspect_ratios),
        resolution=_choices(size for each in models for size in each.resolutions),
        duration=_choices(length for each in models for length in each.durations),
    )
    async def story(
        interaction: Interaction,
        lines: Range[str, 1, STORY_CHARS] | None = None,
        model: str | None = None,
        aspect_ratio: str | None = None,
        resolution: str | None = None,
        duration: str | None = None,
        private: bool = False,  # noqa: FBT001, FBT002 - an option
    ) -> None:
        options = Options(
            prompt=lines or "",
            model=model,
            aspect_ratio=aspect_ratio,
            resolution=resolution,
            duration=duration,
            is_private=private,
        )
        await handler.on_story(interaction, options)


def _add_more(ray: Group, handler: CommandHandler) -> None:
    made = [Choice(name=words, value=act) for act, words in MADE_OF_CLIPS.items()]

    @ray.command(name="more", description="Make something of a clip: go on, vary, enlarge, change")
    @app_commands.describe(id=ID_WORDS, act="What to make of it")
    @app_commands.autocomplete(id=_own_jobs(handler, is_clip=True))
    @app_commands.choices(act=made)
    async def more(interaction: Interaction, id: str, act: str) -> None:  # noqa: A002
        await handler.on_more(interaction, act, id)


def _add_pages(ray: Group, handler: CommandHandler) -> None:
    @ray.command(name="jobs", description="Your clips, newest first")
    @app_commands.describe(search="Words of the prompt", page="Which page")
    async def jobs(
        interaction: Interaction, search: str = "", page: Range[int, 1, 1000] = 1
    ) -> None:
        await handler.on_page(interaction, "jobs", search=search, page=page)

    @ray.command(name="show", description="One clip, where it stands, and the clip again")
    @app_commands.describe(id=ID_WORDS)
    @app_commands.autocomplete(id=_own_jobs(handler, is_clip=False))
    async def show(interaction: Interaction, id: str) -> None:  # noqa: A002 - the option's name
        await handler.on_page(interaction, "show", job=id)

    @ray.command(name="cancel", description="Take a request back")
    @app_commands.describe(id=ID_WORDS)
    async def cancel(interaction: Interaction, id: str) -> None:  # noqa: A002 - the option's name
        await handler.on_action(interaction, "cancel", id.strip())

    @ray.command(name="usage", description="What you used, and what is left")
    async def usage(interaction: Interaction) -> None:
        await handler.on_page(interaction, "usage")

    @ray.command(name="settings", description="Your own defaults")
    @app_commands.describe(
        setting="Which one to change", value="Its new value; empty takes it back"
    )
    @app_commands.choices(setting=named(OWN_SETTINGS))
    async def settings(interaction: Interaction, setting: str = "", value: str = "") -> None:
        await handler.on_page(interaction, "settings", setting=setting, value=value)

    @ray.command(name="forget-me", description="Remove all that is kept of you here")
    async def forget_me(interaction: Interaction) -> None:
        await handler.on_page(interaction, "forget-me")

    @ray.command(name="help", description="What Raybot can do here")
    async def help_(interaction: Interaction) -> None:
        await handler.on_page(interaction, "help")
