"""All SQL lives here: what is written down about jobs, money, messages and settings."""
