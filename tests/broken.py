"""Broken templates and orders, and what a person is told of each: by `comfyard lint`, and by the cluster.

Each is a change of one of the sound objects below. Both sides are tested with the same table.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from tests.builders import SHA, graph

API_VERSION = "comfyard.io/v1alpha1"
TEMPLATE = "WorkflowTemplate"
JOB = "GenerationJob"
BUNDLE = "ModelBundle"
PROFILE = "HardwareProfile"

INVALID = "Invalid"
NOT_PROVIDED = "ModelNotProvided"
PARAMETERS = "InvalidParameters"


@dataclass(frozen=True)
class Broken:
    """One broken object.

    Attributes:
        kind: Of the object.
        spec: What it says; the others of the set are sound.
        told: A part of what lint says, and of the message in the cluster.
        reason: Of the condition that is True in the end; empty: the API server refuses the object.
        refused: A part of the API server's words, if they are not lint's.
        name: Of the object; empty: as in the sound set.
    """

    kind: str
    spec: dict[str, Any]
    told: str
    reason: str
    refused: str = ""
    name: str = ""

    def manifests(self, profile: str = "l4") -> list[dict[str, Any]]:
        """The whole set: a profile, a bundle, a template, an order, one of them broken.

        Args:
            profile: The name of the profile, which all namespaces share.
        """
        whole = {each["kind"]: each for each in sound_manifests(profile)}
        name = self.name or whole[self.kind]["metadata"]["name"]
        spec = {**self.spec, "profiles": [profile]} if self.spec.get("profiles") == ["l4"] else self.spec
        whole[self.kind] = manifest(self.kind, name, spec)
        return list(whole.values())


def sound_manifests(profile: str = "l4") -> list[dict[str, Any]]:
    """Objects that nothing is wrong with, in the order in which they are applied."""
    return [manifest(kind, profile if kind == PROFILE else "it", spec) for kind, spec in sound(profile).items()]


def manifest(kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": deepcopy(dict(spec))}


def sound(profile: str = "l4") -> dict[str, dict[str, Any]]:
    """The specs of these, by kind."""
    return {
        PROFILE: {"server": {"image": "comfyui:1"}, "tier": "Mid"},
        BUNDLE: bundle_spec("checkpoints/sd15.safetensors", "loras/paper.safetensors"),
        TEMPLATE: template_spec(),
        JOB: order(profiles=[profile]),
    }


def bundle_spec(*paths: str) -> dict[str, Any]:
    source = {"http": {"url": "https://host/x"}}
    return {"models": [{"path": path, "source": source, "sha256": SHA} for path in paths]}


PROMPT = {"name": "prompt", "type": "String", "required": True, "maxLength": 200}
STEPS = {"name": "steps", "type": "Integer", "default": 20, "minimum": 1, "maximum": 60}
SEED = {"name": "seed", "type": "Seed"}
WIDTH = {"name": "width", "type": "Integer", "default": 64, "targets": [{"node": "5", "input": "width"}]}
SAMPLER: dict[str, Any] = {
    "name": "sampler",
    "type": "Choice",
    "default": "euler",
    "choices": ["euler", "dpmpp_2m"],
    "targets": [{"node": "3", "input": "sampler_name"}],
}
CHECKPOINT: dict[str, Any] = {
    "name": "checkpoint",
    "type": "Model",
    "default": "sd15.safetensors",
    "targets": [{"node": "4", "input": "ckpt_name"}],
}
PARAMETERS_OF_ALL: list[dict[str, Any]] = [PROMPT, STEPS, SEED, WIDTH, SAMPLER, CHECKPOINT]


def template_spec(**more: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "graph": graph(),
        "bundles": [{"name": "it"}],
        "parameters": PARAMETERS_OF_ALL,
        "outputs": [{"name": "image", "node": "9"}],
        **more,
    }
    return {key: value for key, value in spec.items() if value is not None}


def order(**more: Any) -> dict[str, Any]:
    return {"template": {"name": "it"}, "profiles": ["l4"], "parameters": {"prompt": "a lighthouse"}, **more}


def nodes(changes: Mapping[str, Any]) -> dict[str, Any]:
    """A template whose graph has these nodes instead."""
    return template_spec(graph={**graph(), **changes})


def inputs(node: str, **changes: Any) -> dict[str, Any]:
    """A template with these inputs in one node; None: it lacks them."""
    changed = graph()
    kept = {**changed[node]["inputs"], **changes}
    changed[node]["inputs"] = {name: value for name, value in kept.items() if value is not None}
    return template_spec(graph=changed)


def with_parameter(parameter: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A template with one parameter more, or with another in place of that of the same name."""
    others = [each for each in PARAMETERS_OF_ALL if each["name"] != parameter["name"]]
    return template_spec(parameters=[*others, parameter], **more)


def at(node: str, name: str) -> list[dict[str, str]]:
    return [{"node": node, "input": name}]


def photo(kind: str = "Image") -> dict[str, Any]:
    """A template that begins with a picture of the order's."""
    changed = graph()
    changed["10"] = {"class_type": "LoadImage", "inputs": {"image": "{{photo}}"}}
    changed["11"] = {"class_type": "VAEEncode", "inputs": {"pixels": ["10", 0], "vae": ["4", 2]}}
    changed["3"]["inputs"]["latent_image"] = ["11", 0]
    others = [each for each in PARAMETERS_OF_ALL if each is not WIDTH]
    return template_spec(
        graph={k: v for k, v in changed.items() if k != "5"}, parameters=[*others, {"name": "photo", "type": kind}]
    )


def lora(name: str) -> dict[str, Any]:
    """A template that loads a LoRA as well."""
    changed = graph()
    changed["12"] = {
        "class_type": "LoraLoaderModelOnly",
        "inputs": {"model": ["4", 0], "lora_name": name, "strength_model": 1},
    }
    changed["3"]["inputs"]["model"] = ["12", 0]
    return template_spec(graph=changed)


def _wrong(kind: str, reason: str, *rows: tuple[dict[str, Any], str]) -> list[Broken]:
    return [Broken(kind, spec, told, reason) for spec, told in rows]


X = {"name": "x", "required": True}
"""A parameter without a type, for those below."""

SHAPES = _wrong(
    TEMPLATE,
    INVALID,
    (template_spec(graph={}), "the graph is empty: export it from ComfyUI with Workflow > Export (API)"),
    (template_spec(graph={"nodes": [], "links": []}), "in the format of ComfyUI's editor, not the API's: export it"),
    (nodes({"7": "KSampler"}), "node 7: must be an object with class_type and inputs"),
    (nodes({"7": {"inputs": {}}}), "node 7: class_type must name a node class"),
    (nodes({"7": {"class_type": "{{which}}", "inputs": {}}}), "node 7: class_type cannot be a parameter"),
    (nodes({"7": {"class_type": "PreviewImage"}}), "node 7: inputs must be an object, {} if it has none"),
    (inputs("9", images=["88", 0]), "node 9: input images is linked to node 88, which is not there"),
    (inputs("6", text="x" * 100_000), "more than the 100000 that an object may carry; cut it down"),
)

INPUTS = _wrong(
    TEMPLATE,
    INVALID,
    (inputs("3", cfg=None), "node 3 (KSampler), input cfg: is missing; give it a value (FLOAT)"),
    (inputs("3", model=None), "node 3 (KSampler), input model: is missing; link it to an output of type MODEL"),
    (inputs("3", denoise=None, denoize=1), "denoise: is missing; give it a value (FLOAT) (there is denoize: is that"),
    (inputs("3", steps="many"), 'node 3 (KSampler), input steps: "many" is no integer'),
    (inputs("3", steps={"a": 1}), "node 3 (KSampler), input steps: {'a': 1} is no integer"),
    (inputs("3", cfg="high"), 'node 3 (KSampler), input cfg: "high" is no number'),
    (inputs("3", steps=0), "node 3 (KSampler), input steps: 0 is less than 1, the least that it takes"),
    (inputs("3", cfg=100.5), "node 3 (KSampler), input cfg: 100.5 is more than 100, the most that it takes"),
    (inputs("3", scheduler="karas"), '"karas" is not among its choices: simple, sgm_uniform'),
    (inputs("3", scheduler="karas"), "did you mean karras?"),
    (inputs("3", seed=2**64), "loses digits as a JSON number; write the integer that is meant in quotes"),
    (inputs("3", seed="18446744073709551616"), "is more than 18446744073709551615, the most that it takes"),
    (inputs("3", denoise=[1, 2]), "[1, 2] is neither a value nor a link; a link is [node id in quotes"),
    (inputs("3", model=[4, 0]), "[4, 0] is neither a value nor a link; a link is [node id in quotes"),
    (inputs("3", model="sd15"), '"sd15" is no link; it needs [node id, output] of a node that gives MODEL'),
    (inputs("3", model="{{prompt}}"), "input model: takes a link to an output of type MODEL, not a parameter"),
    (
        inputs("3", model=["4", 3]),
        "is linked to output 3 of node 4 (CheckpointLoaderSimple), which gives 0 MODEL, 1 CLIP",
    ),
    (
        inputs("3", model=["4", 2]),
        "takes MODEL, but output 2 of node 4 (CheckpointLoaderSimple) gives VAE; its output 0",
    ),
    (inputs("8", samples=["4", 0]), "takes LATENT, but output 0 of node 4 (CheckpointLoaderSimple) gives MODEL"),
    (inputs("3", cfg=["5", 0]), "takes FLOAT, but output 0 of node 5 (EmptyLatentImage) gives LATENT"),
    (inputs("3", latent_image=["3", 0]), "in a circle: 3 (KSampler) -> 3 (KSampler); cut one of the links"),
    (
        nodes({"5": {"class_type": "VAEEncode", "inputs": {"pixels": ["8", 0], "vae": ["4", 2]}}}),
        "in a circle: 3 (KSampler) -> 5 (VAEEncode) -> 8 (VAEDecode) -> 3 (KSampler)",
    ),
)

OUTPUTS = _wrong(
    TEMPLATE,
    INVALID,
    (template_spec(outputs=[{"name": "image", "node": "77"}]), "output image: node 77 is not in the graph; its output"),
    (
        template_spec(outputs=[{"name": "image", "node": "8"}]),
        "output image: node 8 (VAEDecode) stores nothing; the graph",
    ),
    (
        template_spec(outputs=[{"name": "image", "node": "9"}, {"name": "copy", "node": "9"}]),
        "output copy: node 9 is output image already; remove one of them",
    ),
)

DECLARATIONS = _wrong(
    TEMPLATE,
    INVALID,
    (
        template_spec(parameters=[STEPS, SEED]),
        "{{prompt}} stands in the graph (input text of node 6 (CLIPTextEncode)) but",
    ),
    (with_parameter({**X, "type": "String"}), "parameter x: goes nowhere; put {{x}} into the graph or give it targets"),
    (
        with_parameter({"name": "x", "type": "String", "targets": at("7", "text")}),
        "parameter x: needs a default, or required: true",
    ),
    (
        with_parameter({**X, "type": "String", "targets": at("66", "text")}),
        "target node 66 is not in the graph; its nodes",
    ),
    (
        with_parameter({**X, "type": "String", "targets": at("3", "model")}),
        "input model of node 3 is linked; only a literal",
    ),
    (
        with_parameter({**X, "type": "Integer", "targets": at("5", "widht")}),
        "target node 5 (EmptyLatentImage) has no input widht; its inputs: width, height, batch_size",
    ),
    (
        with_parameter({**X, "type": "String", "targets": at("5", "width")}),
        "parameter x: input width of node 5 is a target of parameter width too; remove one",
    ),
    (
        with_parameter({"name": "again", "type": "Seed", "targets": at("3", "denoise")}),
        "has more than one Seed: a job has",
    ),
    (
        with_parameter({**STEPS, "default": "many"}),
        "parameter steps: its default is wrong: 'many' is not of type 'integer'",
    ),
    (with_parameter({**STEPS, "default": 61}), "its default is wrong: 61 is greater than the maximum of 60"),
    (with_parameter({**STEPS, "minimum": 61}), "its minimum 61 is more than its maximum 60; no value fits"),
    (
        with_parameter({**SAMPLER, "default": "euler_a"}),
        "its default is wrong: 'euler_a' is not one of ['euler', 'dpmpp_2m",
    ),
    (with_parameter({**SEED, "default": -1}), "its default is wrong: -1 is no seed: that is an integer from 0 to"),
    (
        with_parameter({**SEED, "default": 2**64}),
        "loses digits as a JSON number; write the integer that is meant in quotes",
    ),
)

LANDINGS = _wrong(
    TEMPLATE,
    INVALID,
    (
        with_parameter({"name": "steps", "type": "String", "default": "20"}),
        "parameter steps (String): does not fit input steps of node 3 (KSampler): it takes an integer; make",
    ),
    (
        with_parameter({"name": "steps", "type": "Number", "default": 20}),
        "parameter steps (Number): does not fit input steps of node 3 (KSampler): it takes an integer; make",
    ),
    (
        with_parameter({**STEPS, "maximum": 20_000}),
        "parameter steps: for input steps of node 3 (KSampler), 20000 is more than 10000, the most that it takes",
    ),
    (
        with_parameter({**WIDTH, "default": 8}),
        "for input width of node 5 (EmptyLatentImage), 8 is less than 16, the least",
    ),
    (
        with_parameter({**SAMPLER, "choices": ["euler", "eular"]}),
        'parameter sampler: for input sampler_name of node 3 (KSampler), "eular" is not among its choices: euler',
    ),
    (
        with_parameter({"name": "seed", "type": "Seed", "targets": at("5", "batch_size")}),
        "it takes at most 4096, and seeds go to 2^64-1; make it an Integer with that maximum",
    ),
    (
        with_parameter({**X, "type": "Boolean", "targets": at("3", "cfg")}, outputs=[{"name": "image", "node": "8"}]),
        "output image: node 8 (VAEDecode) stores nothing",
    ),
    (
        with_parameter({**X, "type": "String", "targets": at("3", "cfg")}),
        "does not fit input cfg of node 3 (KSampler): it takes a number; make the parameter a Number",
    ),
    (
        with_parameter({**CHECKPOINT, "type": "String"}),
        "it names a file of folder checkpoints; make the parameter a Model",
    ),
    (
        with_parameter({**SAMPLER, "type": "Model", "choices": []}),
        "it does not name a file of a model folder; make the parameter a Choice",
    ),
    (photo("String"), "parameter photo: needs a default, or required: true"),
    (
        photo("Audio"),
        "parameter photo (Audio): does not fit input image of node 10 (LoadImage): it takes a file of type",
    ),
    (
        with_parameter({**X, "type": "Image", "targets": at("5", "height")}),
        "does not fit input height of node 5 (EmptyLatentImage): it takes an integer, not the name of a file",
    ),
    (
        with_parameter({"name": "prompt", "type": "Image"}),
        "input text of node 6 (CLIPTextEncode) holds more than {{prompt}}; a file's name must stand alone",
    ),
    (
        with_parameter({**X, "type": "Image", "default": "a.png", "targets": at("7", "text")}),
        "parameter x: a file (Image) has no default; jobs give it in spec.inputs",
    ),
)

MODELS = [
    *_wrong(
        TEMPLATE,
        INVALID,
        (lora("styles\\paper.safetensors"), 'has the separator of Windows; write "styles/paper.safetensors"'),
        (
            lora("paper.gguf"),
            'loaders of folder loras do not take "paper.gguf", only .bin, .ckpt, .pkl, .pt, .pt2, .pth',
        ),
        (lora("../paper.safetensors"), '"../paper.safetensors" is no file below folder loras'),
    ),
    *_wrong(
        TEMPLATE,
        NOT_PROVIDED,
        (
            lora("ink.safetensors"),
            "12 (LoraLoaderModelOnly), input lora_name: no bundle of spec.bundles (it) provides loras/ink.safetensors",
        ),
        (lora("papers.safetensors"), "(provided is loras/paper.safetensors: is that meant?)"),
        (
            template_spec(bundles=[]),
            "no bundle of spec.bundles (none) provides checkpoints/sd15.safetensors; add the file to one of them",
        ),
        (
            with_parameter({**CHECKPOINT, "default": "sd21.safetensors"}),
            "parameter checkpoint (for input ckpt_name of node 4)",
        ),
        (
            with_parameter({**CHECKPOINT, "byTier": {"Low": "sd15-fp8.safetensors"}}),
            "provides checkpoints/sd15-fp8.safetensors; add the file to one of them",
        ),
        (
            with_parameter({**CHECKPOINT, "type": "Choice", "choices": ["sd15.safetensors", "sd14.safetensors"]}),
            "provides checkpoints/sd14.safetensors; add the file to one of them",
        ),
    ),
]


def _orders(*rows: tuple[dict[str, Any], str]) -> list[Broken]:
    return [
        Broken(JOB, order(parameters={"prompt": "a lighthouse", **given}), told, PARAMETERS) for given, told in rows
    ]


ORDERS = [
    Broken(JOB, order(parameters={}), "parameter prompt is required; give it in spec.parameters", PARAMETERS),
    *_orders(
        (
            {"stpes": 3},
            "unknown parameter stpes; the template has: checkpoint, prompt, sampler, seed, steps, width (did you",
        ),
        ({"prompt": 3}, "parameter prompt: 3 is not of type 'string'"),
        ({"prompt": "x" * 201}, "is too long"),
        ({"steps": "20"}, "parameter steps: '20' is not of type 'integer'"),
        ({"steps": 2.5}, "parameter steps: 2.5 is not of type 'integer'"),
        ({"steps": 61}, "parameter steps: 61 is greater than the maximum of 60"),
        ({"steps": 0}, "parameter steps: 0 is less than the minimum of 1"),
        ({"sampler": "heun"}, "parameter sampler: 'heun' is not one of ['euler', 'dpmpp_2m']"),
        ({"seed": -1}, "parameter seed: -1 is no seed: that is an integer from 0 to 18446744073709551615"),
        ({"seed": "random"}, 'parameter seed: "random" is no seed'),
        ({"seed": 2**64 - 1}, "loses digits as a JSON number; write the integer that is meant in quotes"),
        ({"seed": str(2**64)}, 'parameter seed: "18446744073709551616" is no seed'),
        (
            {"width": 17_000},
            "for input width of node 5 (EmptyLatentImage), 17000 is more than 16384, the most that it takes",
        ),
        (
            {"checkpoint": "sdxl.safetensors"},
            'no bundle of the template provides "sdxl.safetensors"; provided are: sd15.safe',
        ),
    ),
    Broken(
        JOB,
        order(inputs=[{"parameter": "prompt", "url": "https://host/a.txt"}]),
        "input prompt: is a String, not a file; give it in spec.parameters",
        PARAMETERS,
    ),
    Broken(
        JOB,
        order(inputs=[{"parameter": "photo", "url": "https://host/a.png"}]),
        "input photo: the template has no such parameter; those that take a file: none",
        PARAMETERS,
    ),
]

NAME_OF_64 = "n" * 64

REFUSED = [
    Broken(
        JOB,
        order(profile="l4"),
        "unknown field spec.profile; did you mean profiles?",
        "",
        'unknown field "spec.profile"',
    ),
    Broken(JOB, {"profiles": ["l4"]}, "spec.template is missing; give it", "", "spec.template: Required value"),
    Broken(
        JOB, order(profiles=[]), "spec.profiles: has 0 entries, and needs 1", "", "spec.profiles in body should have at"
    ),
    Broken(
        JOB,
        order(count=0),
        "spec.count: 0 is less than 1",
        "",
        "spec.count in body should be greater than or equal to 1",
    ),
    Broken(JOB, order(count="two"), 'spec.count: must be of type integer, not "two"', "", "spec.count"),
    Broken(
        JOB,
        order(inputs=[{"parameter": "photo", "url": "https://host/a", "claim": {"name": "c", "path": "p"}}]),
        "exactly one source of the file must be set: url, s3, claim, job",
        "",
    ),
    Broken(
        JOB,
        order(output={"claim": {"name": "c"}, "s3": {"bucket": "b", "secretRef": {"name": "s"}}}),
        "at most one of s3, claim must be set",
        "",
    ),
    Broken(TEMPLATE, template_spec(graph=None), "exactly one source of the graph must be set: graph, graphFrom", ""),
    Broken(
        TEMPLATE,
        template_spec(outputs=[]),
        "spec.outputs: has 0 entries, and needs 1",
        "",
        "spec.outputs in body should",
    ),
    Broken(TEMPLATE, with_parameter({**SAMPLER, "choices": []}), "a Choice must list its choices", ""),
    Broken(TEMPLATE, with_parameter({**PROMPT, "minimum": 1}), "minimum and maximum are for Integer and Number", ""),
    Broken(TEMPLATE, with_parameter({**PROMPT, "byTier": {"Low": "x"}}), "byTier is for Model", ""),
    Broken(
        TEMPLATE,
        with_parameter({**PROMPT, "type": "Text"}),
        '"Text" is none of String, Integer, Number',
        "",
        "Unsupported",
    ),
    Broken(TEMPLATE, with_parameter({**PROMPT, "name": "a b"}), '"a b" does not match', "", "spec.parameters[6].name"),
    Broken(
        TEMPLATE,
        template_spec(parameters=[PROMPT, PROMPT]),
        'spec.parameters[1]: "prompt" is there already; remove one',
        "",
        "spec.parameters[1]: Duplicate value",
    ),
    Broken(
        TEMPLATE, template_spec(), "the name of a WorkflowTemplate must have at most 63 characters", "", "", NAME_OF_64
    ),
    Broken(BUNDLE, {"models": []}, "at least one of models, customNodes must have an entry", ""),
    Broken(
        BUNDLE,
        {"models": [{"path": "checkpoints/a.ckpt", "source": {"existing": {}}, "allowPickle": True}]},
        "allowPickle needs sha256: somebody must have looked at a file that can run code",
        "",
    ),
    Broken(
        BUNDLE,
        {"models": [{"path": "checkpoints/a.safetensors", "source": {}}]},
        "exactly one source must be set: huggingFace, civitai, http, s3, oci, git, claim, existing",
        "",
    ),
    Broken(
        BUNDLE,
        bundle_spec("a.safetensors"),
        'spec.models[0].path: "a.safetensors" does not match',
        "",
        "models[0].path",
    ),
    Broken(PROFILE, {}, "spec.server is missing; give it", "", "spec.server: Required value"),
    Broken(
        PROFILE,
        {"server": {"image": "i"}, "pool": {"minServers": 3, "maxServers": 2}},
        "minServers must not be more than maxServers",
        "",
    ),
    Broken(
        PROFILE,
        {"server": {"image": "i"}, "namespaces": {"from": "Selector"}},
        "selector is needed with from: Selector, and only there",
        "",
    ),
    Broken(
        PROFILE,
        {"server": {"image": "i"}, "namespaces": {"selector": {"matchLabels": {"team": "film"}}}},
        "selector is needed with from: Selector, and only there",
        "",
    ),
    Broken(
        PROFILE,
        {"server": {"image": "i", "sharedMemory": "much"}},
        'spec.server.sharedMemory: "much" does not match',
        "",
        "spec.server.sharedMemory",
    ),
    Broken(
        PROFILE,
        {"server": {"image": "i"}, "mmap": "Sometimes"},
        'spec.mmap: "Sometimes" is none of Auto, Always, Never',
        "",
        'supported values: "Auto", "Always", "Never"',
    ),
    Broken(
        PROFILE,
        {"server": {"image": "i"}, "pool": {"warmUp": {"namespace": "studio"}}},
        "spec.pool.warmUp.template is missing; give it",
        "",
        "spec.pool.warmUp.template: Required value",
    ),
    Broken(
        PROFILE,
        {"server": {"image": "i"}, "tier": "Huge"},
        'spec.tier: "Huge" is none of High, Mid, Low, Custom',
        "",
        'supported values: "High", "Mid", "Low", "Custom"',
    ),
]

STORED = [*SHAPES, *INPUTS, *OUTPUTS, *DECLARATIONS, *LANDINGS, *MODELS, *ORDERS]
"""Those that the API server takes, as it cannot look into graphs and parameters: the operator tells."""

ALL = [*STORED, *REFUSED]
