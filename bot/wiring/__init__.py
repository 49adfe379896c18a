"""Parts of `bot.app`: it builds the program of them, and they run what belongs to no room."""
