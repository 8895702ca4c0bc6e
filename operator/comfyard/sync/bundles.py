"""The bundles of one claim as the operator has seen them last: the only versions that are acted upon. Pure."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from comfyard.api.model_bundle import ModelBundle
from comfyard.kube.kinds import Obj, name_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OnClaim:
    """What is known of the bundles on one claim.

    Attributes:
        bundles: The last version of each that the operator has observed, oldest bundle first. The operator's words on
            it (which claim, which files hardware wants, whether jobs use it) belong to that version only.
        unknown: Names of those that may be on the claim and of which no such version was seen: nobody can say what
            they need, so that nothing is removed meanwhile.
    """

    bundles: tuple[ModelBundle, ...] = ()
    unknown: tuple[str, ...] = ()
    _by_uid: Mapping[str, ModelBundle] = field(default_factory=dict, repr=False)

    def then(self, objects: Iterable[Obj], claim: str) -> "OnClaim":
        """What is known after the API server has told of these, which are all that there are."""
        bundles: dict[str, ModelBundle] = {}
        unknown: list[str] = []
        for obj in objects:
            uid = str(obj["metadata"].get("uid", ""))
            bundle = _parse(obj)
            before = self._by_uid.get(uid)
            if bundle is not None and bundle.is_observed():
                if bundle.status.claim_name == claim:
                    bundles[uid] = bundle
            elif before is not None:
                bundles[uid] = before
            elif _may_be_on(obj, claim):
                unknown.append(name_of(obj))
        ordered = sorted(bundles.values(), key=lambda b: (b.metadata.creation_timestamp, b.metadata.name))
        return OnClaim(tuple(ordered), tuple(sorted(unknown)), bundles)


def _parse(obj: Obj) -> ModelBundle | None:
    try:
        return ModelBundle.model_validate(obj)
    except ValidationError as error:  # must not keep others from their files
        log.warning("bundle %s is left alone, it cannot be read: %s", name_of(obj), error)
        return None


def _may_be_on(obj: Obj, claim: str) -> bool:
    """As far as the object itself tells: which claim is the default, the operator alone knows."""
    store = (obj.get("spec") or {}).get("store") or {}
    named = (obj.get("status") or {}).get("claimName") or store.get("claimName")
    return named in {None, "", claim}
