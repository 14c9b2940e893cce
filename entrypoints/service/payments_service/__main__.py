"""`python -m payments_service`: the command line, without a script on the path."""

from payments_service.cli import main

main()
