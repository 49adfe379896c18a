"""kill -9 at every point between two durable steps, in front of a whole Discord and Slack."""
