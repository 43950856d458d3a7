"""A web server that gives parts of files, in a process of its own: GDAL may hold the interpreter while it asks.

Run as ``range_server.py FOLDER [--refuse-gdal-from BYTE] [--no-parts]``; it prints its port, then for each answer
to whom it went, and its bytes.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class RangeServer:
    """What runs: its address, and what it has sent."""

    def __init__(self, port: int, log: Path) -> None:
        self.address = f'http://127.0.0.1:{port}'
        self._log = log

    def sent_to_gdal(self) -> int:
        """Return the bytes of all answers to GDAL."""
        lines = [line.split() for line in self._log.read_text().splitlines()[1:]]
        return sum(int(size) for who, size in lines if who == 'gdal')


@contextmanager
def range_server(folder: Path, log: Path, *options: str) -> Iterator[RangeServer]:
    """Serve a folder; ``log`` is a file for what the server prints."""
    with (
        open(log, 'w') as file,
        subprocess.Popen([sys.executable, __file__, str(folder), *options], stdout=file) as process,
    ):
        try:
            while not (lines := log.read_text().splitlines()):
                assert process.poll() is None
            yield RangeServer(int(lines[0]), log)
        finally:
            process.kill()


class _Handler(SimpleHTTPRequestHandler):
    refuse_gdal_from = sys.maxsize
    gives_parts = True

    def do_GET(self) -> None:
        path = self.translate_path(self.path)
        if not os.path.isfile(path):
            self.send_error(404)
            return
        size = os.path.getsize(path)
        wish = self.headers.get('Range', '') if self.gives_parts else ''
        asked = re.fullmatch(r'bytes=(\d+)-(\d*)', wish)
        first = int(asked[1]) if asked else 0
        last = min(int(asked[2]) if asked and asked[2] else size - 1, size - 1)
        # aiohttp says who it is, and GDAL is silent or names itself.
        is_gdal = 'aiohttp' not in self.headers.get('User-Agent', '')
        if is_gdal and asked and first >= self.refuse_gdal_from:
            self.send_error(403)
            return
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header('Content-Range', f'bytes {first}-{last}/{size}')
        self.send_header('Accept-Ranges', 'bytes' if self.gives_parts else 'none')
        self.send_header('Content-Length', str(last - first + 1))
        self.end_headers()
        if self.command == 'GET':
            with open(path, 'rb') as file:
                file.seek(first)
                self.wfile.write(file.read(last - first + 1))
            print('gdal' if is_gdal else 'other', last - first + 1, flush=True)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *arguments: object) -> None:
        pass


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('folder')
    parser.add_argument('--refuse-gdal-from', type=int, default=sys.maxsize)
    parser.add_argument('--no-parts', action='store_true')
    args = parser.parse_args()
    os.chdir(args.folder)
    _Handler.refuse_gdal_from = args.refuse_gdal_from
    _Handler.gives_parts = not args.no_parts
    server = ThreadingHTTPServer(('127.0.0.1', 0), _Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == '__main__':
    _main()
