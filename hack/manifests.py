"""manifests/install.yaml: the chart without Helm, with its default values, in namespace comfyard-system."""

import sys
from pathlib import Path

from hack.cluster import tools
from hack.cluster.process import run
from hack.cluster.settings import Settings

ROOT = Path(__file__).parents[1]
_NAMESPACE = """# Generated from charts/comfyard by `make manifests`; do not edit.
apiVersion: v1
kind: Namespace
metadata:
  name: comfyard-system
"""


def render() -> str:
    """The whole file."""
    helm = tools.helm(Settings.from_environment().cache)
    chart = ROOT / "charts" / "comfyard"
    return _NAMESPACE + run(helm, "template", "comfyard", chart, "--namespace", "comfyard-system")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render())
