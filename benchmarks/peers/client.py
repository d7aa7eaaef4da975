"""Talks to the peers: a process each, run by the Python of their own environment."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.check import THEIRS, Answer, WrongAnswer, compare, slopes
from benchmarks.peers import PEERS
from benchmarks.problems import Problem
from benchmarks.timing import Timing

ROOT = Path(__file__).resolve().parents[2]


class Peer:
    """One peer's process, started when it is first asked."""

    def __init__(self, module: str, python: str, threads: int) -> None:
        self.module, self._python, self._threads = module, python, threads
        self._process: subprocess.Popen[str] | None = None
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed with the process
        self.hello: dict[str, Any] = self._start()

    def _start(self) -> dict[str, Any]:
        unwanted = {"PYTHONPATH", "XLA_FLAGS"}
        environment = {k: v for k, v in os.environ.items() if k not in unwanted and not k.startswith("OPENBLAS")}
        environment["OMP_NUM_THREADS"] = str(self._threads)
        self._process = subprocess.Popen(
            [self._python, "-m", "benchmarks.peers.serve", self.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
            cwd=ROOT,
        )
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            reply: dict[str, Any] = json.loads(line)
            return reply
        self._process.wait()
        self._errors.seek(0)
        return {"missing": "died: " + " ".join(self._errors.read().split()[-30:])}

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and wait for the reply; a process that died is started again for the next."""
        assert self._process is not None
        assert self._process.stdin is not None
        if self._process.poll() is not None:
            self._start()
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._read()

    @property
    def name(self) -> str:
        """Its name and version."""
        return f"{self.hello['name']} {self.hello['version']}".strip()

    def close(self) -> None:
        """End the process."""
        if self._process is not None and self._process.poll() is None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait()
        self._errors.close()


class Crowd:
    """The peers that were asked for and are installed."""

    def __init__(self, wanted: str, python: str, threads: int) -> None:
        names = (
            PEERS if wanted == "all" else tuple(x.replace("-", "_") for x in wanted.split(",") if x not in ("", "none"))
        )
        unknown = set(names) - set(PEERS)
        if unknown:
            raise SystemExit(f"--peers: expected all, none or names among {', '.join(PEERS)}; got {', '.join(unknown)}")
        self.missing: dict[str, str] = {}
        self.peers: list[Peer] = []
        for name in names:
            peer = Peer(name, python, threads)
            if "missing" in peer.hello:
                self.missing[name] = peer.hello["missing"]
                peer.close()
            else:
                self.peers.append(peer)

    def run(
        self, task: str, problem: Problem, small: Problem, expected: Answer, budget: float
    ) -> dict[str, dict[str, Any]]:
        """Return for each peer with this task its time for all series, or what it got wrong."""
        able = [p for p in self.peers if task in p.hello["tasks"] and problem.gaps in p.hello["gaps"]]
        if not able:
            return {}
        found = {}
        with tempfile.TemporaryDirectory(prefix="kelman-benchmarks-") as folder:
            problem.save(Path(folder))
            base = {"folder": folder, "gaps": problem.gaps, "task": task, "budget": budget}
            for peer in able:
                found[peer.name] = self._one(peer, base, problem, small, expected)
        return {name: one for name, one in found.items() if "declined" not in one}

    def _one(
        self, peer: Peer, base: dict[str, Any], problem: Problem, small: Problem, expected: Answer
    ) -> dict[str, Any]:
        file = Path(base["folder"]) / f"{peer.module}.npz"
        reply = peer.ask({**base, "answer": str(file), "N": small.N, "T": small.T})
        if "declined" in reply:
            return reply
        if not file.exists():
            return {"error": reply.get("error", reply.get("missing", "no answer"))}
        try:
            with np.load(file) as data:
                answer = dict(data)
            if base["task"] == "gradient":
                answer["slopes"] = slopes(small.model, answer)
            difference = compare(answer, expected, max(THEIRS, getattr(small, "tolerance", THEIRS)))
        except WrongAnswer as wrong:
            return {"wrong": str(wrong)}
        reply = peer.ask(base)
        if "cpu" not in reply:
            return {"error": reply.get("error", reply.get("missing", "no time"))}
        scale = problem.N * problem.T / (reply["series"] * reply["steps"])
        timing = Timing(reply["cpu"] * scale, reply["wall"] * scale, reply["runs"])
        return {"timing": timing, "series": reply["series"], "steps": reply["steps"], "difference": difference}

    def close(self) -> None:
        """End all processes."""
        for peer in self.peers:
            peer.close()
