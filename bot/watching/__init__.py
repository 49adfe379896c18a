"""Parts of `bot.watcher`: whom it admits, how it watches an account, what callbacks say."""
