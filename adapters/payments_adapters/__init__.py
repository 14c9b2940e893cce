"""The world behind the ports: one package per technology."""
