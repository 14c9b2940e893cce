"""The shell around the core: HTTP, command line, settings, composition root."""
