"""The words of films: the list of shots, and what a person can say while one is made."""

from __future__ import annotations

from bot.job import JobState
from bot.notices import About, ShotFailed
from bot.refs import Micros, money
from bot.words import charge_words, clean, moment

LINE_CHARS = 80
_STANDS: dict[JobState, str] = {
    JobState.DELIVERED: "done",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
    JobState.UNCERTAIN: "with the operator",
}


def shot_lines(about: About) -> tuple[str, ...]:
    """The shots of a film while it is made, or where it came to nothing."""
    return tuple(
        f"{shot.number}. {clean(shot.prompt, limit=LINE_CHARS)} · {_stand(shot.state)}"
        f" · {money(shot.charged if shot.state == JobState.DELIVERED else shot.price.micros)}"
        f" · {shot.job_id}"
        for shot in about.shots
    )


def _stand(state: JobState) -> str:
    is_waiting = state is JobState.ACCEPTED
    return _STANDS.get(state, "waits" if is_waiting else "in the making")


def cut_list(about: About) -> tuple[str, ...]:
    """The shots that a film is made of, and when each begins."""
    lines, begins = [], 0.0
    for shot in about.shots:
        if shot.state is JobState.DELIVERED:
            at = f"{int(begins) // 60}:{int(begins) % 60:02}"
            lines.append(f"{at} {clean(shot.prompt, limit=LINE_CHARS)} · {shot.job_id}")
            begins += shot.seconds
    return tuple(lines)


def decision_lines(notice: ShotFailed) -> tuple[str, ...]:
    """What its person can do about a shot that failed, and what happens by itself."""
    film, number = notice.about.job_id, notice.number
    again = f"To make it again: redo {film} {number} (or other words after it)"
    stop = f"To stop here, without the rest: cancel {film}"
    charged = charge_words(Micros(sum(each.charged for each in notice.about.shots)))
    undecided = f"If you decide nothing by {moment(notice.until)},"
    if notice.can_finish:
        before = "the shot before it" if number == 2 else "the shots before it"
        end = f"To take {before} as the film: finish {film}"
        becomes = "becomes" if number == 2 else "become"
        return (again, end, stop, f"{undecided} {before} {becomes} the film.", charged)
    return (again, stop, f"{undecided} it ends without a film.", charged)
