"""Slack as a chat platform, on slack-bolt. The app calls `create`, whoever sets up the rest."""
