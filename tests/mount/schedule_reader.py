#!/usr/bin/env python3
"""Reads a file by several threads at once and compares every byte that comes with what it should be.

usage: schedule_reader.py FILE EXPECTED SEED        prints JSON: reads, bytes, errnos, wrong
A read may fail, with any errno that the caller then judges; what it returns must be the content, and never nothing
before the end. posix_fadvise keeps the kernel's pages out of the way.
"""
import errno
import json
import os
import random
import sys
import threading

path, expected_path, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
with open(expected_path, 'rb') as file:
    expected = file.read()
lock = threading.Lock()
report = {'reads': 0, 'bytes': 0, 'errnos': {}, 'wrong': []}


def failed(error):
    name = errno.errorcode.get(error.errno, str(error.errno))
    with lock:
        report['errnos'][name] = report['errnos'].get(name, 0) + 1


def read(fd, off, length):
    """The number of bytes got, or 0 after an error."""
    try:
        data = os.pread(fd, length, off)
    except OSError as error:
        failed(error)
        return 0
    with lock:
        report['reads'] += 1
        report['bytes'] += len(data)
        if data != expected[off:off + len(data)]:
            report['wrong'].append(f'bytes at {off}')
        if not data and off < len(expected):
            report['wrong'].append(f'nothing at {off}')
    return len(data)


def sequential(fd):
    off = 0
    while off < len(expected):
        off += read(fd, off, 128 << 10) or 128 << 10


def scattered(fd, state):
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
    for _ in range(24):
        length = state.choice([1, 100, 4096, 65536, 200_000])
        read(fd, state.randrange(len(expected) - length), length)


def run(reader, *args):
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError as error:
        failed(error)
        return
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        reader(fd, *args)
    finally:
        os.close(fd)


threads = [threading.Thread(target=run, args=(sequential,))]
threads += [threading.Thread(target=run, args=(scattered, random.Random(f'{seed}-{i}'))) for i in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps(report))
