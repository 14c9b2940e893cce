"""The processes that serve until a signal ends them, each with its command.

They are above the commands and above HTTP, which do not know each other.
"""
