"""The long-running processes, each with its command; a signal ends them.

They are a layer above the commands and HTTP, which do not import each other.
"""
