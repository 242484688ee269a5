"""Faults: what was acknowledged survives kill -9, power cuts, full disks, locked databases and a clock that is set.

Each file is one concern:

    journal.py    the client's own log of what it meant to do and of what it was told is done
    client.py     clients: people who chat, and commands that make datasets, models and jobs
    bed.py        a home to hurt: its files, its environment, its server and its processes
    tether.py     ends what a test started when the test is killed
    killer.py     chooses a process and kills it
    oracle.py     compares the home with the journals
    report.py     what a run found, for people and programs
    kill.py       random kill -9; a command: python tests/faults/kill.py --kills 200 --seed 1
    power.py      power cuts on a file system of its own; a command: python tests/faults/power.py --cuts 20 --seed 1
    inject/       put into processes under test: a clock that can be set, a death at a named point
"""
