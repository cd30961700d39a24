"""Types at a program in a terminal of its own: drive-terminal.py STEPS PROGRAM ARGUMENTS...

STEPS is a JSON list of [awaited, typed]: when the program has shown `awaited` since the step before, `typed` is typed. Prints
everything that was shown and ends as the program does; a program that shows nothing new for 20 seconds is killed.
"""
import fcntl
import json
import os
import pty
import select
import signal
import struct
import sys
import termios

steps = json.loads(sys.argv[1])
pid, terminal = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm"
    os.execvp(sys.argv[2], sys.argv[2:])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
shown = b""
since = 0
while True:
    if steps and steps[0][0].encode() in shown[since:]:
        since = len(shown)
        os.write(terminal, steps.pop(0)[1].encode())
        continue
    ready, _, _ = select.select([terminal], [], [], 20)
    if not ready:
        os.kill(pid, signal.SIGKILL)
        print(f"nothing new was shown, {steps} not reached", file=sys.stderr)
        break
    try:
        chunk = os.read(terminal, 65536)
    except OSError:
        break
    if not chunk:
        break
    shown += chunk
_, status = os.waitpid(pid, 0)
sys.stdout.buffer.write(shown)
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(status) if not steps else 99)
