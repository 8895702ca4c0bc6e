import pytest

from comfyard.kube.kinds import name_of
from comfyard.sync.program import parse
from tests.builders import bundle


def test_what_cannot_be_read_does_not_hold_up_others(caplog: pytest.LogCaptureFixture) -> None:
    good = bundle("good").to_api()
    bad = {**bundle("bad").to_api(), "spec": {"models": "of another version"}}
    assert [name_of(b.to_api()) for b in parse([bad, good])] == ["good"]
    assert "bundle bad is left alone, it cannot be read" in caplog.text
