"""Processes for tests without the five seconds that Python takes to import torch and fairseq.

A server imports them once. For each command it forks, and the fork becomes the command: arguments, folder, environment,
streams, signals, exit status and the state of the interpreter are those of a process of its own.

    program.py    stands for the command: the process that a test or a shell script starts
    server.py     forks, and tells the program how the fork ended
    imports.py    what the server imports; the plugin is not among it, each fork imports it as a user's process does
    overrides.py  lets Hydra remember options that it has parsed, in the server and in pytest's workers
    configurations.py  the same for configurations that it has composed, before their values are set
    command.py    what a fork does from its first instruction to its last
    programs.py   for tests: starts one server for all of pytest's workers, and makes a folder of programs for PATH

What differs, so that a test of it needs a process as it is:

- the command is a child of the server in a process group of its own, which ends when the program is killed;
- forks of one server share the seed of `hash`, and modules were imported in another order;
- Python 3.13 shows the source of `-c` in tracebacks and warnings, a fork does not;
- what fairseq logs while it is imported is not printed;
- Hydra remembers options that it has parsed, and configurations that it has composed;
- at the end `threading` and `atexit` do their part, but objects are not destroyed.
"""
