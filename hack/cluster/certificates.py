"""Keys, certificates and kubeconfigs, made anew for each cluster by openssl."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from hack.cluster.process import run

_DAYS = "3650"
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True)
class Authority:
    """The cluster's certificate authority; its folder holds everything it issued."""

    folder: Path

    @classmethod
    def create(cls, folder: Path) -> Authority:
        """Make an authority, and the key that signs ServiceAccount tokens.

        Returns:
            The authority.
        """
        authority = cls(folder)
        # openssl's own configuration would make every certificate an authority.
        authority.file("openssl.cnf").write_text("[req]\ndistinguished_name = name\n[name]\n")
        authority._request("ca", "/CN=comfyard-cluster", ["basicConstraints=critical,CA:TRUE"])
        key = authority.file("service-account.key")
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
        run("openssl", "ec", "-in", key, "-pubout", "-out", authority.file("service-account.pub"))
        return authority

    def file(self, name: str) -> Path:
        """Return the path of one of its files."""
        return self.folder / name

    def issue(self, name: str, user: str, group: str = "", addresses: Sequence[str] = ()) -> None:
        """Issue a certificate, good for a client and, with addresses, for a server.

        Args:
            name: Names the files.
            user: Kubernetes' user, the certificate's common name.
            group: Kubernetes' group.
            addresses: Names and addresses at which the server is reached, as ``DNS:…`` or ``IP:…``.
        """
        extensions = [
            "basicConstraints=critical,CA:FALSE",
            "extendedKeyUsage=clientAuth,serverAuth",
            *([f"subjectAltName={','.join(addresses)}"] if addresses else []),
        ]
        subject = (f"/O={group}" if group else "") + f"/CN={user}"
        self._request(name, subject, extensions, "-CA", self.file("ca.crt"), "-CAkey", self.file("ca.key"))

    def _request(self, name: str, subject: str, extensions: Sequence[str], *signer: str | Path) -> None:
        added = [argument for extension in extensions for argument in ("-addext", extension)]
        files = ("-keyout", self.file(f"{name}.key"), "-out", self.file(f"{name}.crt"))
        config = ("-config", self.file("openssl.cnf"))
        run(
            *("openssl", "req", "-x509", "-sha256", "-days", _DAYS, "-subj", subject),
            *(*config, *_NEW_KEY, *files, *signer, *added),
        )
        self.file(f"{name}.key").chmod(0o600)

    def kubeconfig(self, path: Path, name: str, server: str, *, context: str = "comfyard") -> None:
        """Write a kubeconfig that needs no other file.

        Args:
            path: Where to.
            name: Whose certificate it carries.
            server: The API server's URL.
            context: The name of its only context.
        """

        def encoded(file: str) -> str:
            return base64.b64encode(self.file(file).read_bytes()).decode()

        cluster = {"server": server, "certificate-authority-data": encoded("ca.crt")}
        user = {"client-certificate-data": encoded(f"{name}.crt"), "client-key-data": encoded(f"{name}.key")}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": context, "cluster": cluster}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": context, "context": {"cluster": context, "user": name}}],
            "current-context": context,
        }
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config, sort_keys=False))

    def client(self, name: str) -> ssl.SSLContext:
        """Return what a Python client of the API server needs to be that user."""
        context = ssl.create_default_context(cafile=str(self.file("ca.crt")))
        context.load_cert_chain(self.file(f"{name}.crt"), self.file(f"{name}.key"))
        return context
