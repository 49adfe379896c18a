"""A stand-in for Luma's Dream Machine API over real HTTP, with real clips: demo, tests, bench."""

from __future__ import annotations

from bot.simulator.account import Generation, SimulatorSettings
from bot.simulator.faults import FAULT_NAMES, Faults
from bot.simulator.order import clip_size
from bot.simulator.server import Simulator, face_of, run_simulator, snippet

__all__ = [
    "FAULT_NAMES",
    "Faults",
    "Generation",
    "Simulator",
    "SimulatorSettings",
    "clip_size",
    "face_of",
    "run_simulator",
    "snippet",
]
