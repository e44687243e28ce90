#!/usr/bin/env python3
"""Prints what TFLite's benchmark_model prints; its "latency" is a microsecond a byte of the graph, so it is known."""

import os
import sys
from pathlib import Path

flags = dict(flag.lstrip("-").split("=", 1) for flag in sys.argv[1:])
print("INFO: STARTING!")
if not os.path.isfile(flags["graph"]):
    print(f"ERROR: Could not open '{flags['graph']}'.")
    sys.exit(1)
size = os.path.getsize(flags["graph"])
if Path(flags["graph"]).read_bytes()[4:8] != b"TFL3":
    print("ERROR: The model is not a valid Flatbuffer buffer\nERROR: Failed to load model", flags["graph"])
    sys.exit(1)
assert flags["num_threads"] == "1"
print(f"INFO: Graph: [{flags['graph']}]\nINFO: Initialized session in 1.5ms.")
print("INFO: count=9 first=9999 curr=9000 min=8000 max=9999 avg=9500.5 std=30")
tail = f" p5={size - 1} median={size} p95={size + 2}" if os.environ.get("FAKE_BINARY") != "old" else ""
average = f"{size:.5e}" if tail == "" else size + 77
print(f"INFO: count=50 first={size} curr={size} min={size - 2} max={size + 500} avg={average} std=3{tail}")
init = "Init: 1500, First inference: 9999, Warmup (avg): 9500.5"
print(f"INFO: Inference timings in us: {init}, Inference (avg): {average}")
