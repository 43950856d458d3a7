"""Metrics of a server for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

MEDIA_TYPE = CONTENT_TYPE_LATEST

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_BATCH_SIZES = (1, 2, 4, 8, 16, 32)


class Metrics:
    """Counts and times of one server, beside those of its process.

    Args:
        in_flight: tells how many requests to segment are taken.
        waiting: tells how many of them wait for a model.
        workers: models that compute side by side.
    """

    def __init__(
        self, *, in_flight: Callable[[], int], waiting: Callable[[], int], workers: int
    ) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._requests = Counter(
            'swinseg_requests', 'Requests to segment, by format and HTTP status of the answer',
            ['format', 'status'], registry=self._registry,
        )  # fmt: skip
        self._seconds = Histogram(
            'swinseg_answer_seconds', 'From the arrival of an image to its answer',
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self._pixels = Counter(
            'swinseg_pixels', 'Pixels of the images that were segmented', registry=self._registry
        )
        self._batches = Histogram(
            'swinseg_batch_images', 'Images in a batch',
            buckets=_BATCH_SIZES, registry=self._registry,
        )  # fmt: skip
        for name, text, function in (
            ('swinseg_requests_in_flight', 'Requests to segment that are taken now', in_flight),
            ('swinseg_requests_waiting', 'Requests of them that wait for the model', waiting),
        ):
            Gauge(name, text, registry=self._registry).set_function(function)
        Gauge('swinseg_workers', 'Models that compute side by side', registry=self._registry).set(
            workers
        )

    def count_request(self, kind: str, status: int) -> None:
        """Note the answer to a request to segment."""
        self._requests.labels(kind, status).inc()

    def count_answer(self, *, pixels: int, seconds: float) -> None:
        """Note an image that was segmented."""
        self._pixels.inc(pixels)
        self._seconds.observe(seconds)

    def count_batch(self, images: int) -> None:
        """Note a batch."""
        self._batches.observe(images)

    def text(self) -> bytes:
        """Return all figures in Prometheus's text format, of the type ``MEDIA_TYPE``."""
        return generate_latest(self._registry)
