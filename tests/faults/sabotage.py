"""Workers that something happens to at exactly one place: run with `running(..., program=program(...))`."""

import signal
import threading
from typing import Any

from confluent_kafka import Producer

from stream_app.cli.app import main
from stream_app.kafka import clients
from stream_app.pipeline import cuts
from stream_app.pipeline.consume import InputConsumer
from stream_app.threads import Supervised


def program(name: str, *arguments: object) -> str:
    """The Python that runs a worker with one of the faults below."""
    return f"from tests.faults import sabotage; sabotage.{name}({', '.join(map(repr, arguments))})"


def stop_before_commit(number: int) -> None:
    """It stops itself (SIGSTOP) between sending the offsets and committing its so many-th transaction that has any."""

    class Stopping(Producer):
        sent = 0

        def send_offsets_to_transaction(self, *arguments: Any) -> None:
            super().send_offsets_to_transaction(*arguments)
            Stopping.sent += 1

        def commit_transaction(self, *arguments: Any) -> None:
            if Stopping.sent == number:
                Stopping.sent += 1  # once
                # To this thread: sent to the process, another thread takes it, and this one may commit meanwhile.
                signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
            super().commit_transaction(*arguments)

    clients.Producer = Stopping  # type: ignore[misc, attr-defined]
    main()


def stop_before_offsets(number: int) -> None:
    """It stops itself (SIGSTOP) when the outputs of its so many-th transaction are in Kafka, and their offsets not."""

    class Stopping(Producer):
        sent = 0

        def send_offsets_to_transaction(self, *arguments: Any) -> None:
            Stopping.sent += 1
            if Stopping.sent == number:
                self.flush()
                signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
            super().send_offsets_to_transaction(*arguments)

    clients.Producer = Stopping  # type: ignore[misc, attr-defined]
    main()


def stall_after(batches: int) -> None:
    """From its so many-th batch on, its pipeline stands still and says nothing."""
    real, calls = InputConsumer.poll, 0

    def poll(self: InputConsumer, *arguments: Any) -> Any:
        nonlocal calls
        raw = real(self, *arguments)
        calls += raw is not None
        if calls >= batches:
            threading.Event().wait()
        return raw

    InputConsumer.poll = poll  # type: ignore[method-assign]
    main()


def die(thread: str, steps: int) -> None:
    """That thread of it meets an error in its so many-th step."""
    real, calls = Supervised.__init__, 0

    def init(self: Supervised, name: str, step: Any, *arguments: Any) -> None:
        def sabotaged() -> None:
            nonlocal calls
            calls += 1
            if calls == steps:
                raise RuntimeError("sabotage")
            step()

        real(self, name, sabotaged if name == thread else step, *arguments)

    Supervised.__init__ = init  # type: ignore[method-assign]
    main()


def small_cuts(records: int) -> None:
    """Its checkpoints of windows go out so few records at a time that it is nearly always in the middle of one."""
    cuts.MOST_RECORDS = records
    main()
