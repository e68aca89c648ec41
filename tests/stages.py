"""The long works of this package as processes of their own, to be killed and hindered: `Stage.start` one, and read what
it left by `content`, which leaves out only what no two runs share, such as the seconds they took."""

import ctypes
import fcntl
import json
import multiprocessing
import os
import resource
import shutil
import signal
import sqlite3
import sys
import time
from contextlib import closing
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from safetensors import safe_open

from cezsar.cli import program
from cezsar.data.features import FeatureStore

_FORKS: Any = multiprocessing.get_context("forkserver")  # processes that have imported everything begin at once
_FORKS.set_forkserver_preload([
    "stages", "cezsar.data.extraction", "cezsar.data.captioning", "cezsar.training.cross_modal", "cezsar.training.loop",
    "cezsar.zeroshot.spans", "transformers.models.blip.modeling_blip",
    "cezsar.encoders.motion", "cezsar.report.subjects", "cezsar.sweep", "torch._dynamo", "transformers",
    "transformers.models.bert.modeling_bert", "transformers.convert_slow_tokenizer", "pydantic", "sklearn.manifold",
    "safetensors.numpy", "plotly.offline", "plotly.express",
])  # fmt: skip
SMALL = "--d-model 16 --ffn 16 --heads 2 --d-emb 8"
CAPTIONS = "{demo}/train.json --store {home}/features/demo-train"
TEST = "--dataset {demo}/test --prototypes {demo}/descriptions.json"
STAGES = {
    "extraction": "extract {films} --encoder motion --out {out}/store --workers 2",
    "captions": "caption {films} --model caption:{blip} --out {out}/c.json --every 0.5 --workers 2",
    "mining": f"mine {CAPTIONS} --out {{out}}/t.safetensors --negatives 4",
    "training": "train {triplets} --store {home}/features/demo-train --out {out}/run --epochs 4 --batch 8 --resume"
    f" --head {{home}}/runs/demo/objects.safetensors --prototypes {{demo}}/descriptions.json {SMALL}",
    "cross-modal training": "train {demo}/test --method cross-modal --store {home}/features/demo-test --out {out}/run"
    f" --seen-prototypes {{demo}}/descriptions.json --epochs 2 --resume {SMALL}",
    "spans": "spans {film} --run {home}/runs/demo --csv {out}/s.csv --json {out}/s.json --vtt {out}/s.vtt"
    " --label-studio {out}/l.json",
    "evaluation": f"evaluate {TEST} --store {{home}}/features/demo-test --run {{home}}/runs/demo --protocol half"
    " --runs 5 --out {out}/r.json --keep",
    "report": "analyse {home}/scores/demo@demo --runs 5 --out {out}/a.html",
    "τ sweep": f"tau-sweep {CAPTIONS} {TEST} --test-store {{home}}/features/demo-test --out {{out}}/sweep"
    f" --taus 0.7,0.9 --epochs 1 --negatives 4 {SMALL}",
}  # fmt: skip
SMALLER = {  # so that little data makes much writing
    "cezsar.data.features.SHARD_BYTES": 20_000, "cezsar.data.features.INDEXED": 3,
    "cezsar.data.sentence_cache.BLOCK_SENTENCES": 8, "cezsar.training.loop.STEPS_PER_STATE": 4,
    "cezsar.training.loop.STEPS_PER_LINE": 2,
}  # fmt: skip
ENDS = {"extraction": 1, "captions": 1}  # with broken clips, which they list


class Stage:
    """One of `STAGES` that works in the folder `out`; `places` are what its command speaks of."""

    def __init__(self, name, out, places):
        self.name, self.out = name, out
        self.arguments = [each.format(out=out, **places) for each in STAGES[name].split()]

    def start(self, **hindered):
        """The process, begun; `hindered` is for `hinder`."""
        here, there = _FORKS.Pipe(duplex=False)
        process = _FORKS.Process(target=_carry_out, args=(self.arguments, self.out, there, hindered))
        process.start()
        there.close()
        process.said = here
        assert os.read(here.fileno(), 6) == b"begun\n"
        return process

    def end(self, process=None, **hindered):
        """Wait for the end of a process, one that is started now if none is given; its exit status, and what it said
        last."""
        process = process or self.start(**hindered)
        process.join(120)
        return process.exitcode, (os.read(process.said.fileno(), 1 << 20).decode().strip().splitlines() or [""])[-1]

    def undisturbed(self):
        """Its content in the end, the seconds it takes, and the sizes of its files; the folder is empty again."""
        self.clear()
        begun = time.monotonic()
        ended = self.end()
        assert ended[0] == ENDS.get(self.name, 0), ended
        seconds, found = time.monotonic() - begun, content(self.out)
        sizes = [path.stat().st_size for path in self.out.rglob("*") if path.is_file() and path.suffix != ".sqlite"]
        self.clear()
        return found, seconds, sizes

    def clear(self):
        """Empty the folder."""
        self.out.mkdir(exist_ok=True)
        for path in self.out.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _carry_out(arguments, out, said, hindered):
    os.setsid()
    fcntl.fcntl(said, fcntl.F_SETPIPE_SZ, 1 << 20)  # nobody reads before the end
    for stream in (1, 2):
        os.dup2(said.fileno(), stream)
    os.environ |= {"CEZSAR_HOME": str(out), "CEZSAR_PROGRESS_EVERY_S": "0", "TMPDIR": str(out.parent)}
    os.chdir(out.parent)
    for name, value in SMALLER.items():
        module, _, attribute = name.rpartition(".")
        setattr(import_module(module), attribute, value)
    hinder(**hindered)
    os.write(1, b"begun\n")
    sys.argv = ["cezsar", *arguments]
    program()


def hinder(file_bytes=None, clock=False):
    """No file may become larger; or each look at the clock finds it an hour earlier than the last."""
    if file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, resource.RLIM_INFINITY))
    if clock:
        looks, now = count(), time.time()
        time.time = lambda: now - 3600 * next(looks)
    if os.geteuid() == 0:  # no longer let into what the mode of a file forbids: without CAP_DAC_OVERRIDE
        header, held, call = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(), ctypes.CDLL(None)
        call.capget(header, held)
        held[0] &= ~0b110
        assert call.capset(header, held) == 0


def living(process):
    """Ids of the processes of its session that have not ended, decoders among them."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(session) == process.pid and state != "Z":
            found.append(int(stat.parent.name))
    return found


def kill(process, how):
    """SIGTERM or SIGKILL to the whole group, or SIGKILL to the program alone, whose decoders are to end by themselves;
    whether it was still alive, and whether all have ended 20 s later."""
    number = signal.SIGTERM if how == "terminated" else signal.SIGKILL
    alive = process.is_alive()
    if alive:
        (os.kill if how == "alone" else os.killpg)(process.pid, number)
    process.join(30)
    end = time.monotonic() + 20
    while living(process) and time.monotonic() < end:
        time.sleep(0.01)
    return alive and process.exitcode in (-number, 128 + number), not living(process)


def content(out):
    """What lies in a folder, by name; of a feature store what it gives back. A file that is half is an error."""
    found = {}
    for path in sorted(out.rglob("*")):
        name, own = path.relative_to(out).as_posix(), path.name
        if path.is_dir() or own in (".writer-lock", "index.npz") or own.endswith(".sqlite-journal"):
            continue  # SQLite took back what its journal has when it was opened here
        if own.startswith(".tmp-"):
            found[name] = "left over"
        elif own in ("tau-sweep.csv", "tau-sweep.md"):  # with seconds among the columns
            found[name] = path.read_text().count("\n")
        elif path.suffix == ".h5":
            with h5py.File(path, "r") as file:
                assert file["offsets"][-1] == len(file["features"])
            store = FeatureStore(path.parent)
            found[f"{name.rpartition('/')[0]} as a store"] = (store.fingerprint, store.ids, store.labels, store.paths)
        elif path.suffix == ".sqlite":
            with closing(sqlite3.connect(path)) as file:
                if file.execute("SELECT name FROM sqlite_master").fetchall():
                    found[name] = sorted(file.execute("SELECT * FROM vectors"))
        elif path.suffix == ".jsonl":
            lines = [json.loads(line) for line in path.read_text().split("\n")[:-1]]
            found[name] = [_timeless(line) for line in lines]
        elif path.suffix == ".json":
            found[name] = _timeless(json.loads(path.read_text()))
        elif path.suffix == ".safetensors":
            with safe_open(path, "numpy") as file:
                assert all(np.isfinite(file.get_tensor(key)).all() for key in file.keys())  # noqa: SIM118
            found[name] = path.read_bytes()
        else:
            found[name] = path.read_bytes()
    return found


def _timeless(value):
    """JSON without the seconds that work took."""
    if isinstance(value, dict):
        return {
            key: _timeless(each) for key, each in value.items() if key not in ("seconds", "eta_s", "triplets_per_s")
        }
    return [_timeless(each) for each in value] if isinstance(value, list) else value
