import json

import pytest
import yaml

from comfyard.agent.settings import Settings as AgentSettings
from comfyard.api.meta import LABEL_POOL, LABEL_SHAPE
from comfyard.controller.pools import Node, Pool
from comfyard.controller.resources.access import AGENT, SYNC, Named, build_access
from comfyard.controller.resources.node_report import ENVIRONMENT, report_name
from comfyard.controller.resources.server_pod import Place, build_server_pod
from comfyard.controller.resources.server_volumes import model_paths_yaml
from comfyard.controller.resources.sync_job import build_inventory, build_sync_job, claim_of, sources_of, sync_name
from comfyard.controller.settings import Settings
from comfyard.controller.volumes import Volumes, claim_key
from comfyard.kube.kinds import NETWORK_POLICY, ROLE, SERVICE_ACCOUNT, Obj, name_of
from tests.builders import UID, profile

SETTINGS = Settings(image="comfyard:1")
COMMIT = "c" * 40
POOL = Pool("studio", "l4", ("models",), "results")


def pod(gpus: int = 1, results: str = "results", nodes: tuple[Node, ...] = ()) -> Obj:
    pool = Pool("studio", "l4", ("models", "loras"), results, nodes)
    return build_server_pod(pool, profile(gpus=gpus), "abcde", SETTINGS, Place())


def container(name: str, obj: Obj) -> Obj:
    found: Obj = next(c for c in obj["spec"]["containers"] if c["name"] == name)
    return found


@pytest.mark.parametrize(
    "obj",
    [pod()["spec"], build_sync_job("models", "studio", ["other"], SETTINGS, Volumes())["spec"]["template"]["spec"]],
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
    text = model_paths_yaml(Pool("studio", "l4", ("models", "loras"), ""))
    assert yaml.safe_load(text) == json.loads(text)
    assert [section["base_path"] for section in yaml.safe_load(text).values()] == ["/models/0", "/models/1"]


def test_custom_nodes_are_mounted_where_comfyui_is_told_to_look() -> None:
    made = pod(nodes=(Node("pack", COMMIT, "loras"),))
    mount = next(m for m in container("comfyui", made)["volumeMounts"] if "subPath" in m)
    assert mount == {
        "name": "models-1",
        "mountPath": "/comfyard/custom_nodes/pack",
        "subPath": f".comfyard/nodes/{COMMIT}",
        "readOnly": True,
    }
    paths = yaml.safe_load(made["metadata"]["annotations"]["comfyard.io/extra-model-paths"])
    assert paths["nodes"] == {"custom_nodes": "/comfyard/custom_nodes"}
    assert "nodes" not in yaml.safe_load(pod()["metadata"]["annotations"]["comfyard.io/extra-model-paths"])


def test_custom_nodes_make_another_pool_and_none_leave_its_name() -> None:
    names = {
        Pool("studio", "l4", ("models",), "", nodes).name
        for nodes in [(), (Node("pack", COMMIT, "models"),), (Node("pack", "d" * 40, "models"),)]
    }
    assert len(names) == 3
    assert Pool("studio", "l4", ("models",), "").name == "l4-41b9930f"


def mounts_of_agent(made: Obj) -> dict[str, tuple[str, bool]]:
    """Claim and whether it is read-only, by path, of what the agent has mounted of claims."""
    claims = {
        v["name"]: v["persistentVolumeClaim"]["claimName"]
        for v in made["spec"]["volumes"]
        if "persistentVolumeClaim" in v
    }
    mounts = container("agent", made)["volumeMounts"]
    return {m["mountPath"]: (claims[m["name"]], m.get("readOnly", False)) for m in mounts if m["name"] in claims}


def test_inputs_are_mounted_for_the_agent_alone_and_read_only() -> None:
    made = build_server_pod(with_inputs("photos", "models"), profile(), "abcde", SETTINGS, Place())
    assert mounts_of_agent(made) == {
        "/results": ("results", False),
        "/inputs/results": ("results", True),
        "/inputs/photos": ("photos", True),
        "/inputs/models": ("models", True),
    }
    env = {e["name"]: e.get("value") for e in container("agent", made)["env"]}
    assert (env["COMFYARD_INPUTS_DIRECTORY"], env["COMFYARD_INPUT_DIRECTORY"]) == ("/inputs", "/comfyui/input")
    assert not [m for m in container("comfyui", made)["volumeMounts"] if m["mountPath"].startswith("/inputs")]


def with_inputs(*claims: str, results: str = "results") -> Pool:
    return Pool("studio", "l4", ("models",), results, input_claims=claims)


@pytest.mark.parametrize(("results", "claims"), [("results", ("models",)), ("models", ()), ("models", ("photos",))])
def test_a_claim_is_one_volume_whatever_it_is_for(results: str, claims: tuple[str, ...]) -> None:
    made = build_server_pod(with_inputs(*claims, results=results), profile(), "abcde", SETTINGS, Place())
    found = [v["persistentVolumeClaim"] for v in made["spec"]["volumes"] if "persistentVolumeClaim" in v]
    assert sorted(v["claimName"] for v in found) == sorted({"models", results, *claims})
    assert {v["claimName"] for v in found if not v.get("readOnly")} == {results}
    assert {m["name"] for c in made["spec"]["containers"] for m in c["volumeMounts"]} <= {
        v["name"] for v in made["spec"]["volumes"]
    }


def test_inputs_make_another_pool_and_none_leave_its_name() -> None:
    assert with_inputs("photos").name != with_inputs().name
    assert with_inputs().name == Pool("studio", "l4", ("models",), "results").name


def test_results_to_s3_need_no_claim() -> None:
    assert "results" not in {v["name"] for v in pod(results="")["spec"]["volumes"]}


def test_a_changed_profile_makes_servers_of_another_shape_in_the_same_pool() -> None:
    one, two = pod()["metadata"]["labels"], pod(gpus=2)["metadata"]["labels"]
    assert one[LABEL_SHAPE] != two[LABEL_SHAPE]
    assert one[LABEL_POOL] == two[LABEL_POOL]


def test_a_claim_has_one_sync_however_long_its_name() -> None:
    assert sync_name("a" * 200) != sync_name("a" * 199)
    assert len(sync_name("a" * 250)) <= 63


def test_a_sync_reads_from_the_claims_that_it_is_given() -> None:
    made = build_sync_job("models", "studio", ["other"], SETTINGS, Volumes())
    assert (claim_of(made), claim_of({"spec": made["spec"]["template"]["spec"]})) == ("models", "models")
    assert sources_of(made) == ("other",)
    mounts = made["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert {m["mountPath"]: m.get("readOnly") for m in mounts}["/sources/other"] is True


def test_a_sync_that_reads_from_its_own_claim_has_it_once() -> None:
    made = build_sync_job("models", "studio", ["models"], SETTINGS, Volumes())
    volumes = made["spec"]["template"]["spec"]["volumes"]
    assert [v["name"] for v in volumes if "persistentVolumeClaim" in v] == ["models"]
    assert sources_of(made) == ("models",)


def test_the_inventory_goes_with_the_claim() -> None:
    made = build_inventory({"metadata": {"name": "models", "namespace": "studio", "uid": UID}})
    assert made["metadata"]["name"] == sync_name("models")
    owners = [{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": "models", "uid": UID}]
    assert made["metadata"]["ownerReferences"] == owners


def rules(named: Named, resource: str) -> dict[str, tuple[list[str], list[str]]]:
    roles = {obj["metadata"]["name"]: obj["rules"] for kind, obj in build_access("studio", named) if kind is ROLE}
    return {
        role: (rule["resourceNames"], rule["verbs"])
        for role, rules in roles.items()
        for rule in rules
        if resource in rule["resources"]
    }


def test_each_program_reads_the_secrets_that_are_named_for_it_and_no_other() -> None:
    named = Named(job_secrets={"s3", "minio"}, bundle_secrets={"hf"})
    assert rules(named, "secrets") == {AGENT: (["minio", "s3"], ["get"]), SYNC: (["hf"], ["get"])}
    assert rules(Named(), "secrets") == {}


def test_an_agent_writes_the_reports_of_its_namespace_only() -> None:
    assert rules(Named(node_reports={"b", "a"}), "configmaps") == {AGENT: (["a", "b"], ["get", "patch"])}


def test_an_agent_knows_where_to_tell_its_node_classes() -> None:
    env = {e["name"]: e.get("value") for e in container("agent", pod(nodes=(Node("pack", COMMIT, "loras"),)))["env"]}
    assert env[ENVIRONMENT] == report_name(profile(), [("pack", COMMIT)])


def test_a_sync_writes_its_inventories_only() -> None:
    assert rules(Named(inventories={"b", "a"}), "configmaps") == {SYNC: (["a", "b"], ["get", "patch"])}
    assert rules(Named(), "configmaps") == {}


@pytest.mark.parametrize(
    ("pod_ips", "blocks"),
    [("10.0.0.1", ["0.0.0.0/0"]), ("fd00::1", ["::/0"]), ("10.0.0.1,fd00::1", ["0.0.0.0/0", "::/0"])],
)
def test_the_policy_speaks_of_the_ip_versions_that_pods_have(pod_ips: str, blocks: list[str]) -> None:
    families = Settings(image="i", pod_ips=pod_ips).ip_families()
    policy = next(obj for kind, obj in build_access("studio", Named(), families) if kind is NETWORK_POLICY)
    peers = [peer["ipBlock"]["cidr"] for rule in policy["spec"]["egress"] for peer in rule.get("to", [])]
    assert peers == blocks


def test_service_accounts_tell_the_image_of_our_programs() -> None:
    told = build_access("studio", Named(), image="comfyard:1")
    annotations = {name_of(obj): obj["metadata"].get("annotations") for kind, obj in told if kind is SERVICE_ACCOUNT}
    assert annotations == {name: {"comfyard.io/image": "comfyard:1"} for name in (AGENT, SYNC)}


def test_the_same_claims_on_one_node_for_servers_and_the_sync() -> None:
    volumes = Volumes(once=frozenset({"models", "results"}))
    server = build_server_pod(with_inputs("photos"), profile(), "abcde", SETTINGS, Place(volumes))
    sync = build_sync_job("models", "studio", ["photos"], SETTINGS, volumes)["spec"]["template"]
    keys = {claim_key("models"), claim_key("results")}
    assert keys <= server["metadata"]["labels"].keys()
    assert keys & sync["metadata"]["labels"].keys() == {claim_key("models")}
    terms = [
        made["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        for made in (server, sync)
    ]
    asked = [{t["labelSelector"]["matchExpressions"][0]["key"] for t in each} for each in terms]
    assert asked == [keys, {claim_key("models")}]
    assert "affinity" not in pod()["spec"]


@pytest.mark.parametrize(
    ("mmap", "shared", "disabled"),
    [
        ("Auto", (), False),
        ("Auto", ("models",), True),
        ("Auto", ("loras",), True),
        ("Auto", ("results",), False),
        ("Always", ("models",), False),
        ("Never", (), True),
    ],
)
def test_models_on_network_volumes_are_not_mapped(mmap: str, shared: tuple[str, ...], *, disabled: bool) -> None:
    pool = Pool("studio", "l4", ("models", "loras"), "results")
    place = Place(Volumes(shared=frozenset(shared)))
    made = build_server_pod(pool, profile(mmap=mmap), "abcde", SETTINGS, place)
    assert ("--disable-mmap" in container("comfyui", made)["args"]) == disabled


def test_shared_memory_has_the_size_that_is_asked_for() -> None:
    made = build_server_pod(POOL, profile(server={"image": "i", "sharedMemory": "2Gi"}), "abcde", SETTINGS, Place())
    volume = next(v for v in made["spec"]["volumes"] if v["name"] == "shm")
    assert volume["emptyDir"] == {"medium": "Memory", "sizeLimit": "2Gi"}
    mounts = {m["mountPath"]: m["name"] for m in container("comfyui", made)["volumeMounts"]}
    assert mounts["/dev/shm"] == "shm"  # noqa: S108
    assert "shm" not in {v["name"] for v in pod()["spec"]["volumes"]}


def test_a_drain_has_time_for_its_last_writes() -> None:
    made = build_server_pod(POOL, profile(server={"image": "i", "drainSeconds": 300}), "abcde", SETTINGS, Place())
    assert made["spec"]["terminationGracePeriodSeconds"] == 315
    assert environment(made)["COMFYARD_DRAIN_SECONDS"] == "300"


def test_a_warm_up_is_a_file_of_the_agent() -> None:
    made = build_server_pod(POOL, profile(), "abcde", SETTINGS, Place(warm_up='{"3":{}}'))
    assert made["metadata"]["annotations"]["comfyard.io/warm-up"] == '{"3":{}}'
    path = environment(made)["COMFYARD_WARM_UP"]
    config = next(v for v in made["spec"]["volumes"] if v["name"] == "config")["downwardAPI"]["items"]
    files = {item["path"]: item["fieldRef"]["fieldPath"] for item in config}
    mounted = next(m["mountPath"] for m in container("agent", made)["volumeMounts"] if m["name"] == "config")
    assert files[path.removeprefix(f"{mounted}/")] == "metadata.annotations['comfyard.io/warm-up']"
    assert "COMFYARD_WARM_UP" not in environment(pod())
    assert len(next(v for v in pod()["spec"]["volumes"] if v["name"] == "config")["downwardAPI"]["items"]) == 1


def test_the_agent_knows_the_custom_nodes_that_comfyui_is_to_have() -> None:
    made = pod(nodes=(Node("pack", COMMIT, "loras"), Node("tools", COMMIT, "loras")))
    assert environment(made)["COMFYARD_CUSTOM_NODES"] == "pack,tools"


def environment(made: Obj) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in container("agent", made)["env"]}


def test_the_environment_is_what_the_agent_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    made = build_server_pod(POOL, profile(), "abcde", SETTINGS, Place(warm_up="{}"))
    for name, value in environment(made).items():
        monkeypatch.setenv(name, value)
    read = AgentSettings()
    assert {f"COMFYARD_{name.upper()}" for name in AgentSettings.model_fields} >= environment(made).keys()
    assert (read.custom_nodes, str(read.warm_up)) == ((), "/comfyard/config/warm-up.json")


def test_the_end_of_a_log_is_kept_in_the_status() -> None:
    sync = build_sync_job("models", "studio", [], SETTINGS, Volumes())["spec"]["template"]
    kept = {each["terminationMessagePolicy"] for made in (pod(), sync) for each in made["spec"]["containers"]}
    assert kept == {"FallbackToLogsOnError"}
