"""``python -m benchmarks.harsh``: small builds on machines that lack something or misbehave, and what becomes of them.

Each case must end well, with the same bytes as the build on a kind machine, or be refused in one sentence, after which
the same command goes on. The engine is the replay engine, a fake. Linux; some cases need root or a C compiler, and are
printed as not made where those are missing. Exit status 0: every case that was made is well; 1: one is not.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pty
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
LIMIT_S = 400
STOPPED_S = 12
"""More than twice the time that a request may take."""
GIB = 2**30
MEMORY_BYTES = 3_000_000_000
NOBODY = 12345
"""A user without a name."""
PORTS = (6379, 8076, 8265, 10001, 44217, 44227, 52365)
"""Ports that Ray takes when nobody names others."""
RECIPE = """
name: harsh
seed: 7
model: {path: none}
engine: {type: replay, cpus_per_actor: 0.5, units_in_flight: 1, request_timeout_s: 5, args: {delay_s: 0}}
sampling: {samples: 6}
unit_questions: 5
sources: [{name: digits, type: digits, split: train, questions: 60}]
heldout: [{name: heldout, type: digits, split: heldout, questions: 10}]
"""
SLOWLY = "engine.args.delay_s=0.5"  # on average; the longest of these answers takes half of the time limit
NO_LOCKS = """
#include <errno.h>
int flock(int descriptor, int operation) { errno = ENOSYS; return -1; }
"""
CLOCK_SET_BACK = """
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long back(void) { /* seconds, once the time that the environment names has come */
    struct timespec now;
    const char *at = getenv("CLOCK_SET_BACK_AT");
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    return at && now.tv_sec >= atol(at) ? 3600 : 0;
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    int status = syscall(SYS_clock_gettime, clock, now);
    if (!status && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec -= back();
    return status;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *now) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (now) *now = exact.tv_sec;
    return exact.tv_sec;
}
"""
CONTAINER = """
set -e
if [ -n "$SHUT" ]; then  # Python lies in a folder that only root may enter
    mkdir -p "$FOLDER/base"
    mount --bind "$BASE" "$FOLDER/base"
    mount -t tmpfs -o mode=755 tmpfs "$SHUT"
    mkdir -p "$BASE"
    mount --bind "$FOLDER/base" "$BASE"
fi
mkdir -p "$FOLDER/volume"
mount -t tmpfs -o uid=$NOBODY,mode=700 tmpfs "$FOLDER/volume"
mount -t tmpfs -o mode=1777 tmpfs /tmp
mkdir -m 755 /tmp/ray
mount -o remount,bind,ro /
cd "$FOLDER"
unset TMPDIR
export HOME=/nonexistent
exec setpriv --reuid $NOBODY --regid $NOBODY --clear-groups --inh-caps=-all bash -c "$RUN"
"""


class NotMadeError(Exception):
    """This machine cannot be made into such a one; the text says why."""


class NotWellError(Exception):
    """What was promised did not happen."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a build ended, and what it said."""

    status: int
    said: str

    @property
    def last(self) -> str:
        """What it said last, for a table."""
        lines = [line.strip() for line in self.said.splitlines() if re.match(r"(error|warning|note): |stopped", line)]
        return lines[-1] if lines else ""


@dataclass(frozen=True, slots=True)
class Ground:
    """A folder for builds, and the checksums of the build that all others must equal."""

    folder: Path
    peaceful: dict[str, bytes]

    @property
    def recipe(self) -> Path:
        """The recipe of all builds."""
        return self.folder / "harsh.yaml"

    def command(self, name: str, *more: str) -> list[str]:
        """A build into a folder of that name."""
        return [sys.executable, "-m", "mmpr", "build", str(self.recipe), "--out", str(self.folder / name), *more]

    def build(self, name: str, *more: str, before: str = "", **environment: str) -> Done:
        """Build in a shell that first does something to itself."""
        line = f"{before}\nexec {shlex.join(self.command(name, *more))}"
        return run(["bash", "-c", line], **environment)

    def start(self, name: str, *more: str, **environment: str) -> tuple[subprocess.Popen[bytes], Path]:
        """Start a build; returns its process and the file that it speaks to."""
        said = self.folder / f"{name}.said"
        with said.open("w") as file:
            environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **environment}
            command = self.command(name, *more)
            return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment), said

    def ended_well(self, name: str, done: Done) -> str:
        """See that a build is whole and the same as on a kind machine; returns what it said beside."""
        if done.status or "Traceback" in done.said:
            raise NotWellError(f"status {done.status}: {done.said[-600:]}")
        checked = run([sys.executable, "-m", "mmpr", "check", str(self.folder / name), "--verify"])
        if checked.status:
            raise NotWellError(f"check --verify: {checked.said[-600:]}")
        if shards(self.folder / name) != self.peaceful:
            raise NotWellError("differs from the build on a kind machine")
        return f"built, the same bytes. {done.last}".strip()

    def refused(self, name: str, done: Done, words: str) -> str:
        """See that a build ended with one sentence, half-made files of none, and that the same command goes on."""
        errors = [line for line in done.said.splitlines() if line.startswith("error: ")]
        if done.status != 1 or "Traceback" in done.said or len(errors) != 1 or words not in errors[0]:
            raise NotWellError(f"status {done.status}, not {words!r}: {done.said[-600:]}")
        if (self.folder / name / "manifest.json").exists() or list(self.folder.glob(f"{name}/**/.*.tmp")):
            raise NotWellError("a manifest or a temporary file was left")
        return errors[0]

    def library(self, name: str, source: str) -> str:
        """The path of a library to preload, compiled from C."""
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise NotMadeError("needs a C compiler")
        path = self.folder / f"{name}.so"
        path.with_suffix(".c").write_text(source)
        subprocess.run([compiler, "-shared", "-fPIC", "-o", path, path.with_suffix(".c")], check=True)
        return str(path)


def run(command: list[str], **environment: str) -> Done:
    """Run a command for so long; returns its end and both of its streams."""
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
    )
    try:
        said, _ = process.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        process.terminate()
        said, _ = process.communicate(timeout=60)
        raise NotWellError(f"not done after {LIMIT_S} s: {said[-600:]}") from None
    return Done(process.returncode, said)


def shards(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*.parquet"))}


def need_root(*tools: str) -> None:
    if os.geteuid() != 0:
        raise NotMadeError("needs root")
    if lacking := [tool for tool in tools if shutil.which(tool) is None]:
        raise NotMadeError(f"needs {', '.join(lacking)}")


def sampled(out: Path) -> int:
    return len(list((out / "rollouts").glob("part-*.parquet")))


# What can be lacking.


def few_files_local(ground: Ground) -> str:
    return ground.ended_well("files", ground.build("files", "--runner", "local", before="ulimit -n 64"))


def few_files_ray(ground: Ground) -> str:
    told = ground.refused("files-ray", ground.build("files-ray", before="ulimit -n 64"), "raise the limit (ulimit -n)")
    ground.ended_well("files-ray", ground.build("files-ray", "--runner", "local"))
    return told


def soft_files_ray(ground: Ground) -> str:
    return ground.ended_well("files-soft", ground.build("files-soft", before="ulimit -Sn 64"))


def small_space_local(ground: Ground) -> str:
    return ground.ended_well("space", ground.build("space", "--runner", "local", before="ulimit -v 4000000"))


def small_space_ray(ground: Ground) -> str:
    done = ground.build("space-ray", before="ulimit -v 4000000")
    return ground.refused("space-ray", done, "raise the limit (ulimit -v)")


@contextlib.contextmanager
def memory_cgroup() -> Iterator[Path]:
    """A group of processes whose memory is limited, by cgroup v1 or v2; yields the file that takes a process in."""
    need_root()
    kinds = (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max"))
    for root, limit in kinds:
        group = Path(root, f"mmpr-harsh-{os.getpid()}")
        with contextlib.suppress(OSError):
            group.mkdir()
        if (group / limit).exists():
            break
        with contextlib.suppress(OSError):
            group.rmdir()
    else:
        raise NotMadeError("needs a memory cgroup that can be written")
    try:
        (group / limit).write_text(str(MEMORY_BYTES))
        yield group / "cgroup.procs"
    finally:
        deadline = time.monotonic() + 20
        while group.exists() and time.monotonic() < deadline:
            with contextlib.suppress(OSError):  # its last processes are still ending
                group.rmdir()
            time.sleep(0.5)


def little_memory(*more: str) -> Callable[[Ground], str]:
    def case(ground: Ground) -> str:
        name = f"memory{len(more)}"
        with memory_cgroup() as members:
            return ground.ended_well(name, ground.build(name, *more, before=f"echo $$ > {members}"))

    return case


def no_memory_ray(ground: Ground) -> str:
    """Ray ends every process that it sees, since one per cent of the memory is all that it may use."""
    process, said = ground.start("no-memory", RAY_memory_usage_threshold="0.01")
    note = "note: Ray ends processes, since memory runs low"
    wait_until(lambda: note in said.read_text() or process.poll() is not None)
    process.terminate()
    done = Done(process.wait(LIMIT_S), said.read_text())
    if done.status != 130 or note not in done.said or "Traceback" in done.said:
        raise NotWellError(f"status {done.status}: {done.said[-600:]}")
    ground.ended_well("no-memory", ground.build("no-memory"))
    return next(line for line in done.said.splitlines() if note in line)


def clock(*more: str, after_s: int) -> Callable[[Ground], str]:
    def case(ground: Ground) -> str:
        library = ground.library("clock", CLOCK_SET_BACK)
        at, name = str(int(time.clock_gettime(time.CLOCK_MONOTONIC)) + after_s), f"clock{len(more)}"
        done = ground.build(name, SLOWLY, *more, LD_PRELOAD=library, CLOCK_SET_BACK_AT=at)
        return ground.ended_well(name, done)

    return case


def stopped_driver(ground: Ground) -> str:
    process, said = ground.start("stopped", SLOWLY)
    wait_until(lambda: sampled(ground.folder / "stopped") > 0 or process.poll() is not None)
    process.send_signal(signal.SIGSTOP)
    time.sleep(STOPPED_S)
    process.send_signal(signal.SIGCONT)
    return ground.ended_well("stopped", Done(process.wait(LIMIT_S), said.read_text()))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise NotWellError(f"nothing happened for {LIMIT_S} s")
        time.sleep(0.1)


def suspended_in_a_terminal(ground: Ground) -> str:
    """Ctrl-Z in a shell with job control, which stops every process of the job, and `fg`."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ["PYTHONPATH"] = str(REPOSITORY)
        os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])
    said = ""

    def until(words: str, limit_s: float = LIMIT_S) -> None:
        nonlocal said
        deadline = time.monotonic() + limit_s
        while not re.search(words, said):
            if time.monotonic() > deadline:
                raise NotWellError(f"no {words!r} in the terminal: {said[-600:]!r}")
            if select.select([terminal], [], [], 0.2)[0]:
                said += os.read(terminal, 65536).decode(errors="replace")

    out = ground.folder / "suspended"
    try:
        os.write(terminal, f"{shlex.join(ground.command('suspended', SLOWLY))}; echo status=$?\n".encode())
        while not sampled(out):
            until("", 0.2)
            if select.select([terminal], [], [], 0.2)[0]:
                said += os.read(terminal, 65536).decode(errors="replace")
        os.write(terminal, b"\x1a")
        until("Stopped")
        time.sleep(STOPPED_S)
        said = ""
        os.write(terminal, b"fg; echo ended=$?\n")
        until(r"ended=\d+")
    finally:
        os.kill(child, signal.SIGHUP)
        os.close(terminal)
        os.waitpid(child, 0)
    found = re.search(r"ended=(\d+)", said)
    assert found
    return ground.ended_well("suspended", Done(int(found[1]), said))


def no_locks(ground: Ground) -> str:
    library = ground.library("locks", NO_LOCKS)
    done = ground.build("locks", "--runner", "local", LD_PRELOAD=library)
    if "its file system has no locks" not in done.said:
        raise NotWellError(f"nothing was said: {done.said[-600:]}")
    return ground.ended_well("locks", done)


def dangling_link(ground: Ground) -> str:
    link = ground.folder / "link"
    link.symlink_to("nowhere/at-all")
    told = ground.refused("link", ground.build("link", "--runner", "local"), "is a link to nowhere")
    if (ground.folder / "nowhere").exists():
        raise NotWellError("a folder was made")
    return told


def disk_full_at_the_manifest(ground: Ground) -> str:
    """A small disk that holds all shards; when the manifest is to be written it is full to the last block."""
    need_root("mount", "umount")
    disk = ground.folder / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", disk], capture_output=True).returncode:
        raise NotMadeError("cannot mount a tmpfs")
    try:
        ground.ended_well("disk/out", ground.build("disk/out", "--runner", "local"))
        for name in ("manifest.json", "README.md", "report"):
            path = disk / "out" / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(bytes(4096))
        done = ground.build("disk/out", "--runner", "local")
        told = ground.refused("disk/out", done, "No space left on device")
        (disk / "ballast").unlink()
        ground.ended_well("disk/out", ground.build("disk/out", "--runner", "local"))
    finally:
        subprocess.run(["umount", disk], check=True)
    return told


def taken_ports(ground: Ground) -> str:
    with contextlib.ExitStack() as taken:
        for port in PORTS:
            with contextlib.suppress(OSError):  # somebody has it already, which does as well
                taken.enter_context(socket.create_server(("", port)))
        return ground.ended_well("ports", ground.build("ports"))


def container(ground: Ground) -> str:
    """As in a container with a read-only root: a user without a name and a home, and /tmp/ray is another's."""
    need_root("unshare", "mount", "setpriv")
    base = Path(sys.base_prefix).resolve()
    shut = next((place for place in [*base.parents][::-1] if not place.stat().st_mode & 1), None)
    out = ground.folder / "volume" / "out"
    build = shlex.join(ground.command("volume/out"))
    check = shlex.join([sys.executable, "-m", "mmpr", "check", str(out), "--verify"])
    hashes = f"cd {shlex.quote(str(out))} && find . -name '*.parquet' | LC_ALL=C sort | xargs cat | sha256sum"
    done = run(
        ["unshare", "--mount", "bash", "-c", CONTAINER],
        FOLDER=str(ground.folder),
        BASE=str(base),
        SHUT=str(shut or ""),
        NOBODY=str(NOBODY),
        RUN=f"set -e; ! touch /etc/mmpr-harsh 2>/dev/null; {build}; {check}; {hashes}",
    )
    if done.status or "Traceback" in done.said:
        raise NotWellError(f"status {done.status}: {done.said[-600:]}")
    kind = run(["bash", "-c", hashes.replace(str(out), str(ground.folder / "peaceful"))])
    if done.said.split()[-2] != kind.said.split()[0]:
        raise NotWellError("differs from the build on a kind machine")
    if f"note: Ray's own files go to /tmp/ray-{NOBODY}" not in done.said:
        raise NotWellError("it was not said where Ray keeps its files")
    return f"built, the same bytes. {done.last}"


CASES: dict[str, Callable[[Ground], str]] = {
    "64 open files, local runner": few_files_local,
    "64 open files, Ray": few_files_ray,
    "64 open files, more on request, Ray": soft_files_ray,
    "4 GB of address space, local runner": small_space_local,
    "4 GB of address space, Ray": small_space_ray,
    "3 GB of memory, local runner": little_memory("--runner", "local"),
    "3 GB of memory, Ray": little_memory(),
    "too little memory for Ray": no_memory_ray,
    "clock set back an hour, local runner": clock("--runner", "local", after_s=3),
    "clock set back an hour, Ray": clock(after_s=15),
    f"driver stopped for {STOPPED_S} s, Ray": stopped_driver,
    f"Ctrl-Z, fg after {STOPPED_S} s, Ray": suspended_in_a_terminal,
    "file system without locks": no_locks,
    "--out is a link to nowhere": dangling_link,
    "disk full at the manifest": disk_full_at_the_manifest,
    "Ray's usual ports are taken": taken_ports,
    "no name, no home, read-only root, /tmp/ray of another": container,
}


def main(argv: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.harsh", description=__doc__)
    parser.add_argument("--only", metavar="WORDS", default="", help="cases whose name has these words")
    args = parser.parse_args(argv)
    well = True
    # A short name of its own: /tmp is another one in a case, and Ray's sockets want short names.
    with tempfile.TemporaryDirectory(prefix="harsh-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        ground = Ground(folder, {})
        ground.recipe.write_text(RECIPE)
        done = ground.build("peaceful", "--runner", "local")
        if done.status:
            print(f"error: the build on a kind machine failed: {done.said[-600:]}", file=sys.stderr)
            return 1
        ground = Ground(folder, shards(folder / "peaceful"))
        print("| case | what was seen | ok |\n|---|---|---|", flush=True)
        for case, work in CASES.items():
            if args.only not in case:
                continue
            begun_s = time.monotonic()
            try:
                seen, ok = work(ground), "yes"
            except NotMadeError as why:
                seen, ok = f"not made here: {why}", "-"
            except NotWellError as why:
                seen, ok, well = str(why), "**no**", False
            seen = seen.replace(f"{folder}/", "").replace("|", "\\|").replace("\n", " ")
            print(f"| {case} | {seen} ({time.monotonic() - begun_s:.0f} s) | {ok} |", flush=True)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
