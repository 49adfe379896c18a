"""The points that there are only on PostgreSQL: nudges, roles, and a COMMIT without its answer."""

from __future__ import annotations

from typing import Any

from procrastinate.jobs import Job as Task
from procrastinate.manager import JobManager

from bot.dispatch.procrastinate import ADVANCE, ProcrastinateDispatcher
from bot.dispatch.replicas import PostgresReplicas
from tests.crash.points import Points


def watch_nudges(points: Points) -> None:
    """Have the way of a nudge counted: made, claimed, ended, handed over from the dead."""
    _until_claimed(points)
    for method, name in (("finish_job", "end of a nudge"), ("retry_job", "handing over")):
        _around_task(method, name, points)


def watch_roles(points: Points) -> None:
    """Have the taking of each role counted; a process that waits for one is at one point."""
    waits: set[str] = set()
    take = PostgresReplicas._try

    async def wrapped(self: PostgresReplicas, conn: Any) -> None:
        wanted = {name: role for name, role in self._roles.items() if not role.is_certain}
        for name in wanted:
            if name not in waits:
                waits.add(name)
                points.cross(f"before role: {name}")
        await take(self, conn)
        for name, role in wanted.items():
            if role.is_certain:
                points.cross(f"after role: {name}")

    setattr(PostgresReplicas, "_try", wrapped)  # noqa: B010 - mypy knows a method cannot be set


def _until_claimed(points: Points) -> None:
    wake_true, fetch_true = ProcrastinateDispatcher.wake, JobManager.fetch_job
    later_true = JobManager.defer_job_async
    deferred: list[None] = []

    def wake(*args: Any) -> None:
        wake_true(*args)
        points.cross("between deferral and commit")
        deferred.append(None)

    setattr(ProcrastinateDispatcher, "wake", wake)  # noqa: B010

    async def defer_job_async(self: JobManager, job: Task, **kwargs: Any) -> Task:
        if job.task_name != ADVANCE:
            return await later_true(self, job, **kwargs)
        points.cross("before a nudge for later")
        found = await later_true(self, job, **kwargs)
        points.cross("after a nudge for later")
        return found

    setattr(JobManager, "defer_job_async", defer_job_async)  # noqa: B010

    async def fetch_job(*args: Any, **kwargs: Any) -> Task | None:
        # It asks again and again; what counts is the first time that there can be something.
        if deferred:
            deferred.clear()
            points.cross("before claim of a nudge")
        task = await fetch_true(*args, **kwargs)
        if task is not None and task.task_name == ADVANCE:
            points.cross("after claim of a nudge")
        return task

    setattr(JobManager, "fetch_job", fetch_job)  # noqa: B010


def _around_task(method: str, name: str, points: Points) -> None:
    true = getattr(JobManager, method)

    async def wrapped(self: JobManager, job: Task, *args: Any, **kwargs: Any) -> None:
        if job.task_name != ADVANCE:
            await true(self, job, *args, **kwargs)
            return
        points.cross(f"before {name}")
        await true(self, job, *args, **kwargs)
        points.cross(f"after {name}")

    setattr(JobManager, method, wrapped)
