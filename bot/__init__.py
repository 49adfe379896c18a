"""Raybot's platform-neutral half: requests, jobs, money and clips, and no chat platform."""
