"""Starts a real S3 server, SeaweedFS, with a bucket and credentials."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from unittest.mock import patch

import httpx

from shared.errors import ObjectStoreUnavailable
from shared.objects import ObjectStore
from tests.patience import patience
from tests.stack import Part, clean_environment, free_port, listens, wait_for

BUCKET: Final = "bulk"
_ACCESS_KEY: Final = "sepal"
_SECRET_KEY: Final = "sepal-secret"
_FIRST_KEY: Final = "sepal/first"


class S3Server:
    """A running server; its data is in a folder of the test."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.port = free_port()
        self._filer_port = free_port()
        self._others = {
            name: free_port()
            for name in (
                "master.port",
                "master.port.grpc",
                "volume.port",
                "volume.port.grpc",
                "filer.port.grpc",
                "s3.port.grpc",
            )
        }
        self.url = f"s3://{BUCKET}"
        """The value of `SEPAL_OBJECT_STORE_URL`."""
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": _ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": _SECRET_KEY,
            "AWS_REGION": "us-east-1",
        }
        """The environment of every process that uses it."""
        self.part = self._start()

    def stop(self) -> None:
        """Kill it, and remove the sockets that it creates outside its folder."""
        self.part.kill()
        for path in Path("/tmp").glob("seaweedfs-*-grpc-*.sock"):
            if int(path.stem.rpartition("-")[2]) in self._others.values():
                path.unlink(missing_ok=True)

    def store(self) -> ObjectStore:
        """Return an object store client in this process."""
        with patch.dict("os.environ", self.environment):
            return ObjectStore.open(self.url)

    def pending_uploads(self) -> list[str]:
        """Return the multipart uploads that were neither completed nor aborted."""
        folder = f"http://127.0.0.1:{self._filer_port}/buckets/{BUCKET}/.uploads/"
        response = httpx.get(folder, headers={"Accept": "application/json"}, timeout=patience())
        if response.status_code == 404:
            return []
        return [entry["FullPath"] for entry in response.json()["Entries"] or ()]

    def wait_until_ready(self) -> "S3Server":
        """Wait until objects can be written, and make the bucket."""
        wait_for(lambda: listens(self.port), f"the S3 server; see {self.part.log}")
        wait_for(self._takes_objects, f"an S3 server that takes objects; see {self.part.log}")
        return self

    def restart(self) -> None:
        """Start it again with its data, after `stop`."""
        self.part = self._start()
        self.wait_until_ready()

    def _takes_objects(self) -> bool:
        store = self.store()
        try:
            store.put(_FIRST_KEY, b"written to make the bucket")
            store.delete([_FIRST_KEY])
        except ObjectStoreUnavailable:
            return False
        return True

    def _start(self) -> Part:
        identities = self._folder / "identities.json"
        credentials = [{"accessKey": _ACCESS_KEY, "secretKey": _SECRET_KEY}]
        identity = {"name": "sepal", "credentials": credentials, "actions": ["Admin", "Read", "List", "Write"]}
        identities.write_text(json.dumps({"identities": [identity]}))
        options: dict[str, object] = {
            "dir": self._folder,
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            **self._others,
            "master.electionTimeout": "1s",
            "master.telemetry": "false",
            "master.volumeSizeLimitMB": 64,
            "volume.max": 100,
            "volume.preStopSeconds": 0,
            "filer": "true",
            "filer.port": self._filer_port,
            "filer.localSocket": self._folder / "filer.sock",
            "s3": "true",
            "s3.port": self.port,
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.config": identities,
            "s3.localSocket": self._folder / "s3.sock",
        }
        weed = str(Path(sys.executable).with_name("weed"))
        command = [weed, "-logtostderr=true", "server", *(f"-{name}={value}" for name, value in options.items())]
        return Part("s3", command, clean_environment(), self._folder, cwd=self._folder)


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """Start a server whose data is in the folder, and wait until it takes objects; it is killed at the end."""
    server = S3Server(folder)
    try:
        yield server.wait_until_ready()
    finally:
        server.stop()
