"""What the works of one server need."""

from dataclasses import dataclass

from comfyard.agent.content import Contents
from comfyard.agent.inputs import Inputs
from comfyard.agent.leftovers import Leftovers
from comfyard.agent.server import Server
from comfyard.agent.settings import Settings
from comfyard.kube.protocol import KubeClient


@dataclass(frozen=True)
class Surroundings:
    """What all works of a server share."""

    settings: Settings
    client: KubeClient
    contents: Contents
    inputs: Inputs
    leftovers: Leftovers
    server: Server
