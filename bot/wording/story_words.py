"""The words of films: the list of shots, and what a person can say while one is made."""

from __future__ import annotations

from collections.abc import Sequence

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
    """The shots that a film is made of, when each begins, and which are missing."""
    lines, begins = [], 0.0
    for shot in about.shots:
        if shot.state is JobState.DELIVERED:
            at = f"{int(begins) // 60}:{int(begins) % 60:02}"
            lines.append(f"{at} {clean(shot.prompt, limit=LINE_CHARS)} · {shot.job_id}")
            begins += shot.seconds
    missing = [shot.number for shot in about.shots if shot.state is not JobState.DELIVERED]
    if missing:
        numbers = ", ".join(map(str, missing))
        lines.append(f"Without shot{'s' if len(missing) > 1 else ''} {numbers}.")
    return tuple(lines)


def decision_lines(notice: ShotFailed) -> tuple[str, ...]:
    """What can be typed about a shot that failed, and what happens by itself."""
    charged = charge_words(Micros(sum(each.charged for each in notice.about.shots)))
    undecided = f"If you decide nothing by {moment(notice.until)},"
    then = "it ends without a film"
    if notice.can_finish:
        become = "becomes" if notice.number == 2 else "become"
        then = f"{_before(notice)} {become} the film"
    return (*_typed(notice), f"{undecided} {then}.", charged)


def pressed_lines(notice: ShotFailed, lines: Sequence[str]) -> list[str]:
    """The `lines` of a shot that failed with what its buttons do in place of what is typed."""
    first, *others = _typed(notice)
    finish = f"Finish takes {_before(notice)} as the film. " if notice.can_finish else ""
    pressed = f"Redo makes this shot again. {finish}Cancel stops without a film."
    return [pressed if line == first else line for line in lines if line not in others]


def _typed(notice: ShotFailed) -> tuple[str, ...]:
    film = notice.about.job_id
    again = f"To make it again: redo {film} {notice.number} (or other words after it)"
    end = f"To take {_before(notice)} as the film: finish {film}"
    stop = f"To stop here, without the rest: cancel {film}"
    return (again, end, stop) if notice.can_finish else (again, stop)


def _before(notice: ShotFailed) -> str:
    return "the shot before it" if notice.number == 2 else "the shots before it"
