"""Starts one program from a small process and tells what it used, as JSON on its last line.

A child begins with its parent's memory, and the system remembers the most that it ever had: measured from the process that
runs the sandbox, every command would seem to need as much as that.
"""

import json
import os
import subprocess
import sys
import time

start = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=sys.stderr)
_, status, used = os.wait4(process.pid, 0)
process.returncode = os.waitstatus_to_exitcode(status)
memory = used.ru_maxrss / (1024 if sys.platform != "darwin" else 1024 * 1024)
print(
    json.dumps(
        {
            "code": process.returncode,
            "wall": time.perf_counter() - start,
            "cpu": used.ru_utime + used.ru_stime,
            "memory": memory,
        }
    )
)
