"""Lock of a work directory, so that two trainings never mix their checkpoints in it.

It is a file with the holder's host, process and start. It appears with its content at once, by a hard link, and
its holder renews its time of change. No lock of the operating system is used: on network file systems flock may
hold on one machine only, or be missing. Of a holder on this machine the process itself is looked for, by its
number and the time at which it began, so that a training that was killed can be resumed at once. Of one elsewhere
only the renewals can be seen: it is gone when there were none for ``STALE_SECONDS``, for which a newcomer waits.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import json
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import FrameType
from typing import Any

from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook

from swinseg.errors import Interrupted, UserError
from swinseg.files import OutputError
from swinseg.signals import STOP_SIGNALS

LOCK_FILE = 'training.lock'
RENEWAL_SECONDS = 10.0
STALE_SECONDS = 120.0
_LOOK_SECONDS = 0.5
_MOST_BYTES = 4096

Say = Callable[[str], None]


class WorkDirLockedError(UserError):
    """Another training works in the work directory."""


@dataclass(frozen=True)
class Holder:
    """Who holds a lock.

    Attributes:
        host: name of the machine.
        machine: what tells the machine's present run, and the numbering of processes within it, from others; None
            where the system does not tell.
        pid: number of the process.
        began: when the process began, in the system's own measure; None where it does not tell.
        since: when the lock was taken, to be read.
        token: of this lock alone.
    """

    host: str
    machine: str | None
    pid: int
    began: str | None
    since: str
    token: str

    @classmethod
    def here(cls) -> Holder:
        """Return what describes this process, with a new token."""
        now = datetime.datetime.now().astimezone().isoformat(sep=' ', timespec='seconds')
        pid = os.getpid()
        return cls(socket.gethostname(), _machine(), pid, _began(pid), now, token=uuid.uuid4().hex)

    def is_alive(self) -> bool | None:
        """Whether the process is still there, or None where that cannot be seen from here."""
        if self.machine is None or (self.host, self.machine) != (socket.gethostname(), _machine()):
            return None
        began = _began(self.pid)
        if began is not None:
            return began == self.began
        try:
            os.kill(self.pid, 0)
        except PermissionError:
            return None  # another user's, which /proc hides
        except (ProcessLookupError, OverflowError):
            return False
        return False  # has ended, and its parent has not noticed

    def __str__(self) -> str:
        """Return the host and the process in words."""
        return f'process {self.pid} on {self.host}, since {self.since}'


class WorkDirLock:
    """The lock of a work directory, once it is taken.

    Attributes:
        path: of the lock file.
        lost: who has taken the lock away from this process, which can only have been thought dead; else None.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.abspath(folder)) / LOCK_FILE
        self.lost: str | None = None
        self._holder = Holder.here()
        self._ended = threading.Event()
        self._renewal: threading.Thread | None = None

    def take(self, say: Say = print) -> None:
        """Take the lock; that of a training which is gone is taken over.

        Args:
            say: called with a sentence when it has to wait until it is known whether the other is gone.

        Raises:
            WorkDirLockedError: another training holds it.
            OutputError: the folder does not take the file.
        """
        try:
            while not self._create():
                self._end_stale(say)
        except OSError as error:
            raise OutputError(f'cannot write {self.path}: {error.strerror or error}') from error
        self._renewal = threading.Thread(target=self._renew, name='work dir lock', daemon=True)
        self._renewal.start()

    def release(self) -> None:
        """Give the lock back, unless it is another's by now or this is a fork of the process that took it."""
        if os.getpid() != self._holder.pid or self._renewal is None:
            return
        self._ended.set()
        self._renewal.join()
        self._renewal = None
        with contextlib.suppress(OSError):
            if self._is_own():
                self.path.unlink()

    def require(self) -> None:
        """Make sure that the lock is still this process's.

        Raises:
            WorkDirLockedError: another training has taken it.
        """
        if self.lost is not None:
            raise WorkDirLockedError(
                f'{self.path.parent} was taken over by {self.lost}, for this training had given no sign of life '
                f'for {STALE_SECONDS:.0f} s; it ends without another checkpoint'
            )

    def _create(self) -> bool:
        """Create the lock file; False when there is one."""
        return _create(self.path, json.dumps(asdict(self._holder)))

    def _end_stale(self, say: Say) -> None:
        """Remove a lock whose holder is gone.

        Raises:
            WorkDirLockedError: it is not, or that cannot be told.
        """
        content = _read(self.path)
        if content is None:
            return
        holder = _parse(content)
        is_alive = None if holder is None else holder.is_alive()
        if is_alive or (is_alive is None and not self._has_no_renewal(content, holder, say)):
            raise WorkDirLockedError(_refusal(self.path, holder))
        # Of all who find this very lock stale one removes it: who creates a file that is named by its content.
        claim = claim_path(self.path, content)
        if not _create(claim, json.dumps(asdict(self._holder))):
            claimant = _parse(_read(claim) or '')
            is_dead = claimant is not None and claimant.is_alive() is False
            if is_dead or _age(claim) > STALE_SECONDS:
                claim.unlink(missing_ok=True)  # killed in the middle of the next few lines
            time.sleep(_LOOK_SECONDS / 10)
            return
        try:
            if _read(self.path) == content:
                self.path.unlink(missing_ok=True)
        finally:
            claim.unlink(missing_ok=True)

    def _has_no_renewal(self, content: str, holder: Holder | None, say: Say) -> bool:
        """Wait until a lock is renewed, which gives False, or has not been for ``STALE_SECONDS``."""
        first, began = _renewed(self.path), time.monotonic()
        # By the file's age, which a clock that was wrong may have made a future one, or by what is seen.
        remaining = min(STALE_SECONDS - _age(self.path), STALE_SECONDS)
        if remaining > 0:
            say(
                f'{self.path} is the lock of {holder or "a training that it does not name"}; waiting up to '
                f'{remaining:.0f} s to see whether that is gone'
            )
        while _read(self.path) == content:
            if _renewed(self.path) != first:
                return False
            if time.monotonic() - began > remaining:
                return True
            time.sleep(min(_LOOK_SECONDS, STALE_SECONDS / 4))
        return True  # released, or another one's, in the meantime

    def _is_own(self) -> bool:
        holder = _parse(_read(self.path) or '')
        return holder is not None and holder.token == self._holder.token

    def _renew(self) -> None:
        while not self._ended.wait(RENEWAL_SECONDS):
            # A network file system that does not answer for a while is no reason to stop.
            with contextlib.suppress(OSError):
                if self._is_own():
                    os.utime(self.path)
                elif not self._create() and not self._is_own():
                    found = _parse(_read(self.path) or '')
                    self.lost = (
                        'another training' if found is None else f'another training, {found}'
                    )
                    return


class WorkDirLockHook(Hook):
    """End a training whose lock another one has taken, before it writes a checkpoint.

    Args:
        lock: of the process that writes.
    """

    priority = 'HIGHEST'

    def __init__(self, lock: WorkDirLock) -> None:
        self._lock = lock

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Look after each iteration."""
        self._lock.require()

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Look before a checkpoint is written."""
        self._lock.require()


@contextlib.contextmanager
def locked_work_dir(folder: str | os.PathLike[str]) -> Iterator[WorkDirLock | None]:
    """Hold the lock of a work directory within the block, and give it back however the block ends.

    With several processes the first one takes it, and all of them raise what it raised. A signal that would end
    the process without a word raises, so that the lock is given back.

    Yields:
        The lock; None on all processes but the first.

    Raises:
        WorkDirLockedError: another training holds it.
        OutputError: the folder does not take the file.
        Interrupted: a signal came.
    """
    lock = WorkDirLock(folder) if is_main_process() else None
    with _signals_raised():
        failure: list[UserError | None] = [None]
        if lock is not None:
            try:
                lock.take()
            except UserError as error:
                failure = [error]
        try:
            broadcast_object_list(failure)
            if failure[0] is not None:
                raise failure[0]
            yield lock
        finally:
            if lock is not None:
                lock.release()


@contextlib.contextmanager
def _signals_raised() -> Iterator[None]:
    """Raise ``Interrupted`` for signals whose default is to end the process; its forks do go by the default."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pid = os.getpid()
    numbers = [each for each in STOP_SIGNALS if signal.getsignal(each) is signal.SIG_DFL]

    def end(signum: int, frame: FrameType | None) -> None:
        if os.getpid() != pid:
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
            return
        raise Interrupted(f'{signal.Signals(signum).name}: ended outside the iterations', signum)

    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def claim_path(path: Path, content: str) -> Path:
    """Return the file whose creator may remove a lock of this content, and no other lock."""
    return path.with_name(f'{path.name}.{uuid.uuid5(uuid.NAMESPACE_OID, content).hex}')


def _refusal(path: Path, holder: Holder | None) -> str:
    if holder is None:
        return (
            f'{path} says that a training works there, but not which one; remove the file if there is none, or '
            'give another --work-dir'
        )
    return (
        f'{path.parent} is the work directory of a training that runs, {holder}; let it end, stop it, or give '
        'another --work-dir'
    )


def _create(path: Path, content: str) -> bool:
    """Create a file with its content at once; False when there is one.

    Raises:
        OSError: the folder does not take it.
    """
    temporary = path.with_name(f'.{path.name}.{uuid.uuid4().hex}')
    try:
        with open(temporary, 'x', encoding='utf-8') as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in (
                errno.EPERM,
                errno.ENOTSUP,
                errno.ENOSYS,
                errno.EMLINK,
                errno.EACCES,
            ):
                raise
            # No hard links, as on FAT: those who look in between see a lock of nobody and wait.
            try:
                with open(path, 'x', encoding='utf-8') as file:
                    file.write(content)
            except FileExistsError:
                return False
        return True
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _read(path: Path) -> str | None:
    """Return a lock's content, or None when there is none."""
    try:
        # Opening it, not asking for its status, lets NFS look at the server.
        with open(path, 'rb') as file:
            return file.read(_MOST_BYTES).decode('utf-8', errors='replace')
    except FileNotFoundError:
        return None


def _parse(content: str) -> Holder | None:
    try:
        entry: Mapping[str, Any] = json.loads(content)
        holder = Holder(**{field.name: entry[field.name] for field in fields(Holder)})
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    texts = (holder.host, holder.since, holder.token)
    if all(isinstance(text, str) and text.isprintable() for text in texts) and isinstance(
        holder.pid, int
    ):
        return holder
    return None


def _renewed(path: Path) -> int:
    """Return when a lock was last renewed, or 0 when there is none."""
    try:
        with open(path, 'rb') as file:
            return os.fstat(file.fileno()).st_mtime_ns
    except FileNotFoundError:
        return 0


def _age(path: Path) -> float:
    """Return the seconds since a lock was renewed, by the clock that its file system goes by."""
    probe = path.with_name(f'.{path.name}.{uuid.uuid4().hex}')
    try:
        with open(probe, 'xb') as file:
            now = os.fstat(file.fileno()).st_mtime_ns
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
    return (now - _renewed(path)) / 1e9


def _machine() -> str | None:
    """Return the boot and the PID namespace of this process, without which its number says nothing."""
    try:
        boot = Path('/proc/sys/kernel/random/boot_id').read_text(encoding='ascii').strip()
        return f'{boot} {os.readlink("/proc/self/ns/pid")}'
    except OSError:
        return None


def _began(pid: int) -> str | None:
    """Return when a process began, in clock ticks since the boot; None when there is none, or it has ended."""
    try:
        status = Path(f'/proc/{pid}/stat').read_text(encoding='utf-8', errors='replace')
    except OSError:
        return None
    # The name in parentheses may hold anything. What follows begins with the state; field 22 is the start
    # (proc(5)).
    after = status.rpartition(')')[2].split()
    return None if after[0] in ('Z', 'X') else after[19]
