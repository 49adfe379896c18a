"""`python -m tests.journey --examples N`: N stories in any order on each database."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

parser = argparse.ArgumentParser(prog="tests.journey")
parser.add_argument("--examples", type=int, default=200)
wanted, more = parser.parse_known_args()
order = (sys.executable, "-m", "pytest", "tests/journey/test_any_order.py", *more)
env = {**os.environ, "TEST_EXAMPLES": str(wanted.examples)}
sys.exit(subprocess.run(order, env=env, check=False).returncode)
