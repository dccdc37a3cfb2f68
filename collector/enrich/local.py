"""Whose each row is: adds the column `local`."""

from __future__ import annotations

import numpy as np

from collector.batch import Batch, Column, Schema
from collector.enrich.identity import Identities
from collector.row_hash import hash_rows
from collector.workload import UNKNOWN

MEMO_SIZE = 65536
Question = tuple[int, int, int, bytes, bytes]  # cgroup, process, its start, its command, its executable
OF_PROCESS = "process_event"  # its cgroup is the process's own at that moment


class LocalEnricher:
    """`local` (int32): the number of the workload that the row's cgroup, process and start time belong to.

    Works on every record with a field that means cgroup_id or process_id; the others are left alone. Each distinct
    owner is resolved once, until something is learnt that makes an earlier answer wrong.
    """

    def __init__(self, identities: Identities) -> None:
        self._identities = identities
        self._memo: dict[tuple[Question, bool], int] = {}
        self._version = identities.version

    def enrich(self, batch: Batch) -> None:
        columns = owner_columns(batch)
        if columns is None:
            return
        _, first, inverse = np.unique(hash_rows(columns), return_index=True, return_inverse=True)
        questions: list[Question] = list(zip(*(column[first].tolist() for column in columns), strict=True))
        of_process = batch.schema.record == OF_PROCESS
        numbers = np.fromiter((self._ask(question, of_process) for question in questions), np.int32, len(questions))
        local = numbers[inverse]
        batch.columns["local"] = local
        self._identities.rows_without_owner += int(np.count_nonzero(local == UNKNOWN))
        self._identities.use(numbers.tolist(), latest_time(batch))

    def _ask(self, question: Question, of_process: bool) -> int:
        if self._version != self._identities.version or len(self._memo) >= MEMO_SIZE:
            self._memo.clear()
            self._version = self._identities.version
        number = self._memo.get((question, of_process))
        if number is None:
            cgroup, process, started_at, command, executable = question
            texts = command.decode(errors="replace"), executable.decode(errors="replace")
            number = self._identities.resolve(cgroup, process, started_at, *texts, of_process=of_process)
            self._memo[question, of_process] = number
        return number


def owner_columns(batch: Batch) -> list[Column] | None:
    """The columns of a Question, zeros for what the record does not have; None when it has neither cgroup nor process."""
    schema = batch.schema
    cgroup, process = schema.first_with_meaning("cgroup_id"), schema.first_with_meaning("process_id")
    if cgroup is None and process is None:
        return None
    started_at = "process_started_at" if has_start_time(schema) else None
    command = schema.first_with_meaning("command_name")
    executable = "executable" if "executable" in batch and batch["executable"].dtype.kind == "S" else None
    nothing, no_text = np.zeros(len(batch), np.uint64), np.zeros(len(batch), "S1")
    numbers = [batch.rows[name] if name else nothing for name in (cgroup, process, started_at)]
    return numbers + [batch.rows[name] if name else no_text for name in (command, executable)]


def has_start_time(schema: Schema) -> bool:
    return any(field.name == "process_started_at" and field.meaning == "boot_ns" for field in schema.fields)


def latest_time(batch: Batch) -> int:
    """The latest boot_ns of the field that says when the rows were made; 0 when there is none."""
    name = "observed_at" if "observed_at" in batch else batch.schema.first_with_meaning("boot_ns")
    return int(batch[name].max()) if name and len(batch) else 0
