"""Which content a source without a digest gave, so that it is not asked again and cannot change behind our back."""

from pathlib import Path

from comfyard.store.files import read_or_none, write_durably

_HEX = 64


class Origins:
    """The directory of these records. All methods raise OSError."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def recall(self, source: str) -> str | None:
        """The SHA-256 of what a source gave, by the source's key."""
        content = read_or_none(self._directory / source)
        return content.decode() if content and len(content) == _HEX and content.isalnum() else None

    def record(self, source: str, sha256: str) -> None:
        """Remember what a source gave."""
        write_durably(self._directory / source, sha256.encode())

    def forget(self, source: str) -> None:
        """Remember it no longer."""
        (self._directory / source).unlink(missing_ok=True)

    def known(self) -> dict[str, str | None]:
        """All that is remembered, by the sources' keys."""
        names = [entry.name for entry in self._directory.iterdir() if len(entry.name) == _HEX]
        return {name: self.recall(name) for name in names}
