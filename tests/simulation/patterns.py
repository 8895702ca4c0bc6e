"""Loads of all kinds, each made from its seed alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from comfyard.api.hardware_profile import HardwareProfile
from comfyard.controller.pools import Pool
from comfyard.controller.queue import JobKey
from comfyard.controller.snapshot import Limits
from tests.builders import profile
from tests.simulation.orders import Job
from tests.simulation.world import Costs, World

NAMESPACES = ("atelier", "bureau", "studio")
IDLE_SECONDS = 60
STARTUP_SECONDS = 120


@dataclass
class Pattern:
    """A world with its orders.

    Attributes:
        losses: Jobs that were rendering on a server which was lost, once for each time.
    """

    world: World
    losses: list[JobKey]


def pattern(seed: int) -> Pattern:
    """Some tenants, profiles and bundles; jobs in bursts, in waves, now and then; servers that fail and get lost."""
    random = Random(seed)  # noqa: S311 - a load, not a secret
    profiles = {name: _profile(name, random) for name in ("l4", "a100")[: random.randint(1, 2)]}
    limited = {name: _limits(random) for name in NAMESPACES if random.random() < 0.2}
    costs = Costs(switch=random.choice((0.0, 5.0, 30.0)), failing=random.choice((0, 0, 20)))
    world = World(profiles, costs, limited, seed=seed)
    world.order(_orders(random, list(profiles)))
    losses: list[JobKey] = []
    for _ in range(random.choice((0, 0, 1, 4))):
        world.clock.at(random.uniform(0, 400), lambda: _lose_one(world, random, losses))
    if random.random() < 0.3:
        name = random.choice(list(profiles))
        world.clock.at(random.uniform(0, 300), lambda: world.change(_changed(world.profiles[name], random)))
    return Pattern(world, losses)


def _profile(name: str, random: Random) -> HardwareProfile:
    most = random.randint(1, 6)
    pool = {
        "minServers": random.choice((0, 0, 0, 1, min(2, most))),
        "maxServers": most,
        "idleSeconds": random.choice((0, 10, IDLE_SECONDS)),
        "queueDepth": random.randint(1, 3),
        "jobsPerServer": random.choice((0, 0, 0, 5)),
    }
    return profile(name, pool=pool, server={"image": "comfyui:1", "startupSeconds": STARTUP_SECONDS})


def _limits(random: Random) -> Limits:
    return Limits(jobs=random.choice((None, 1, 4)), servers=random.choice((None, 1, 2)))


def _orders(random: Random, profiles: list[str]) -> Iterator[Job]:
    """Up to some dozen jobs of each tenant, in its way."""
    for namespace in NAMESPACES[: random.randint(1, len(NAMESPACES))]:
        pools = [Pool(namespace, p, ("models", c), "results") for p in profiles for c in ("own", "shared")]
        pools = pools[: random.randint(1, len(pools))]
        bundles = random.randint(1, 4)
        seconds = random.choice((0.5, 3.0, 20.0))
        arrivals = random.choice((_burst, _waves, _trickle))
        for number, at in enumerate(arrivals(random, random.randint(1, 30))):
            yield Job.of(
                f"job-{number:03}",
                random.choice(pools),
                at,
                seconds * random.uniform(0.5, 1.5),
                models=frozenset({f"bundle-{random.randrange(bundles)}"}),
                priority=random.choice((0, 0, 0, 0, 5, -5)),
            )


Arrivals = Callable[[Random, int], list[float]]


def _burst(random: Random, jobs: int) -> list[float]:
    return [random.uniform(0, 300)] * jobs


def _waves(random: Random, jobs: int) -> list[float]:
    return sorted(random.choice((0.0, 150.0, 400.0)) + random.uniform(0, 10) for _ in range(jobs))


def _trickle(random: Random, jobs: int) -> list[float]:
    return sorted(random.uniform(0, 600) for _ in range(jobs))


def _lose_one(world: World, random: Random, losses: list[JobKey]) -> None:
    there = [machine for machine in world.machines.values() if not machine.server.leaving]
    if there:
        machine = random.choice(there)
        losses.extend(machine.server.jobs[:1])
        world.lose(machine)


def _changed(before: HardwareProfile, random: Random) -> HardwareProfile:
    """Another image, and perhaps fewer servers."""
    pool = before.spec.pool
    most = random.randint(1, pool.max_servers)
    server = {"image": "comfyui:2", "startupSeconds": STARTUP_SECONDS}
    fewer = {**pool.to_api(), "maxServers": most, "minServers": min(pool.min_servers, most)}
    return profile(before.metadata.name, pool=fewer, server=server)
