"""What `bot.tracker` does in one step of a job: submit, reconcile, deliver."""
