"""What `bot.app` builds the program from, and what it listens and answers with."""
