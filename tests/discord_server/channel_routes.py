"""The routes of channels, messages, threads and private conversations."""

from __future__ import annotations

from tests.discord_server import problems as no
from tests.discord_server.application import Application
from tests.discord_server.cdn import Cdn
from tests.discord_server.happenings import Happenings
from tests.discord_server.payloads import Payloads
from tests.discord_server.permissions import Permission
from tests.discord_server.posting import Posting
from tests.discord_server.problems import ApiError, Problems
from tests.discord_server.threads import Threads
from tests.discord_server.wire import Reply, Request, Router
from tests.discord_server.world import FORUMS, Channel, Message, World

MESSAGES = "/channels/{channel}/messages"
MESSAGE = f"{MESSAGES}/{{message}}"


class ChannelRoutes:
    """Answers what a bot does with its token in places."""

    def __init__(
        self,
        world: World,
        app: Application,
        cdn: Cdn,
        payloads: Payloads,
        happenings: Happenings,
        posting: Posting,
        threads: Threads,
    ) -> None:
        self.typing: list[int] = []
        self._world = world
        self._app = app
        self._cdn = cdn
        self._payloads = payloads
        self._happenings = happenings
        self._posting = posting
        self._threads = threads

    def add_to(self, router: Router) -> None:
        """Name every route."""
        for method, template, handler in (
            ("GET", "/channels/{channel}", self._channel),
            ("PATCH", "/channels/{channel}", self._change_channel),
            ("POST", "/channels/{channel}/typing", self._type),
            ("GET", MESSAGES, self._history),
            ("POST", MESSAGES, self._create),
            ("GET", MESSAGE, self._get),
            ("PATCH", MESSAGE, self._edit),
            ("DELETE", MESSAGE, self._delete),
            ("PUT", f"{MESSAGE}/reactions/{{emoji}}/@me", self._react),
            ("DELETE", f"{MESSAGE}/reactions/{{emoji}}/@me", self._unreact),
            ("POST", f"{MESSAGE}/threads", self._thread_of_message),
            ("POST", "/channels/{channel}/threads", self._thread),
            ("PUT", "/channels/{channel}/thread-members/@me", self._join),
            ("GET", "/guilds/{guild}/threads/active", self._active_threads),
            ("POST", "/users/@me/channels", self._direct),
            ("POST", "/attachments/refresh-urls", self._refresh),
        ):
            router.add(method, template, handler)

    def _place(self, request: Request) -> Channel:
        return self._app.channel(self._world, request.id("channel"))

    def _message(self, request: Request) -> Message:
        return self._posting.find(self._place(request), request.id("message"))

    def _shown(self, message: Message) -> Reply:
        return Reply(self._payloads.message(message, reads_content=self._app.reads_content))

    # ---- places -------------------------------------------------------------------------

    def _channel(self, request: Request) -> Reply:
        return Reply(self._payloads.channel(self._place(request)))

    def _change_channel(self, request: Request) -> Reply:
        channel = self._place(request)
        if channel.is_thread:
            self._threads.change(channel, request.form)
        else:
            self._app.require(channel, Permission.MANAGE_CHANNELS)
            channel.name = str(request.form.get("name", channel.name))
            self._happenings.channel_changed(channel)
        return Reply(self._payloads.channel(channel))

    def _type(self, request: Request) -> Reply:
        channel = self._place(request)
        self.typing.append(channel.id)
        return Reply()

    def _direct(self, request: Request) -> Reply:
        problems = Problems()
        user_id = problems.snowflake(request.form.get("recipient_id"), ("recipient_id",))
        problems.refuse_if_any()
        user = self._world.users.get(user_id)
        if user is None or user is self._app.bot:
            raise ApiError(*no.UNKNOWN_USER)
        return Reply(self._payloads.channel(self._world.direct(user, self._app.bot)))

    # ---- messages -----------------------------------------------------------------------

    def _create(self, request: Request) -> Reply:
        message = self._posting.create(self._place(request), request.form, request.files)
        shown = self._shown(message)
        # Only the answer and the event tell the nonce; a message that is fetched has none.
        if message.nonce is not None:
            shown.body["nonce"] = message.nonce
        return shown

    def _history(self, request: Request) -> Reply:
        channel = self._place(request)
        if not self._app.permissions_in(channel) & Permission.READ_MESSAGE_HISTORY:
            return Reply([])
        limit = _number(request, "limit", 50)
        found = [channel.messages[each] for each in sorted(channel.messages, reverse=True)]
        if "before" in request.query:
            found = [each for each in found if each.id < _number(request, "before", 0)]
        if "after" in request.query:
            found = [each for each in found if each.id > _number(request, "after", 0)][-limit:]
        if "around" in request.query:
            middle = _number(request, "around", 0)
            nearest = sorted(found, key=lambda each: abs(each.id - middle))[:limit]
            found = [each for each in found if each in nearest]
        reads = self._app.reads_content
        return Reply([self._payloads.message(each, reads_content=reads) for each in found[:limit]])

    def _get(self, request: Request) -> Reply:
        channel = self._place(request)
        self._app.require(channel)
        if not self._app.permissions_in(channel) & Permission.READ_MESSAGE_HISTORY:
            raise ApiError(*no.MISSING_ACCESS)
        return self._shown(self._message(request))

    def _edit(self, request: Request) -> Reply:
        message = self._message(request)
        self._posting.edit(message, request.form, request.files)
        return self._shown(message)

    def _delete(self, request: Request) -> Reply:
        self._posting.delete(self._message(request))
        return Reply()

    def _react(self, request: Request) -> Reply:
        message = self._message(request)
        self._app.require(
            message.channel, Permission.READ_MESSAGE_HISTORY, Permission.ADD_REACTIONS
        )
        if message.channel.is_archived:
            raise ApiError(*no.THREAD_IS_ARCHIVED)
        emoji = request.params["emoji"]
        message.reactions.setdefault(emoji, set()).add(self._app.bot.id)
        self._happenings.reaction_added(message, self._app.bot, emoji)
        return Reply()

    def _unreact(self, request: Request) -> Reply:
        message = self._message(request)
        message.reactions.get(request.params["emoji"], set()).discard(self._app.bot.id)
        return Reply()

    def _refresh(self, request: Request) -> Reply:
        problems = Problems()
        links = problems.count(request.form.get("attachment_urls"), ("attachment_urls",), 1, 50)
        problems.refuse_if_any()
        return Reply(
            {
                "refreshed_urls": [
                    {"original": each, "refreshed": self._cdn.refresh(each)} for each in links
                ]
            }
        )

    # ---- threads ------------------------------------------------------------------------

    def _thread_of_message(self, request: Request) -> Reply:
        thread = self._threads.from_message(self._message(request), request.form)
        return Reply(self._payloads.channel(thread), status=201)

    def _thread(self, request: Request) -> Reply:
        parent = self._place(request)
        if parent.kind in FORUMS:
            thread, message = self._threads.post(parent, request.form, request.files)
            body = {
                **self._payloads.channel(thread),
                "message": self._payloads.message(message),
            }
            return Reply(body, status=201)
        thread = self._threads.without_message(parent, request.form)
        return Reply(self._payloads.channel(thread), status=201)

    def _join(self, request: Request) -> Reply:
        self._threads.join(self._place(request))
        return Reply()

    def _active_threads(self, request: Request) -> Reply:
        guild = self._world.guilds.get(request.id("guild"))
        if guild is None or not guild.has_bot:
            raise ApiError(*no.MISSING_ACCESS)
        found = [each for each in guild.channels.values() if each.is_thread]
        newest = sorted(found, key=lambda each: each.id, reverse=True)
        threads = [self._payloads.channel(each) for each in newest if not each.is_archived]
        return Reply({"threads": threads, "members": []})


def _number(request: Request, name: str, default: int) -> int:
    value = request.query.get(name, str(default))
    if not value.isdecimal() or (name == "limit" and not 1 <= int(value) <= 100):
        problems = Problems()
        problems.add((name,), "NUMBER_TYPE_COERCE", f'Value "{value}" is not fit.')
        problems.refuse_if_any()
    return int(value)
