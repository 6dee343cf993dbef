"""What a comparison ran on, and what else went on there meanwhile."""
import os
import platform
import re
import subprocess
import time
from pathlib import Path

# Instruction sets that kernels are chosen by.
FLAGS = ("sse4_1", "avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd", "sve")


def _read(path):
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _gpu(device):
    """Its name and driver, of nvidia-smi; None for a CPU."""
    kind, _, number = device.partition(":")
    if kind != "cuda":
        return None
    asked = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader", "-i", number or "0"]
    try:
        name, driver = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip().split(", ")
    except (OSError, ValueError, subprocess.CalledProcessError):
        return {"name": "unknown GPU", "driver": None}
    return {"name": name, "driver": driver}


def describe(device="cpu"):
    cpu = {}
    for line in _read("/proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        cpu.setdefault(key.strip(), value.strip())
    flags = (cpu.get("flags") or cpu.get("Features") or "").split()
    memory = re.search(r"MemTotal:\s+(\d+) kB", _read("/proc/meminfo"))
    return {
        "cpu": cpu.get("model name") or platform.processor() or platform.machine(),
        "family": cpu.get("cpu family"), "model": cpu.get("model"), "stepping": cpu.get("stepping"),
        "processors": len(os.sched_getaffinity(0)), "cores_per_socket": cpu.get("cpu cores"),
        "flags": [flag for flag in FLAGS if flag in flags],
        "virtual": "hypervisor" in flags,
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or None,
        "memory_gb": round(int(memory.group(1)) / 1e6) if memory else None,
        "kernel": platform.release(),
        "gpu": _gpu(device),
    }


def name(machine):
    """amd-epyc-family25-model1-2cpu: virtual machines' processors of several generations share a name. Of a GPU, its own:
    nvidia-h200."""
    def words(text):
        return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")

    if machine["gpu"]:
        return words(machine["gpu"]["name"])
    parts = [machine["cpu"], *(f"{key}{machine[key]}" for key in ("family", "model") if machine[key])]
    return words(" ".join(parts)) + f"-{machine['processors']}cpu"


def caption(machine, threads):
    return machine["gpu"]["name"] if machine.get("gpu") else f"{threads} threads, {machine['cpu']}"


def _ticks():
    """(all, idle, stolen by other virtual machines) of all processors, since the start."""
    ticks = [int(n) for n in _read("/proc/stat").splitlines()[0].split()[1:9]]
    return sum(ticks), ticks[3] + ticks[4], ticks[7]


def _throttled():
    """Times that cores have been slowed down for their heat, since the start; 0 where that cannot be read."""
    counts = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle/core_throttle_count")
    return sum(int(_read(path) or 0) for path in counts)


class NoiseGuard:
    """Watches what could spoil times. `found` are sentences, each once."""

    BUSY = 0.05  # of the processors, while nothing of ours computes
    STOLEN = 0.02
    SPREAD = 0.10  # (largest - smallest) / median

    def __init__(self, threads):
        self.found = []
        self.load_before = os.getloadavg()[0]
        if self.load_before > threads:
            self._mark(f"load average {self.load_before:.1f} before the start, more than {threads} threads")
        self._ticks, self._throttles = _ticks(), _throttled()

    def _mark(self, sentence):
        if sentence not in self.found:
            self.found.append(sentence)

    def listen(self, seconds=0.3):
        """Call while nothing of ours computes."""
        before = _ticks()
        time.sleep(seconds)
        after = _ticks()
        busy = 1 - (after[1] - before[1]) / max(1, after[0] - before[0])
        if busy > self.BUSY:
            self._mark(f"others keep the processors busy: more than {100 * self.BUSY:.0f} % while all of ours slept")

    def check_spread(self, what, times):
        spread = (max(times) - min(times)) / sorted(times)[len(times) // 2]
        if spread > self.SPREAD:
            self._mark(f"{what}: times spread over {100 * spread:.0f} % of their median")

    def finish(self):
        ticks, throttles = _ticks(), _throttled()
        stolen = (ticks[2] - self._ticks[2]) / max(1, ticks[0] - self._ticks[0])
        if stolen > self.STOLEN:
            self._mark(f"{100 * stolen:.0f} % of the processors' time went to other virtual machines")
        if throttles > self._throttles:
            self._mark(f"cores were slowed down for their heat {throttles - self._throttles} times")
