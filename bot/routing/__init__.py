"""Which video service a request goes to, with what, and who is next where it fails."""
