"""Worker processes that end without running ``atexit``, and how to learn of their end."""

from __future__ import annotations

import sys
from typing import Any, Callable


def at_worker_end(close: Callable[[], None]) -> None:
    """Call ``close`` at the end of this process, if it is such a worker. Imports nothing that the
    application has not imported."""
    multiprocessing: Any = sys.modules.get("multiprocessing.process")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        from multiprocessing.util import Finalize

        Finalize(None, close, exitpriority=100)
    # Celery's fork of multiprocessing.
    billiard_process: Any = sys.modules.get("billiard.process")
    if billiard_process is not None and billiard_process.current_process()._parent_pid is not None:
        import billiard.util

        billiard.util.Finalize(None, close, exitpriority=100)
        celery_signals: Any = sys.modules.get("celery.signals")
        if celery_signals is not None:
            # The processes of its pool end by os._exit: the finalizers of billiard are not run.
            celery_signals.worker_process_shutdown.connect(lambda **_: close(), weak=False)
