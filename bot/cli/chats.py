"""The chat platforms that `raybot init` sets up, and what it asks of each.

Who the bot is at a platform and how its app is made, the adapter says.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from bot.cli.prompts import Given, Person, Question, proved, refuse
from bot.config import Config, to_config
from bot.errors import ConfigError, DeliveryError, InvalidRequest
from bot.ports import Introduction
from bot.wiring.supply import has_account, has_secret, introduction, invitation
from bot.words import clean

LATER = "later"
TERMINAL = "terminal"
SHOWN = 25


@dataclass(frozen=True, kw_only=True)
class Token:
    """One secret of a platform: its key in the adapter's table, and how it is asked for."""

    key: str
    text: str
    flag: str


@dataclass(frozen=True, kw_only=True)
class Chat:
    """What a platform has to be asked. `places` and `user` are keys of [access] and [operator].

    `lead` says where the tokens come from; where it is empty, the adapter's invitation does.
    `is_one_place`: a token is of one place, so nobody has to choose.
    """

    name: str
    lead: str
    tokens: tuple[Token, ...]
    places: str
    is_one_place: bool
    user: str
    user_text: str
    user_pattern: str
    user_wants: str


DISCORD = Chat(
    name="discord",
    lead="A token comes from https://discord.com/developers/applications: New Application, Bot, "
    "Reset Token.",
    tokens=(Token(key="token", text="Discord token", flag="--discord-token"),),
    places="servers",
    is_one_place=False,
    user="discord_user",
    user_text="Your own Discord user id",
    user_pattern=r"\d+",
    user_wants="it has digits only",
)
SLACK = Chat(
    name="slack",
    lead="",
    tokens=(
        Token(key="bot_token", text="Slack bot token, xoxb-…", flag="--slack-bot-token"),
        Token(key="app_token", text="Slack app-level token, xapp-…", flag="--slack-app-token"),
    ),
    places="workspaces",
    is_one_place=True,
    user="slack_user",
    user_text="Your own Slack member id (your profile, ⋮, Copy member ID)",
    user_pattern=r"[UW][A-Z0-9]{2,}",
    user_wants="it begins with U or W",
)
CHATS = {chat.name: chat for chat in (DISCORD, SLACK)}


@dataclass(frozen=True, kw_only=True)
class Joined:
    """What was found out: tables of the file, words to some values, and the bot if any."""

    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    remarks: dict[str, str] = field(default_factory=dict)
    bot: Introduction | None = None


class Joining:
    """The part of the first conversation that is about a chat platform."""

    def __init__(self, given: Given, person: Person, *, seconds: float) -> None:
        self._given = given
        self._person = person
        self._seconds = seconds
        self._tables: dict[str, dict[str, Any]] = {}
        self._remarks: dict[str, str] = {}

    async def run(self) -> Joined:
        """Ask and prove; raises `ConfigError` where a script gave too little or a wrong thing."""
        chat = CHATS.get(await self._choose())
        if chat is None:
            self._check_unneeded()
        bot = await self._sign_in(chat) if chat is not None else None
        if chat is None or bot is None:
            return Joined(tables={f"adapters.{TERMINAL}": {}})
        await self._choose_places(chat, bot)
        await self._choose_operator(chat, bot)
        return Joined(tables=self._tables, remarks=self._remarks, bot=bot)

    async def _choose(self) -> str:
        """Which platform: the one of the tokens that are there, or what somebody answers."""
        given = [name for name in CHATS if self._is_given(name)]
        if found := given or [name for name in CHATS if has_account(config_of(), name)]:
            return found[0]
        if not self._person.is_there:
            return TERMINAL
        known = (*CHATS, TERMINAL)
        question = Question(
            text=f"Where people talk to it: {', '.join(CHATS)} or {TERMINAL}",
            flag="--discord-token or --slack-bot-token",
            default=DISCORD.name,
        )
        while (name := (await self._person.ask(question)).strip().lower()) not in known:
            self._person.say(f"There is no chat {clean(name)!r}.")
        return name

    def _check_unneeded(self) -> None:
        """The terminal has no servers and no operator: what was said of them would be lost."""
        given = {"--server": self._given.servers, "--operator": self._given.operator}
        for flag in (flag for flag, said in given.items() if said):
            tokens = " or ".join(chat.tokens[0].flag for chat in CHATS.values())
            raise ConfigError(f"{flag} is of a chat, and none was named. Give {tokens}, too.")

    def _is_given(self, name: str) -> bool:
        return any(self._given.tokens.get(name, {}).values())

    # ---- the tokens ----------------------------------------------------------------------

    async def _sign_in(self, chat: Chat) -> Introduction | None:
        """The bot there; None where somebody leaves its token out."""
        if not (self._is_given(chat.name) or has_account(config_of(), chat.name)):
            self._person.say(chat.lead or await invitation(config_of(), chat.name))
        bot: Introduction | None = None
        for token in chat.tokens:
            if (bot := await self._prove(chat, token)) is None:
                return None
        assert bot is not None
        owned = f", owned by {bot.owner_name}" if bot.owner_name else ""
        self._person.say(f"{_count(chat)} good: this is {bot.name}{owned}.")
        return bot

    async def _prove(self, chat: Chat, token: Token) -> Introduction | None:
        """One token, with those before it; None where it is left out."""
        before = self._tables.get(f"adapters.{chat.name}", {})
        keys = [each.key for each in chat.tokens]
        later = keys[keys.index(token.key) + 1 :]

        async def prove(given: str) -> Introduction:
            table = before | ({token.key: given} if given else {})
            return await self._meet(chat, table, without=later)

        found = await proved(
            self._person,
            Question(text=token.text, flag=token.flag, is_secret=True),
            given=self._given.tokens.get(chat.name, {}).get(token.key, ""),
            variable=f"RAYBOT_ADAPTERS__{chat.name}__{token.key}".upper(),
            is_set=has_secret(config_of(), chat.name, token.key),
            prove=prove,
            is_needed=False,
        )
        if found is None:
            return None
        secret, bot = found
        self._tables[f"adapters.{chat.name}"] = before | ({token.key: secret} if secret else {})
        return bot

    async def _meet(
        self, chat: Chat, table: Mapping[str, Any], *, without: Collection[str] = ()
    ) -> Introduction:
        config = config_of(adapters={chat.name: table})
        try:
            return await introduction(config, chat.name, seconds=self._seconds, without=without)
        except DeliveryError as error:
            raise ConfigError(f"{error.sentence}. So the token is not proved.") from error

    # ---- the places ----------------------------------------------------------------------

    async def _choose_places(self, chat: Chat, bot: Introduction) -> None:
        chosen, names = self._given.servers, bot.places
        if chat.is_one_place:
            if wrong := [each for each in chosen if each not in names]:
                raise ConfigError(f"--server: the token is not of {clean(wrong[0])!r}.")
            chosen = tuple(names)
        elif wrong := [each for each in chosen if not each.isdecimal()]:
            raise ConfigError(f"--server: {clean(wrong[0])!r} is no id; it has digits only.")
        elif not chosen and self._person.is_there:
            chosen, names = await self._ask_places(chat, bot)
        self._tables["access"] = {chat.places: list(chosen)}
        if not chosen:
            self._remarks[chat.places] = "nobody is served yet: put your server's id here"
        elif told := [names[each] for each in chosen if each in names]:
            self._remarks[chat.places] = ", ".join(told)

    async def _ask_places(
        self, chat: Chat, bot: Introduction
    ) -> tuple[tuple[str, ...], Mapping[str, str]]:
        """Which of those it is in, or their ids; asked anew after it was added to one."""
        person = self._person
        while True:
            ids = list(bot.places)
            if not ids:
                person.say(f"{bot.name} is in no server yet.")
                person.say(bot.invitation)
            for at, each in enumerate(ids[:SHOWN], 1):
                person.say(f"  {at}. {bot.places[each]} ({each})")
            default = "1" if len(ids) == 1 else ""
            what = "numbers or ids with commas" if ids else "Enter once it is added, or its id"
            answer = await person.ask(
                Question(
                    text=f"Servers that may use it: {what}, or {LATER}",
                    flag="--server",
                    default=default,
                )
            )
            if answer.strip().lower() == LATER:
                return (), bot.places
            try:
                if found := _read_servers(answer, ids):
                    return found, bot.places
            except InvalidRequest as error:
                person.say(error.sentence)
            bot = await self._meet(chat, self._tables[f"adapters.{chat.name}"])

    # ---- the operator --------------------------------------------------------------------

    async def _choose_operator(self, chat: Chat, bot: Introduction) -> None:
        """Who hears what only the operator can mend; nobody where the platform names no owner."""
        default = bot.owner_name or "nobody"
        question = Question(
            text=f"{chat.user_text}, for notices (Enter: {default})",
            flag="--operator",
            default=bot.owner,
        )
        user = self._given.operator or ("" if self._person.is_there else bot.owner)
        is_asked = False
        while not re.fullmatch(chat.user_pattern, user):
            if user:
                refuse(self._person, f"{clean(user)!r} is no user id; {chat.user_wants}.")
            elif is_asked or not self._person.is_there:
                return
            user, is_asked = (await self._person.ask(question)).strip(), True
        self._tables["operator"] = {chat.user: user}
        if user == bot.owner:
            self._remarks[chat.user] = bot.owner_name


def config_of(**tables: Mapping[str, Any]) -> Config:
    """These tables as they would be read: the environment wins."""
    return to_config({name: dict(table) for name, table in tables.items()})


def _count(chat: Chat) -> str:
    return "The token is" if len(chat.tokens) == 1 else "The tokens are"


def _read_servers(answer: str, known: list[str]) -> tuple[str, ...]:
    """Ids, or numbers of the list; raises `InvalidRequest`."""
    found = []
    for each in answer.replace(",", " ").split():
        if not each.isdecimal():
            raise InvalidRequest(f"{clean(each)!r} is neither a number of the list nor an id.")
        found.append(known[int(each) - 1] if 0 < int(each) <= len(known) else each)
    return tuple(dict.fromkeys(found))
