"""Performance, compared with measured limits: `make bench`."""
