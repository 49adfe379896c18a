"""The APIs that the simulator speaks, one file each, named like the provider that calls it."""
