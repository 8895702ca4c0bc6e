"""`make bench`: what design and docs promise, measured; `--help` tells how to run a part of it."""

import argparse
import signal
import sys

from hack.bench import jobs, scale


def main() -> None:
    """Run what is asked for."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to stop"))  # so that folders and processes go
    parser = argparse.ArgumentParser(prog="python -m hack.bench", description=__doc__)
    parser.add_argument("what", nargs="?", choices=["all", "jobs", "scale"], default="all")
    parser.add_argument("--only", choices=list(scale.SECTIONS), help="of scale: this section alone")
    parser.add_argument("--jobs", type=int, help="of scale: so many, where a section lets one choose")
    chosen = parser.parse_args()
    if chosen.what in {"all", "jobs"}:
        jobs.main()
    if chosen.what in {"all", "scale"}:
        scale.main(chosen.only, chosen.jobs)


if __name__ == "__main__":
    main()
