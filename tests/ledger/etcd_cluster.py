"""A real etcd cluster on loopback for one test: private data, free ports, stopped by its own process ids."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

_TIMERS = ("--heartbeat-interval", "50", "--election-timeout", "500")


def free_ports(count: int) -> list[int]:
    opened = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in opened]
    for s in opened:
        s.close()
    return ports


class Cluster:
    """`size` members; each can be killed, stopped and started again on its data."""

    def __init__(self, folder: Path, size: int = 3, options: tuple[str, ...] = (), scheme: str = "http") -> None:
        found = shutil.which("etcd")
        if found is None:
            pytest.skip("etcd is not installed (Debian: apt-get install etcd-server)")
        self._binary, self._folder, self._options = found, folder, options
        ports = free_ports(2 * size)
        self.ports = ports[:size]
        self._client_urls = [f"{scheme}://127.0.0.1:{port}" for port in self.ports]
        self._peer_urls = [f"http://127.0.0.1:{port}" for port in ports[size:]]
        self.members: list[subprocess.Popen[bytes] | None] = [None] * size
        for number in range(size):
            self.start(number)

    @property
    def url(self) -> str:
        return "etcd://" + ",".join(f"127.0.0.1:{port}" for port in self.ports)

    def start(self, number: int) -> None:
        peers = ",".join(f"m{i}={url}" for i, url in enumerate(self._peer_urls))
        client, peer = self._client_urls[number], self._peer_urls[number]
        urls = ("--listen-client-urls", client, "--advertise-client-urls", client)
        urls += ("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", peers)
        data = ("--data-dir", str(self._folder / f"m{number}"), "--log-level", "error", "--logger", "zap")
        with (self._folder / f"m{number}.log").open("ab") as log:
            self.members[number] = subprocess.Popen(
                [self._binary, "--name", f"m{number}", *urls, *data, *_TIMERS, *self._options],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def end(self, number: int, how: int = signal.SIGKILL) -> None:
        process, self.members[number] = self.members[number], None
        if process is not None:
            os.kill(process.pid, how)
            process.wait(20)

    def signal(self, number: int, what: int) -> None:
        process = self.members[number]
        assert process is not None
        os.kill(process.pid, what)

    def close(self) -> None:
        for number in range(len(self.members)):
            self.end(number)


def wait_until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


class CuttingProxy:
    """Passes connections on to a member; while `cuts` > 0 an answer is thrown away and the connection closed.

    `delivers`: whether the member gets the request whose answer is lost.
    """

    def __init__(self, port: int) -> None:
        self._target, self.cuts, self.delivers, self.cut_count = port, 0, True, 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        member = socket.create_connection(("127.0.0.1", self._target))
        threading.Thread(target=self._pass_on, args=(member, client, True), daemon=True).start()
        self._pass_on(client, member, is_answer=False)

    def _pass_on(self, giver: socket.socket, taker: socket.socket, is_answer: bool) -> None:
        """Bytes from one side to the other, until an end or a cut; then both sides are closed."""
        try:
            while (data := giver.recv(1 << 20)) and not self._is_cut(is_answer):
                taker.sendall(data)
        except OSError:
            pass
        for side in (giver, taker):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def _is_cut(self, is_answer: bool) -> bool:
        if self.cuts <= 0 or is_answer != self.delivers:
            return False
        self.cuts, self.cut_count = self.cuts - 1, self.cut_count + 1
        return True
