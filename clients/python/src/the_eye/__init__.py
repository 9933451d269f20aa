"""Send user-interaction events to The Eye.

An application calls :meth:`Client.track` (or one of its helpers), which returns at once: it stamps and
serialises the event and puts it into a bounded buffer. A daemon thread sends batches and retries them
under the same event ids until the gateway has given a receipt for every event. Nothing here raises
into the application or blocks it. :meth:`Client.stats` counts the events that could not be sent.

Layout, in reading order:

- ``client``: what an application calls, and the counts of its events by fate
- ``outbox``: the loop of the background thread: take a batch, post it, read the receipts, retry
- ``transport``: one keep-alive connection to the gateway
- ``answer``: the fates of events, by the answer of the gateway
- ``workers``: how to learn of the end of a process that runs no ``atexit``
- ``buffer``, ``spool``: where events wait: in memory, or in files that outlive the process
- ``data``: what the events of a web page hold
- ``visit``: these events, bound to one request's session, host and path
- ``pages``: which responses are page views, and the session cookie; used by ``wsgi``, ``asgi``, ``django``
"""

from .client import Client
from .stats import Stats
from .visit import Visit

__all__ = ["Client", "Stats", "Visit"]
__version__ = "0.1.0"
