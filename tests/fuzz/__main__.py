"""`python -m tests.fuzz --examples N`: N examples for each parser, other ones each time."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

parser = argparse.ArgumentParser(prog="tests.fuzz")
parser.add_argument("--examples", type=int, default=2000)
wanted, more = parser.parse_known_args()
order = (sys.executable, "-m", "pytest", "tests/fuzz", "-n", "2", "--timeout", "3600", *more)
env = {**os.environ, "FUZZ_EXAMPLES": str(wanted.examples)}
sys.exit(subprocess.run(order, env=env, check=False).returncode)
