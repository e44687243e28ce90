#!/usr/bin/env python3
"""Answers as adb and a phone do where the Android developers' pages and adb itself document it; no phone is there.

FAKE_PHONE names the folder that stands for the phone's /data/local/tmp, FAKE_STATE how the phone is.
"""

import os
import shutil
import subprocess
import sys

ROOT, STATE = os.environ["FAKE_PHONE"], os.environ.get("FAKE_STATE", "device")
SERIALS = {"several": ["emulator-5554", "R58M12ABCDE"], "none": []}.get(STATE, ["R58M12ABCDE"])
PROPERTIES = {
    "ro.product.model": "Pixel 2",
    "ro.board.platform": "msm8998",
    "ro.product.cpu.abi": "arm64-v8a",
    "ro.build.version.release": "11",
}


def fail(*lines: str) -> None:
    print("\n".join(lines), file=sys.stderr)
    sys.exit(1)


def main(arguments: list[str]) -> int:
    if arguments == ["devices"]:
        word = STATE if STATE in ("unauthorized", "offline") else "device"
        print("List of devices attached\n" + "".join(f"{s}\t{word}\n" for s in SERIALS))
        return 0
    if arguments[0] == "-s":
        if arguments[1] not in SERIALS:
            fail(f"error: device '{arguments[1]}' not found")
        arguments = arguments[2:]
    elif STATE == "none":
        fail("error: no devices/emulators found")
    elif STATE == "several":
        fail("error: more than one device/emulator")
    if STATE == "unauthorized":
        fail(
            "error: device unauthorized.",
            "This adb server's $ADB_VENDOR_KEYS is not set",
            "Otherwise check for a dialog",
        )
    if STATE == "offline":
        fail("error: device offline")
    command, *rest = arguments
    if command == "get-state":
        print("device")
    elif command == "push":
        shutil.copyfile(rest[0], rest[1].replace("/data/local/tmp", ROOT))
        print(f"{rest[0]}: 1 file pushed, 0 skipped.")
    elif command == "shell" and rest[0].startswith("getprop "):
        print(PROPERTIES.get(rest[0].split()[1], ""))
    elif command == "shell":
        return subprocess.run(["sh", "-c", rest[0].replace("/data/local/tmp", ROOT)]).returncode
    return 0


sys.exit(main(sys.argv[1:]))
