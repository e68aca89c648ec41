"""`python -m cezsar` is the command line."""

from cezsar.cli import program

program()
