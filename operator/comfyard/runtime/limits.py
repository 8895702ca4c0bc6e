"""What a namespace may have at once, as its labels say."""

import logging

from comfyard.api.meta import LABEL_MAX_JOBS, LABEL_MAX_SERVERS
from comfyard.controller.snapshot import Limits
from comfyard.kube.kinds import Obj, name_of

log = logging.getLogger(__name__)


def limits_of(namespace: Obj) -> Limits | None:
    """The limits of a namespace; None when it has none. A label that cannot be read limits nothing, and is told."""
    found = Limits(jobs=_number(namespace, LABEL_MAX_JOBS), servers=_number(namespace, LABEL_MAX_SERVERS))
    return None if found == Limits() else found


def _number(namespace: Obj, label: str) -> int | None:
    text = (namespace["metadata"].get("labels") or {}).get(label)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()):
        log.warning("namespace %s: label %s is %r, no number: it limits nothing", name_of(namespace), label, text)
        return None
    return int(text)
