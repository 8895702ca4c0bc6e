"""Whether an object is as it was applied."""

from typing import Any


def is_applied(wanted: Any, found: Any) -> bool:  # noqa: ANN401 - any JSON
    """Whether server-side apply of what is wanted would change nothing that it names.

    What others have added, and what the API server fills in, is theirs. Lists are compared as wholes: those of Roles,
    RoleBindings and NetworkPolicies are atomic in the API's schema. The API server leaves out what is empty.
    """
    if isinstance(wanted, dict):
        return all(is_applied(value, (found or {}).get(key)) for key, value in wanted.items())
    if isinstance(wanted, list):
        return len(wanted) == len(found or []) and all(map(is_applied, wanted, found or []))
    return bool(wanted == found)
