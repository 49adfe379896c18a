"""Every parser that meets outside bytes, with true payloads that were spoilt.

Whatever comes in, only an error of ours comes out, soon. `make check` tries a few dozen of each,
always the same; `python -m tests.fuzz --examples N` tries N, others each time.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

#: How many of each; set by `python -m tests.fuzz`.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
fuzz = settings(
    max_examples=EXAMPLES or 10,
    derandomize=not EXAMPLES,
    database=None,
    # A busy machine is no fault: `tests.fuzz.mutations.bounded` counts our own CPU time. The
    # profile of `tests.conftest` says so, too, but this may be imported before it.
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
few = settings(fuzz, max_examples=max(5, EXAMPLES // 20))
