"""``python -m hpbuild``."""

from hpbuild.cli.main import run

run()
