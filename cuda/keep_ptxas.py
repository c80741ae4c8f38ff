"""Runs nvcc as it was asked to, and keeps what ptxas says of each kernel beside the object: OBJECT.ptxas, for tests/ptxas.py."""

import subprocess
import sys

command = sys.argv[1:]
done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
told, rest = [], []
for line in done.stderr.splitlines(keepends=True):
    of_ptxas = line.startswith("ptxas info") or "bytes stack frame" in line
    (told if of_ptxas else rest).append(line)
sys.stderr.writelines(rest)
if told and "-o" in command:
    with open(command[command.index("-o") + 1] + ".ptxas", "w") as file:
        file.writelines(told)
sys.exit(done.returncode)
