"""Raybot's platform-neutral half: requests, jobs, money and clips, and no chat platform."""

__version__ = "0.1.0"
