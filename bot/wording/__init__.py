"""Sentences that people read, one file for each subject; `bot.text` puts them together."""
