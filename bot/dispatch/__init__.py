"""Who advances which job, and when; one implementation for each kind of database."""
