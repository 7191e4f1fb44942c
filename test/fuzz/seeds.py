#!/usr/bin/env python3
"""Makes the seeds of a fuzz target: a file for each line of its list, escapes such as \\0 taken away.

A line that begins with "+" is a recipe in Python for what a line cannot have: it gives bytes.
"""
import codecs
import io
import os
import shutil
import sqlite3
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


def main(listed, directory):
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    with open(listed, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            line = line.rstrip("\n")
            if line.startswith("+"):
                seed = eval(line[1:], {"sqlite": sqlite, "archive": archive})
            elif line and not line.startswith("#"):
                seed = codecs.escape_decode(line.encode())[0]
            else:
                continue
            with open(os.path.join(directory, f"{number:03}"), "wb") as made:
                made.write(seed)
    # Also a seed, and what the build looks at.
    open(os.path.join(directory, "made"), "wb").close()


main(*sys.argv[1:])
