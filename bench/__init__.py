"""Measures Raybot and its peer, the official SDK's own loop, against one simulator in one run."""
