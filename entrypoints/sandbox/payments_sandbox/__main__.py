"""`python -m payments_sandbox`: the command line, without a script on the path."""

from payments_sandbox.cli import main

main()
