import json

import pytest
import yaml

from comfyard.controller.pools import Pool, shape_of
from comfyard.controller.resources.access import build_access
from comfyard.controller.resources.server_pod import build_server_pod, model_paths_yaml
from comfyard.controller.resources.sync_job import build_sync_job, sync_name
from comfyard.controller.settings import Settings
from comfyard.kube.kinds import NETWORK_POLICY, ROLE, Obj
from tests.builders import profile

SETTINGS = Settings(image="comfyard:1")


def pod(gpus: int = 1, results: str = "results") -> Obj:
    pool = Pool("studio", "l4", ("models", "loras"), results, shape_of(profile(gpus=gpus)))
    return build_server_pod(pool, profile(gpus=gpus), "abcde", SETTINGS)


def container(name: str, obj: Obj) -> Obj:
    found: Obj = next(c for c in obj["spec"]["containers"] if c["name"] == name)
    return found


@pytest.mark.parametrize(
    "obj", [pod()["spec"], build_sync_job("models", "studio", SETTINGS)["spec"]["template"]["spec"]]
)
def test_pods_are_restricted(obj: Obj) -> None:
    assert obj["securityContext"]["runAsNonRoot"] is True
    assert obj["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for each in obj["containers"]:
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_only_the_agent_has_a_token() -> None:
    assert pod()["spec"]["automountServiceAccountToken"] is False
    mounts = {c["name"]: {m["name"] for m in c["volumeMounts"]} for c in pod()["spec"]["containers"]}
    assert "api-token" in mounts["agent"]
    assert "api-token" not in mounts["comfyui"]


def test_comfyui_keeps_its_entry_point_and_listens_to_itself_only() -> None:
    comfyui = container("comfyui", pod())
    assert "command" not in comfyui
    assert comfyui["args"][:4] == ["--listen", "127.0.0.1", "--port", "8188"]
    assert "ports" not in comfyui


def test_gpus_are_limits_and_none_means_cpu() -> None:
    assert container("comfyui", pod())["resources"]["limits"] == {"nvidia.com/gpu": "1"}
    assert "--cpu" not in container("comfyui", pod())["args"]
    assert "--cpu" in container("comfyui", pod(gpus=0))["args"]


def test_models_are_mounted_read_only() -> None:
    mounts = [m for m in container("comfyui", pod())["volumeMounts"] if m["name"].startswith("models-")]
    assert [m["readOnly"] for m in mounts] == [True, True]


def test_the_model_paths_are_yaml_that_names_every_claim() -> None:
    text = model_paths_yaml(("models", "loras"))
    assert yaml.safe_load(text) == json.loads(text)
    assert [section["base_path"] for section in yaml.safe_load(text).values()] == ["/models/0", "/models/1"]


def test_results_to_s3_need_no_claim() -> None:
    assert "results" not in {v["name"] for v in pod(results="")["spec"]["volumes"]}


def test_a_changed_profile_makes_another_pool() -> None:
    one = Pool("studio", "l4", (), "", shape_of(profile()))
    two = Pool("studio", "l4", (), "", shape_of(profile(gpus=2)))
    assert one.name != two.name


def test_a_claim_has_one_sync_however_long_its_name() -> None:
    assert sync_name("a" * 200) != sync_name("a" * 199)
    assert len(sync_name("a" * 250)) <= 63


@pytest.mark.parametrize(("secrets", "names"), [([], None), (["s3", "hf"], ["hf", "s3"])])
def test_the_agent_reads_the_named_secrets_only(secrets: list[str], names: list[str] | None) -> None:
    roles = [obj for kind, obj in build_access("studio", secrets) if kind is ROLE]
    rules = [rule for role in roles for rule in role["rules"] if "secrets" in rule["resources"]]
    assert [rule["resourceNames"] for rule in rules] == ([names] if names else [])


@pytest.mark.parametrize(
    ("pod_ips", "blocks"),
    [("10.0.0.1", ["0.0.0.0/0"]), ("fd00::1", ["::/0"]), ("10.0.0.1,fd00::1", ["0.0.0.0/0", "::/0"])],
)
def test_the_policy_speaks_of_the_ip_versions_that_pods_have(pod_ips: str, blocks: list[str]) -> None:
    families = Settings(image="i", pod_ips=pod_ips).ip_families()
    policy = next(obj for kind, obj in build_access("studio", [], families) if kind is NETWORK_POLICY)
    peers = [peer["ipBlock"]["cidr"] for rule in policy["spec"]["egress"] for peer in rule.get("to", [])]
    assert peers == blocks
