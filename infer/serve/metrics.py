"""What the service counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

STAGES = ("receive", "wait", "read", "preprocess", "network")
"""Parts of the time that a video takes: its bytes arrive, it waits, it is decoded, its frames are
scaled, the network runs."""
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """The service's counters; each service has its own."""

    def __init__(self, waiting: Callable[[], int], inside: Callable[[], int]) -> None:
        """Make them.

        Args:
            waiting: says how many videos wait.
            inside: says how many requests are not answered yet.
        """
        from prometheus_client import (
            CollectorRegistry,
            Counter,
            Gauge,
            Histogram,
            ProcessCollector,
        )

        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        own = {"registry": self.registry}
        self._requests = Counter(
            "clipduet_requests", "Requests that were answered.", ["route", "status"], **own
        )
        self._refused = Counter(
            "clipduet_rejected", "Requests without an answer for any video.", ["kind"], **own
        )
        self._videos = Counter("clipduet_videos", "Videos that were classified.", **own)
        self._failures = Counter(
            "clipduet_failures", "Videos that could not be classified.", ["kind"], **own
        )
        self._seconds = Histogram(
            "clipduet_seconds", "Seconds of a stage.", ["stage"], buckets=_BUCKETS, **own
        )
        for stage in STAGES:
            self._seconds.labels(stage)
        for name, about, value in (
            ("clipduet_waiting_videos", "Videos that wait to be read.", waiting),
            ("clipduet_open_requests", "Requests that are not answered yet.", inside),
        ):
            Gauge(name, about, **own).set_function(value)

    def request(self, route: str, status: int) -> None:
        """Count a response."""
        self._requests.labels(route, status).inc()

    def refused(self, kind: str) -> None:
        """Count a request that was refused."""
        self._refused.labels(kind).inc()

    def video(self, failure: str = "") -> None:
        """Count a video; `failure`: its kind, where there is no answer."""
        (self._failures.labels(failure) if failure else self._videos).inc()

    def took(self, stage: str, seconds: float) -> None:
        """Count the seconds of one of `STAGES`."""
        self._seconds.labels(stage).observe(max(seconds, 0.0))

    def page(self) -> tuple[bytes, str]:
        """All of them as Prometheus reads them, and the content type."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(self.registry), CONTENT_TYPE_LATEST
