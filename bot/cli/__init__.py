"""The `raybot` command: what can be typed, and what each command does."""
