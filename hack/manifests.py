"""manifests/install.yaml: the chart without Helm, with its default values, in namespace comfyard-system."""

import subprocess
import sys
from pathlib import Path

from hack.cluster import tools
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
    command = [helm, "template", "comfyard", ROOT / "charts" / "comfyard", "--namespace", "comfyard-system"]
    return _NAMESPACE + subprocess.run(command, capture_output=True, check=True, text=True).stdout


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render())
