"""What Redis holds, by name: keys, fields, the states of a batch. The scripts get all of it from here.

A **batch** record (`sepal:batch:{id}`) holds the rows of one or more members, a member being one prediction's share of
the batch. A prediction larger than a batch has a **parent** record over its **children**, batches named
`{parent}.{index}`: it counts their rows and collects their outcomes, so that polling it costs the same however many
there are. A batch that is split to find what ends its attempts becomes such a parent over one child a member.
"""

import struct
from enum import StrEnum
from typing import Final

from shared.names import Queue, State

SCHEMA: Final = 1
"""Of every record. One that carries another number is refused: an older Sepal wrote it, or a newer one."""


class BatchState(StrEnum):
    """The state of a record.

    A batch, alone or a child:

        queued ──claim──▶ running ──commit──▶ committed
          ▲                  │
          └──attempt lost────┤ while it has attempts left
                             └──attempt lost──▶ exhausted ──▶ split        several members: each becomes a child
                                                          └─▶ committed    one member: with a failure, a dead letter

        split ──the last child ends──▶ committed

    A parent over the children of one prediction:

        queued ──the first claim of a child──▶ running ──the last child is committed──▶ succeeded
                                                  └──────a child is committed with a failure──▶ failed

    Every open state becomes canceled when the last member is canceled. A child is deleted when it ends: its outcome is
    in its parent. `expired` is no state of a record: whoever reads one compares its deadlines with the clock.
    """

    QUEUED = State.QUEUED.value  # recorded and published; no worker has it
    RUNNING = State.RUNNING.value  # an attempt has it, or had one of its children
    EXHAUSTED = "exhausted"  # its attempts are used up; a reconciler will split or bury it
    SPLIT = "split"  # replaced by a child for each of its members
    COMMITTED = "committed"  # its outcome is recorded: a final state, as are those that follow
    SUCCEEDED = State.SUCCEEDED.value  # a parent whose every child was committed with answers
    FAILED = State.FAILED.value  # a parent with a child that was committed with a failure
    CANCELED = State.CANCELED.value  # nobody wants it any more


class Key(StrEnum):
    """A key, or what the keys of one kind begin with (those that end with a colon)."""

    BATCH = "sepal:batch:"  # hash of each batch and parent, by its id; its fields are `Field`
    BACKLOG = "sepal:backlog"  # hash of two counters a queue, in rows: `accepted:{queue}` and `final:{queue}`
    SEQUENCE = "sepal:sequence"  # hash of a counter a queue: batches ever accepted, which numbers them in that order
    # What only a reconciler reads is by schema: each version finds its own batches, and leaves the others' alone.
    QUEUED = f"sepal:queued:{SCHEMA}:"  # for each queue, sorted set of the batches no worker has claimed, by number
    LEASES = "sepal:leases:"  # for each worker, hash from the batches it has claimed to its pool processes
    WORKERS = "sepal:workers"  # hash from a worker's name to `until_ms pool_processes`; then its leases end
    UNACKED = "sepal:unacked:"  # for each worker, kombu's hash of the messages it has taken and not acknowledged
    UNACKED_INDEX = "sepal:unacked-index:"  # for each worker, kombu's own index of that hash
    EXHAUSTED = (
        f"sepal:exhausted:{SCHEMA}"  # set of the batches whose attempts are used up, until they are split or buried
    )
    RECONCILER = f"sepal:reconciler:{SCHEMA}"  # hash of when the last look was taken, and what it saw of each queue
    DEAD_LETTERS = "sepal:dead-letters"  # sorted set of the dead letters, by the second of their burial
    DEAD_LETTER = "sepal:dead-letter:"  # hash of each dead letter
    IDEMPOTENCY = "sepal:idempotency:"  # of each idempotency key: schema, fingerprint and, once accepted, prediction
    MODEL = "sepal:model"  # the card that was announced last, as JSON
    LOAD_FAILURE = "sepal:load-failure"  # why a worker could not load its model: code and remedy, for a minute
    ALIEN_MESSAGES = "sepal:alien-messages"  # list of the latest messages that no Sepal writes, for an operator
    REPLY = "sepal:reply:"  # no key, but a channel for each gateway process, which it listens on


class Counter(StrEnum):
    """A counter of the backlog, in rows; followed by a queue."""

    ACCEPTED = "accepted:"
    FINAL = "final:"

    @property
    def fields(self) -> list[str]:
        """Of each queue, in their order."""
        return [self + queue for queue in Queue]


class Field(StrEnum):
    """A field of a batch, a parent or a dead letter; one that ends with a colon is followed by a member's index."""

    SCHEMA = "schema"
    STATE = "state"
    QUEUE = "queue"
    MODEL = "model"  # the model's reference, as JSON
    REPLY = "reply"  # the channel on which its gateway waits
    CREATED = "created"  # times are microseconds since 1970, by the store's clock
    MEMBERS = "members"  # packed, in the order of their indices; the scripts count and cut them
    N_ROWS = "n_rows"
    IDEMPOTENCY = "idempotency"  # the keys that lead to it, to be kept as long as it
    FINISHED = "finished"
    CANCELED = "canceled"  # number of canceled members
    CANCELED_MEMBER = "canceled:"  # by which request
    OUTCOME = "outcome"

    # Of batches alone.
    ENCODING = "encoding"
    ROWS = "rows"  # opaque: the members' shares one after the other; dropped once it is final, as are the next two
    MESSAGE = "message"
    ORIGINS = "origins"
    SEQUENCE = "sequence"  # its number in the order of acceptance
    TOKEN = "token"  # noqa: S105  the number of the latest attempt
    CLAIMANT = "claimant"  # that attempt's own name
    WORKER = "worker"
    PID = "pid"
    CLAIMED = "claimed"
    LOST = "lost"  # how attempts ended that had no outcome: JSON objects with commas between them

    # Of parents alone.
    CHILDREN = "children"  # how many a spanning prediction has; a batch that was split does not have it
    ROWS_DONE = "rows_done"
    STARTED = "started"
    PREDICT_US = "predict_us"
    FAILED_CHILD = "failed"
    CHILD_OUTCOME = "outcome:"
    CHILD_FINISHED = "finished:"

    # Of dead letters alone.
    PREDICTION = "prediction"
    DEAD_LETTERED = "buried"


# secret, rows, bytes of its rows, deadline, owner
MEMBER: Final = struct.Struct("<13sIIQ16s")
OWNER_BYTES: Final = 16
MEMBER_BYTES: Final = MEMBER.size
_N_ROWS_OFFSET: Final = struct.calcsize("<13s") + 1  # Lua counts from 1; the bytes of its rows come next
_DEADLINE_OFFSET: Final = struct.calcsize("<13sII") + 1

ANNOUNCEMENT_SECONDS: Final = 5
"""For which an announcement is believed: four beats may be lost before a worker is thought dead."""


def lua_names() -> str:
    """Write every name that Python and the scripts share as a Lua local, with a letter for its kind in front."""
    names: dict[str, str | int] = {"SCHEMA": f"'{SCHEMA}'"}
    names |= {f"k_{key.name.lower()}": f"'{key}'" for key in Key}
    names |= {f"f_{field.name.lower()}": f"'{field}'" for field in Field}
    names |= {f"c_{counter.name.lower()}": f"'{counter}'" for counter in Counter}
    names |= {f"s_{state.name.lower()}": f"'{state}'" for state in BatchState}
    names |= {f"q_{queue.name.lower()}": f"'{queue}'" for queue in Queue}
    names |= {"MEMBER_BYTES": MEMBER_BYTES, "N_ROWS_OFFSET": _N_ROWS_OFFSET, "DEADLINE_OFFSET": _DEADLINE_OFFSET}
    return "".join(f"local {name} = {value}\n" for name, value in names.items())
