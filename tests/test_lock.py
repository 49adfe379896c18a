"""What is installed is what was locked: pinned, hashed, and from no address of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "requirements").glob("*.txt"))
RUN = "run.txt"
PIN = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9._-]*)==(?P<version>[0-9][\w.+!]*)(?P<marker> ; .+)? \\"
)
HASH = re.compile(r"    --hash=sha256:[0-9a-f]{64}(?P<more> \\)?")
COMMENT = re.compile(r"\s+# (via.*|  \S.*)|    #.*")


def pins(path: Path) -> dict[tuple[str, str], tuple[str, frozenset[str]]]:
    """By name and marker: the version and the hashes. Whatever else a line may be is refused."""
    found: dict[tuple[str, str], tuple[str, frozenset[str]]] = {}
    key, is_open = ("", ""), False
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        where = f"{path.name}:{number}: {line}"
        if pin := PIN.fullmatch(line):
            assert not is_open, where
            key, is_open = (pin["name"], pin["marker"] or ""), True
            assert key not in found, where
            found[key] = (pin["version"], frozenset())
        elif hashed := HASH.fullmatch(line):
            assert is_open, where
            version, hashes = found[key]
            found[key] = (version, hashes | {line.strip().removesuffix(" \\")})
            is_open = hashed["more"] is not None
        else:
            assert not is_open, where
            assert COMMENT.fullmatch(line), where
    assert not is_open
    return found


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_every_requirement_is_pinned_and_hashed_and_nothing_else_is_there(path: Path) -> None:
    """No index, no link, no other file, no option: each line is a pin, a hash or a remark."""
    for (name, _), (_, hashes) in pins(path).items():
        assert hashes, name


@pytest.mark.parametrize("name", sorted({path.name for path in FILES} - {RUN, "build.txt"}))
def test_what_runs_is_the_same_everywhere(name: str) -> None:
    run, other = pins(ROOT / "requirements" / RUN), pins(ROOT / "requirements" / name)
    versions = {key: version for key, (version, _) in other.items()}
    assert {key: versions.get(key) for key in run} == {key: run[key][0] for key in run}
    assert all(run[key][1] == other[key][1] for key in run)


@pytest.mark.parametrize("name", sorted({path.name for path in FILES} - {"dev.txt"}))
def test_what_runs_is_what_was_tested(name: str) -> None:
    """The environment of the tests has every package of every file, in the same version."""
    tested = pins(ROOT / "requirements" / "dev.txt")
    here = pins(ROOT / "requirements" / name)
    assert {key: tested.get(key) for key in here} == here


def test_extras_can_stand_beside_each_other() -> None:
    """The container installs one after the other; none may change what another one brought."""
    brought: dict[tuple[str, str], tuple[str, frozenset[str]]] = {}
    for name in ("charts.txt", "postgres.txt", "web.txt"):
        for key, pin in pins(ROOT / "requirements" / name).items():
            assert brought.setdefault(key, pin) == pin, f"{name}: {key}"


def test_every_file_is_made_and_audited_by_make() -> None:
    """Each after the one that holds it, and all of them where known flaws are asked for."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    [said] = re.findall(r"(?m)^LOCKS := (.+)$", makefile)
    locks = said.split()
    assert sorted(locks) == sorted(path.stem for path in FILES)
    made = dict(re.findall(r"(?m)^LOCK_(\w+) := (.+)$", makefile))
    assert list(made) == locks
    for name, options in made.items():
        held = re.findall(r"-c requirements/(\w+)\.txt", options)
        assert all(locks.index(each) < locks.index(name) for each in held), name
    lock, audit = (
        re.search(rf"(?ms)^{target}: .*?^$", makefile)[0]  # type: ignore[index]
        for target in ("lock", "audit")
    )
    assert "$(foreach each,$(LOCKS)" in lock
    assert audit.count("$(foreach each,$(LOCKS)") == 1
    assert "for each in $(LOCKS); do .venv/audit/bin/python -m pip_audit" in audit


def test_what_is_installed_is_held_to_its_hashes() -> None:
    for name in ("Makefile", "Dockerfile"):
        whole = (ROOT / name).read_text("utf-8").replace("\\\n", " ")
        for line in whole.splitlines():
            if "-r requirements/" in line:
                assert "--require-hashes" in line, line
