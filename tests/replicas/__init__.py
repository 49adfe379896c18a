"""Several true processes of the bot on one PostgreSQL, before a whole Discord and Slack."""
