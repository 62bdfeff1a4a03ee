"""Port to the gateway's metrics."""

from typing import Protocol


class GatewayMeter(Protocol):
    """Receiver of what happens at a gateway."""

    def answered(self, endpoint: str, lane: str, status: int, seconds: float) -> None:
        """Count an answer; `lane` is empty where the request named none that could be read."""

    def waiting(self, count: int) -> None:
        """Show the number of clients that wait for an outcome."""

    def streaming(self, count: int) -> None:
        """Show the number of those whose answer is a stream."""

    def joined(self) -> None:
        """Count a repetition that was led to its earlier call."""

    def hung_up(self) -> None:
        """Count a client that left before its answer."""

    def connections(self, count: int) -> None:
        """Show the number of open connections."""


class NoMeter:
    """A `GatewayMeter` that shows nothing."""

    def answered(self, endpoint: str, lane: str, status: int, seconds: float) -> None:
        """See `GatewayMeter.answered`."""

    def waiting(self, count: int) -> None:
        """See `GatewayMeter.waiting`."""

    def streaming(self, count: int) -> None:
        """See `GatewayMeter.streaming`."""

    def joined(self) -> None:
        """See `GatewayMeter.joined`."""

    def hung_up(self) -> None:
        """See `GatewayMeter.hung_up`."""

    def connections(self, count: int) -> None:
        """See `GatewayMeter.connections`."""
