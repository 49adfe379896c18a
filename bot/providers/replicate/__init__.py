"""Luma's Ray 2 models on Replicate: `predictions` has the JSON, `provider` makes the calls."""

from bot.providers.replicate.provider import Replicate, Settings

create = Replicate
__all__ = ["Replicate", "Settings", "create"]
