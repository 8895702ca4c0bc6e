from datetime import timedelta

from comfyard.kube.events import build_event
from comfyard.kube.kinds import HARDWARE_PROFILE, MODEL_BUNDLE, Obj
from tests.builders import NOW, UID, meta


def event(name: str = "sd15", message: str = "404", seconds: int = 0) -> Obj:
    now = NOW + timedelta(seconds=seconds)
    return build_event({"metadata": meta(name)}, MODEL_BUNDLE, "Warning", "NotFound", message, "comfyard", now)


def test_it_names_the_object_as_describe_looks_for_it() -> None:
    about = {"kind": "ModelBundle", "apiVersion": "comfyard.io/v1alpha1", "name": "sd15", "namespace": "studio"}
    assert event()["involvedObject"] == {**about, "uid": UID}
    assert event()["metadata"]["namespace"] == "studio"


def test_those_of_an_object_without_a_namespace_are_where_describe_looks_for_them() -> None:
    about = {"metadata": {"name": "l4", "uid": UID}}
    made = build_event(about, HARDWARE_PROFILE, "Warning", "ImagePullBackOff", "404", "comfyard", NOW)
    assert made["metadata"]["namespace"] == "default"  # the API server takes it nowhere else
    assert "namespace" not in made["involvedObject"]


def test_each_has_a_name_of_its_own_and_the_same_has_the_same() -> None:
    names = {e["metadata"]["name"] for e in (event(), event("b"), event(message="401"), event(seconds=1))}
    assert len(names) == 4
    assert event() == event()


def test_names_and_messages_fit() -> None:
    assert len(event("n" * 253)["metadata"]["name"]) <= 253
    assert ".." not in event("a" * 235 + ".b")["metadata"]["name"]
    assert len(event(message="x" * 2000)["message"]) == 1024
    assert event(message="x" * 2000)["message"].endswith("x…")
