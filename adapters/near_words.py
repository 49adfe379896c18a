"""Words that are nearly an act, or said to somebody: no clip of them is paid. Pure.

Of what has more than two words only `admin` with an act that is nearly one is refused. Words in
quotes are always a prompt.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection

from bot.errors import InvalidRequest
from bot.text import clean


def _words(listed: str) -> tuple[str, ...]:
    return tuple(listed.split())


#: What is typed alone, and how close a word has to be: "usagi" and "showers" are prompts.
_ALONE = ("help", "usage", "jobs", "settings")
_CLOSE = 0.85
#: Where an id stands behind, or `admin` before, less will do.
_SURELY = 0.75
_ALSO = {
    **dict.fromkeys(
        _words(
            "aide ajuda aiuto apua ayuda commands hilfe hjelp hjælp hjälp hulp pomoc yardım "
            "справка помощь मदद مساعدة 帮助 幫助 ヘルプ 도움말"
        ),
        "help",
    ),
    **dict.fromkeys(_words("credits quota verbrauch"), "usage"),
    **dict.fromkeys(_words("gallery history list queue status"), "jobs"),
    **dict.fromkeys(_words("config einstellungen options preferences setup"), "settings"),
    **dict.fromkeys(_words("abort stop"), "cancel"),
}
#: What ends other programs, before whose prompt people sit as before ours.
_ENDS = frozenset({"exit", "quit", "q", "wq", "logout"})
#: What stands beside one of those words and says nothing of what is to be seen.
_BESIDE = frozenset(
    _words("all bot change get list me my open our please ray raybot see show the us view your")
)
_SAID = frozenset(
    _words(
        "ahoj awesome bedankt bonjour bravo bye cheers ciao cool danke dziękuję goodbye gracias "
        "grazie great hallo hei hej hello hey hi hola kiitos lol merci merhaba moin nice no "
        "obrigada obrigado ok okay olá perfect salut servus sorry tack tak takk teşekkürler "
        "thanks thx ty wow yes yo привет спасибо مرحبا شكرا नमस्ते 你好 谢谢 謝謝 "
        "こんにちは ありがとう 안녕하세요 감사합니다 +1 👍 👏 🙏"
    )
)
_SAID_BESIDE = frozenset(_words("again all bot everybody everyone much ray raybot so there you"))
_SAID_SO = frozenset(
    {
        *("thank you", "dank je", "vielen dank", "muchas gracias", "merci beaucoup"),
        *("good morning", "good evening", "good night", "good bot", "good job", "great job"),
        *("guten morgen", "guten tag", "buenos días", "buenos dias", "bom dia", "well done"),
        *("nice work", "nice one", "love it", "no thanks", "yes please"),
    }
)
#: Verbs whose job is meant so, too; "loop it" may be said to an image.
_POINTING = frozenset({"show", "cancel", "retry", "confirm", "delete"})
_POINTED = frozenset(_words("all clip it job jobs last mine that this"))
_NO_ID = re.compile(r"[#x×]?[0-9]\S*|`?r-\S*")
_ID = re.compile(r"`?(r-(?=[a-z]*[0-9])[0-9a-z]{4,16})`?")
_BEFORE, _AFTER = "/¡¿*_`", " !?.,…:;)(*_`~。！？、،؟"
#: What begins with these is quoted, or a flag.
_TYPED_SO = ('"', "“", "”", "„", "-", "—", "–")
MORE = "For a clip of that word, say more of what there is to see."
CHAT = "That is no clip yet. Say what you want to see; `help` tells what else can be typed."
NEEDS_ID = f"{{0}} needs a job's id: {{0}} r-0yb7k2m9q, for example; jobs lists yours. {MORE}"


def check_prompt(text: str, of_jobs: Collection[str]) -> None:
    """Raise `InvalidRequest` for one or two words that are hardly meant to be paid.

    `of_jobs` are the verbs that need a job.
    """
    typed = text.casefold().split()
    if not 0 < len(typed) <= 2 or any(each.startswith(_TYPED_SO) for each in typed):
        return
    said = [bare for each in typed if (bare := each.lstrip(_BEFORE).rstrip(_AFTER))]
    if len(typed) == 2:
        _check_job(typed[0], typed[1], of_jobs)
    elif said and said[0] in of_jobs:
        raise InvalidRequest(NEEDS_ID.format(said[0]), field="prompt")
    if _is_chat(said):
        raise InvalidRequest(CHAT, field="prompt")
    if meant := _meant(said):
        raise InvalidRequest(f"Did you mean `{meant}`? {MORE}", field="prompt")


def check_no_end(text: str) -> None:
    """Raise `InvalidRequest` for what is nearly the `exit` of the terminal."""
    word = text.casefold().strip(_BEFORE + _AFTER)
    if word in _ENDS or _nearest(word, ("exit",), _CLOSE):
        raise InvalidRequest(f"Type exit to end. {MORE}", field="prompt")


def _check_job(verb: str, target: str, of_jobs: Collection[str]) -> None:
    verb = verb.lstrip(_BEFORE)
    if verb in of_jobs:
        is_pointing = verb in _POINTING and target.rstrip(_AFTER) in _POINTED
        if is_pointing or _NO_ID.fullmatch(target):
            raise InvalidRequest(NEEDS_ID.format(verb), field="prompt")
    elif found := _ID.fullmatch(target):
        near = _nearest(verb, of_jobs, _SURELY)
        hint = f"Did you mean `{near} {found[1]}`?" if near else "`help` lists what there is."
        raise InvalidRequest(f"There is no {clean(verb, limit=30)}. {hint}", field="prompt")


def _is_chat(said: list[str]) -> bool:
    if " ".join(said) in _SAID_SO:
        return True
    return any(each in _SAID for each in said) and set(said) <= _SAID | _SAID_BESIDE


def _meant(said: list[str]) -> str:
    """The verb that is nearly there; empty where it is a prompt."""
    if not said:
        return "help"
    if len(said) == 1:
        if found := _ID.fullmatch(said[0]):
            return f"show {found[1]}"
        known = (*_ALONE, "cancel", "retry", "delete")
        return _ALSO.get(said[0]) or _nearest(said[0], known, _CLOSE)
    if said[0] == "help" or (said[0] in _ALONE and said[1].isdecimal()):
        return said[0]
    left = [each for each in said if each not in _BESIDE]
    return _nearest(left[0], _ALONE, _CLOSE) if len(left) == 1 else ""


def _nearest(word: str, known: Collection[str], cutoff: float) -> str:
    """The one that was meant: itself, two letters the other way round, or much the same."""
    word = word[:40]
    for at in range(len(word) - 1):
        turned = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        if turned in known:
            return turned
    return (*difflib.get_close_matches(word, known, n=1, cutoff=cutoff), "")[0]


# ---- those who run a place -------------------------------------------------------------------

_ADMIN = re.compile(r"admin(?:\s+(?P<said>(?P<word>\S+).*))?", re.IGNORECASE | re.DOTALL)
#: What is called otherwise here.
_CALLED = {
    "rules": "limits",
    "settings": "defaults",
    "stats": "usage",
    "unpause": "resume",
    "start": "resume",
    "stop": "pause",
    "ban": "block",
    "unban": "unblock",
}
#: In any place.
_ACTS = _words(
    "usage digest limits limit rules rule channel defaults block unblock forget pause resume "
    "grant words queue audit desk"
)
_AS_COMMAND = (
    "What those who run a place decide is no mention, but a command: /ray admin in Slack, "
    "/ray-admin in Discord. For a clip of that, put it in quotes."
)


def read_admin(text: str, acts: Collection[str]) -> str | None:
    """What follows `admin`; None where it is no act: an admin can be in a clip, too.

    Raises `InvalidRequest` for one word that is no act, and for what is nearly one.
    """
    if (found := _ADMIN.fullmatch(text.strip())) is None:
        return None
    said = str(found["said"] or "")
    name = re.split(r"\W", said.lower(), maxsplit=1)[0]
    if not said or name in acts:
        return said
    is_short = len(said.split()) <= 2
    if name == "help" and is_short:
        return "help"
    meant = _CALLED.get(name, "") if is_short else ""
    if meant not in acts:
        # Whoever goes on may well tell of a clip: "admin queen on a throne".
        meant = _nearest(name, acts, _SURELY if is_short else _CLOSE)
    if not meant and len(said.split()) > 1:
        return None
    hint = f"Did you mean `admin {meant}`? " if meant else ""
    raise InvalidRequest(
        f"There is no `admin {clean(found['word'], limit=30)}`. {hint}`admin help` lists what "
        "there is. For a clip of that, put it in quotes.",
        field="prompt",
    )


def check_no_admin(text: str) -> None:
    """Raise `InvalidRequest` for what an admin wants, said where it is a prompt."""
    if read_admin(text, _ACTS) is not None:
        raise InvalidRequest(_AS_COMMAND, field="prompt")
