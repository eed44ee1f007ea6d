"""The schema of the data in Redis: keys, fields and states. The scripts get these names from here.

A **batch** record (`sepal:batch:{id}`) contains the rows of one or more members; a member is one prediction's entry in
the batch. A spanning prediction has a **parent** record and **children**, batches named `{parent}.{index}`. The parent
counts their rows and collects their outcomes, so that the cost of polling does not depend on their number. A batch that
is split to isolate the poison becomes such a parent, with one child for each member.

The record of a **bulk prediction** is also a parent. Its rows are in the object store, and its children are **slices**.
Each slice is a range of the rows, which is cut only when it is handed out, that is, published. `sepal:results:{id}`
lists the objects of their results.
"""

import struct
from enum import StrEnum
from typing import Final

from shared.names import Queue, State

SCHEMA: Final = 4
"""Version of every record. A record with another version, written by another version of Sepal, is refused."""


class BatchState(StrEnum):
    """The state of a record.

    A batch, alone or a child:

        queued ──claim──▶ running ──commit──▶ committed
          ▲                  │
          └──attempt lost────┤ with attempts left
                             └──attempt lost──▶ exhausted ──▶ split        several members: each becomes a child
                                                          └─▶ committed    one member: a failure and a dead letter

        split ──the last child is committed──▶ committed

    The parent of a spanning prediction:

        queued ──the first claim of a child──▶ running ──the last child is committed──▶ succeeded
                                                  └──────a child is committed with a failure──▶ failed

    The parent of a bulk prediction has the same states. It fails if any slice fails. Its slices are halved instead of
    split: an exhausted slice of several rows is replaced by two slices, which have one attempt each.

    A record in an open state becomes canceled when the last member is canceled. A child is deleted when it is final,
    because its outcome is in its parent. `expired` is not a state of a record: readers compare the deadlines with the
    clock.
    """

    QUEUED = State.QUEUED.value  # recorded and published; no worker has claimed it
    RUNNING = State.RUNNING.value  # a worker has claimed it, or a child of it
    EXHAUSTED = "exhausted"  # its attempts are used up; a reconciler splits it or makes a dead letter of it
    SPLIT = "split"  # replaced by a child for each of its members
    COMMITTED = "committed"  # its outcome is recorded; this state and those below are final
    SUCCEEDED = State.SUCCEEDED.value  # a parent: every child was committed with an answer
    FAILED = State.FAILED.value  # a parent: a child was committed with a failure
    CANCELED = State.CANCELED.value  # every member was canceled


class Key(StrEnum):
    """A key, or the prefix of several keys if it ends with a colon."""

    BATCH = "sepal:batch:"  # for each batch or parent, by id: hash of the fields in `Field`
    BACKLOG = "sepal:backlog"  # hash of two counters for each queue, in rows: `accepted:{queue}`, `final:{queue}`
    SEQUENCE = "sepal:sequence"  # hash of a counter for each queue: the number of the batch accepted last
    # The reconciler's keys contain the schema: each version finds only the batches of its schema.
    QUEUED = f"sepal:queued:{SCHEMA}:"  # for each queue: sorted set of the unclaimed batches, by sequence number
    LEASES = "sepal:leases:"  # for each worker: hash from its claimed batches to its pool processes
    # Hash from worker name to `until_ms pool_processes queues`, the queues separated by commas; leases end at until_ms.
    WORKERS = "sepal:workers"
    UNACKED = "sepal:unacked:"  # for each worker: kombu's hash of its unacknowledged messages
    UNACKED_INDEX = "sepal:unacked-index:"  # for each worker: kombu's index of that hash
    EXHAUSTED = f"sepal:exhausted:{SCHEMA}"  # set of the exhausted batches
    RECONCILER = (
        f"sepal:reconciler:{SCHEMA}"  # hash: time of the last run, and for each queue the sequence number found there
    )
    DEAD_LETTERS = (
        "sepal:dead-letters"  # sorted set of the dead letters, by the time when they became dead letters, in seconds
    )
    DEAD_LETTER = "sepal:dead-letter:"  # for each dead letter: hash of some fields in `Field`
    IDEMPOTENCY = "sepal:idempotency:"  # for each idempotency key: schema, fingerprint, and prediction id once accepted
    MODEL = "sepal:model"  # the model card that was announced last, as JSON
    LOAD_FAILURE = "sepal:load-failure"  # why a worker could not load its model: code, problem and remedy, for a minute
    ALIEN_MESSAGES = "sepal:alien-messages"  # list of the latest alien messages, for operators
    # Bulk predictions.
    SLICES = f"sepal:slices:{SCHEMA}"  # set of the slices that are handed out and not final
    OWNERS = f"sepal:owners:{SCHEMA}"  # list of the owners with uncut rows, in the order of their turns
    UNCUT = f"sepal:uncut:{SCHEMA}:"  # for each of these owners: list of predictions with uncut rows, in turn
    BULK_OPEN = f"sepal:bulk-open:{SCHEMA}"  # sorted set of the open bulk predictions, in the order of acceptance
    RESULTS = "sepal:results:"  # for each prediction: sorted set of its packed `SliceResult`s, by their first rows
    RATES = "sepal:rates"  # hash from a model's reference to the rows per second of one pool process
    OWNER = "sepal:owner:"  # for each owner: sorted set of its bulk predictions with a record, by time of acceptance
    STORED = "sepal:stored"  # hash from prediction or upload to `bytes owner`: its space in the object store
    STORED_BYTES = "sepal:stored-bytes"  # the sum of these bytes
    UPLOADS = (
        "sepal:uploads"  # sorted set of the uploads with reserved space, by the end of the reservation, in seconds
    )
    SWEEP = (
        "sepal:sweep"  # sorted set of the predictions in `STORED`, by the time of the sweeper's next check, in seconds
    )
    MARKER = "sepal:marker"  # a random string; the object store that belongs to this store has a copy
    REPLY = "sepal:reply:"  # not a key: the reply channel of each gateway process


class Counter(StrEnum):
    """The prefix of a counter of the backlog, in rows; the queue follows."""

    ACCEPTED = "accepted:"
    FINAL = "final:"

    @property
    def fields(self) -> list[str]:
        """The counter's field for each queue, in the order of `Queue`."""
        return [self + queue for queue in Queue]


STORED_ROWS: Final = "stored"
"""The suffix of a counter, instead of a queue, for rows of bulk predictions, which have a separate limit."""


class Field(StrEnum):
    """A field of a batch, a parent or a dead letter. One that ends with a colon is followed by an index."""

    SCHEMA = "schema"
    STATE = "state"
    QUEUE = "queue"
    MODEL = "model"  # the model's reference, as JSON
    REPLY = "reply"  # the reply channel of its gateway
    CREATED = "created"  # times are in microseconds since 1970, by the store's clock
    MEMBERS = "members"  # packed as `MEMBER_STRUCT`, in the order of their indices
    N_ROWS = "n_rows"
    IDEMPOTENCY = "idempotency"  # its idempotency keys, which are kept as long as the record
    FINISHED = "finished"
    CANCELED = "canceled"  # number of canceled members
    CANCELED_MEMBER = "canceled:"  # name of the request that canceled the member
    OUTCOME = "outcome"

    # Batches only.
    ENCODING = "encoding"
    ROWS = "rows"  # the members' rows, concatenated; this and the next two are deleted once the batch is final
    MESSAGE = "message"
    ORIGINS = "origins"
    SEQUENCE = "sequence"  # its sequence number, in the order of acceptance
    TOKEN = "token"  # noqa: S105  the number of the latest attempt
    CLAIMANT = "claimant"  # the random name of the latest attempt
    WORKER = "worker"
    PID = "pid"
    CLAIMED = "claimed"
    GIVEN_BACK = "given_back"  # number of uncounted attempts at a slice, because the object store was unavailable
    LOST = "lost"  # how attempts without an outcome ended: JSON objects, separated by commas

    # Parents only.
    CHILDREN = "children"  # number of children of a spanning prediction; absent after a split
    ROWS_DONE = "rows_done"
    STARTED = "started"
    PREDICT_US = "predict_us"
    FAILED_CHILD = "failed"
    CHILD_OUTCOME = "outcome:"
    CHILD_FINISHED = "finished:"

    # Parents of slices only.
    SOURCE = "source"  # packed `Source`
    NEXT_ROW = "next_row"  # the first uncut row
    SLICES = "slices"  # number of slices that were cut
    SLICE_ROWS = "slice_rows"  # rows of the slice that was cut last
    MIN_SLICE_ROWS = "min_slice_rows"
    MAX_SLICE_ROWS = "max_slice_rows"
    BATCH_ROWS = "batch_rows"  # rows of a record batch; a large slice ends at the end of one
    ROWS_BAD = "rows_bad"
    EVENT = "event"  # increases with each change
    OWNER = "owner"  # in hexadecimal
    TTL = "ttl"  # seconds to keep it once it is final

    # Dead letters only.
    PREDICTION = "prediction"
    DEAD_LETTERED = "buried"


# secret, rows, bytes of its rows, deadline, owner
MEMBER_STRUCT: Final = struct.Struct("<13sIIQ16s")
OWNER_BYTES: Final = 16
MEMBER_BYTES: Final = MEMBER_STRUCT.size
_N_ROWS_OFFSET: Final = struct.calcsize("<13s") + 1  # Lua counts from 1; the bytes of its rows come next
_DEADLINE_OFFSET: Final = struct.calcsize("<13sII") + 1

SLICE: Final = "slice"
"""The encoding of a slice, whose rows are a packed `shared.bulk.Slice`."""
SLICES_PER_PROCESS: Final = 2
"""Slices handed out for each loaded pool process: one that runs, and one that waits."""
SLICE_SECONDS: Final = 0.2
"""The target duration of a slice, for which other predictions have to wait for their turn."""
FIRST_SLICE_ROWS: Final = 1000
"""Rows of a slice while the rate of the model is unknown."""
SLICE_GROWTH: Final = 4
"""The maximum ratio of the rows of a slice to those of the previous slice of the prediction."""
MAX_SLICE_ROWS: Final = 2**18
MAX_SLICE_BYTES: Final = 32 * 2**20
"""Maximum size of the stored rows of a slice; a pool process needs memory for the decoded rows and the results."""
MAX_SLICES: Final = 2**16
"""Maximum number of slices of a prediction, unless the limits above require more; each takes 150 bytes in Redis."""
SWEEP_SECONDS: Final = 600
"""Interval between the sweeper's checks of an open prediction, whose record may be lost."""
RATE_SECONDS: Final = 7 * 24 * 3600
"""How long the rates are kept after the last commit."""

ANNOUNCEMENT_SECONDS: Final = 5
"""How long an announcement is valid: a worker that misses more than four beats counts as lost."""


def lua_literals() -> dict[str, str | int]:
    """Return the Lua literal of each name that Python and the scripts share; keys, fields and so on have a prefix."""
    names: dict[str, str | int] = {"SCHEMA_NUMBER": f"'{SCHEMA}'"}
    names |= {f"k_{key.name.lower()}": f"'{key}'" for key in Key}
    names |= {f"f_{field.name.lower()}": f"'{field}'" for field in Field}
    names |= {f"c_{counter.name.lower()}": f"'{counter}'" for counter in Counter}
    names |= {f"s_{state.name.lower()}": f"'{state}'" for state in BatchState}
    names |= {f"q_{queue.name.lower()}": f"'{queue}'" for queue in Queue}
    names |= {"MEMBER_BYTES": MEMBER_BYTES, "N_ROWS_OFFSET": _N_ROWS_OFFSET, "DEADLINE_OFFSET": _DEADLINE_OFFSET}
    names |= {
        "STORED_ROWS": f"'{STORED_ROWS}'",
        "SLICE_ENCODING": f"'{SLICE}'",
        "SLICES_PER_PROCESS": SLICES_PER_PROCESS,
    }
    names |= {"SLICE_MS": round(1000 * SLICE_SECONDS), "FIRST_SLICE_ROWS": FIRST_SLICE_ROWS}
    return names | {"SLICE_GROWTH": SLICE_GROWTH, "RATE_SECONDS": RATE_SECONDS, "SWEEP_SECONDS": SWEEP_SECONDS}
