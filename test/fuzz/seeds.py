#!/usr/bin/env python3
"""Makes the seeds of a fuzz target: a file for each line of its list, escapes such as \\0 taken away.

A line that begins with "+" is a recipe in Python for what a line cannot have: it gives bytes.
"""
import codecs
import io
import os
import shutil
import sqlite3
import struct
import sys
import tempfile
import zipfile


def sqlite(*statements):
    """The file of a SQLite database of small pages."""
    with tempfile.TemporaryDirectory() as directory:
        file = os.path.join(directory, "made")
        database = sqlite3.connect(file)
        database.execute("PRAGMA page_size = 512")
        for statement in statements:
            database.execute(statement)
        database.commit()
        database.close()
        with open(file, "rb") as made:
            return made.read()


def archive(parts, packed=zipfile.ZIP_DEFLATED):
    """A zip archive of parts by their names."""
    room = io.BytesIO()
    with zipfile.ZipFile(room, "w", packed) as made:
        for name, content in parts.items():
            made.writestr(zipfile.ZipInfo(name), content, packed)
    return room.getvalue()


def record(kind, data=b""):
    """A record of an XLS file."""
    return struct.pack("<HH", kind, len(data)) + data


def cell(kind, row, column, style, data):
    """A record of a cell."""
    return record(kind, struct.pack("<HHH", row, column, style) + data)


def workbook(before, cells, version=0x0600):
    """The stream of an XLS file with one sheet."""
    begin = [record(0x0809, struct.pack("<HH12x", version, kind)) for kind in (5, 0x10)]
    flags = b"\0" if version == 0x0600 else b""
    size = len(begin[0]) + len(before) + len(record(0x0085, b"------\3" + flags + b"One")) + 4
    listed = record(0x0085, struct.pack("<IBBB", size, 0, 0, 3) + flags + b"One")
    return begin[0] + before + listed + record(0x000A) + begin[1] + cells + record(0x000A)


def compound(stream):
    """The container of an XLS file whose stream has less than 4,096 bytes."""
    small = -(-len(stream) // 64)
    sectors = -(-small * 64 // 512)

    def chain(first, count):
        return [first + i + 1 for i in range(count - 1)] + [0xFFFFFFFE]

    def numbers(listed):
        return struct.pack("<128I", *listed, *[0xFFFFFFFF] * (128 - len(listed)))

    def entry(name, kind, child, first, size):
        return struct.pack("<64sHBBIII36xIQ", name.encode("utf-16-le"), 2 * len(name) + 2, kind, 1,
                           0xFFFFFFFF, 0xFFFFFFFF, child, first, size)

    header = struct.pack("<8s16xHHHHH10xIIIIIIIII", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0x3E, 3,
                         0xFFFE, 9, 6, 1, sectors + 1, 0, 4096, sectors, 1, 0xFFFFFFFE, 0, sectors + 2)
    return (header.ljust(512, b"\xff") + stream.ljust(sectors * 512, b"\0") + numbers(chain(0, small)) +
            (entry("Root Entry", 5, 1, 0, small * 64) +
             entry("Workbook", 2, 0xFFFFFFFF, 0, len(stream))).ljust(512, b"\0") +
            numbers(chain(0, sectors) + [0xFFFFFFFE, 0xFFFFFFFE, 0xFFFFFFFD]))


def main(listed, directory):
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    with open(listed, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            line = line.rstrip("\n")
            if line.startswith("+"):
                seed = eval(line[1:], {each.__name__: each for each in recipes})
            elif line and not line.startswith("#"):
                seed = codecs.escape_decode(line.encode())[0]
            else:
                continue
            with open(os.path.join(directory, f"{number:03}"), "wb") as made:
                made.write(seed)
    # Also a seed, and what the build looks at.
    open(os.path.join(directory, "made"), "wb").close()


recipes = (sqlite, archive, record, cell, workbook, compound)
main(*sys.argv[1:])
