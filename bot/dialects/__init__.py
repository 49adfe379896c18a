"""What each video service says: what is sent, what comes back, what a refusal means."""
