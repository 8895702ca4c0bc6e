"""`python -m comfyard`."""

from comfyard.cli import main

main()
