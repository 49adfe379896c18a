"""Video services: one file each, found by the name of its table in the configuration."""
