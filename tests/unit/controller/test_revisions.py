import pytest

from comfyard.controller.revisions import KEPT, superfluous
from comfyard.kube.kinds import Obj


def kept(count: int) -> list[Obj]:
    """Revisions r1, r2, …, not in order."""
    return [{"metadata": {"name": f"r{n}"}, "revision": n} for n in reversed(range(1, count + 1))]


def test_once_the_template_is_gone_only_what_jobs_need_stays() -> None:
    assert superfluous(kept(3), "", {"r2"}, template_exists=False) == ["r1", "r3"]


def test_the_newest_old_contents_stay() -> None:
    assert superfluous(kept(KEPT + 3), f"r{KEPT + 3}", set(), template_exists=True) == ["r1", "r2"]


@pytest.mark.parametrize("needed", [{"r1"}, {"r1", "r2"}])
def test_what_jobs_need_stays_beside_those(needed: set[str]) -> None:
    gone = superfluous(kept(KEPT + 3), f"r{KEPT + 3}", needed, template_exists=True)
    assert gone == [f"r{n}" for n in (1, 2) if f"r{n}" not in needed]


def test_the_current_content_stays_however_old_it_is() -> None:
    assert "r1" not in superfluous(kept(KEPT + 5), "r1", set(), template_exists=True)


def test_few_contents_all_stay() -> None:
    assert superfluous(kept(KEPT + 1), "r1", set(), template_exists=True) == []
