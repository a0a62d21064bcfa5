"""The table of attacks on limits: data only. Each row is one attack (a file in attacks/), the policy that it meets, what is measured
from outside, and the bound that must hold. before.json has what each reached before the limits were mended."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

MEMORY = 128  # MiB: what rows about memory permit
SCRATCH = 8  # MiB: what rows about scratch permit
EVERYWHERE = ("root", "root, no namespaces", "user", "user, no namespaces", "container")
ROOT = ("root", "root, no namespaces")
NAMESPACES = ("root", "user")
NONE = ("root, no namespaces", "user, no namespaces", "container")


@dataclass(frozen=True)
class Row:
    name: str
    attack: str  # file in attacks/, without .py
    measure: str  # a field of what host.py prints
    unit: str
    bound: float
    how: str = "run"
    policy: dict[str, Any] = field(default_factory=dict)
    settings: tuple[str, ...] = EVERYWHERE
    more: dict[str, Any] = field(default_factory=dict)  # for host.py
    is_machines: bool = False  # other processes of the machine are in the figure: it is measured again before it is believed
    alike: bool = False  # does not depend on the setting
    slow: bool = False  # left out where a row more costs too much (containers)


def memory(name: str, attack: str, how: str = "run", **more: Any) -> Row:
    policy = {"memory": f"{MEMORY}M", "timeout": 5, "scratch": "64M", "threads": 32}
    policy.update(more.pop("policy", {}))
    return Row(name, attack, "guests_mib", "MiB", MEMORY + 64, how, policy, **more)


def scratch(name: str, attack: str, how: str = "run", **more: Any) -> Row:
    policy = {"memory": "512M", "timeout": 5, "scratch": f"{SCRATCH}M", **more.pop("policy", {})}
    return Row(name, attack, "machine_Shmem", "MiB", SCRATCH + 8, how, policy, is_machines=True, **more)


def late(name: str, attack: str, how: str, limit: float = 1, **more: Any) -> Row:
    return Row(name, attack, "over", "s over", 1.0, how, {"timeout": limit, **more.pop("policy", {})}, alike=True, **more)


def victim(name: str, attack: str, how: str = "victim", **more: Any) -> Row:
    policy = {"timeout": 20, "scratch_files": 1000, "scratch": "8M", "memory": "512M"}
    more.setdefault("alike", attack not in ("deep_links", "full_scratch", "space_locked"))
    return Row(name, attack, "times", "x", 10, how, policy, **more)


def host(name: str, attack: str, measure: str, unit: str, bound: float, **more: Any) -> Row:
    return Row(name, attack, measure, unit, bound, "value", {"timeout": 8, "memory": "512M"}, more=more, alike=True)


HOST_MIB, HOST_SECONDS = 384, 2.0

ROWS = (
    # ---- memory that is charged to nobody
    memory("page tables by reading", "tables_by_reading"),
    memory("page tables by one call", "tables_by_populating"),
    memory("page tables under huge pages", "tables_by_huge_pages"),
    memory("page tables of a small file", "tables_of_a_lonely_file"),
    memory("a page, a table and an area each", "many_small_maps"),
    memory("pages made read only", "read_only_pages"),
    memory("pages without any right", "unmapped_rights"),
    memory("pages after the first thread's end", "first_thread_gone"),
    memory("tables after the first thread's end", "mapped_first_thread_gone"),
    memory("a burst of huge pages", "memory_burst"),
    memory("all that is counted apart", "all_at_once"),
    memory("stacks of sleeping threads", "many_stacks"),
    memory("the main stack", "stack_downwards"),
    memory("copies of a file's pages", "copies_of_a_file"),
    Row("pipes and pairs filled", "pipes_filled", "held_mib", "MiB", 64 + 64, "run",
        {"memory": "64M", "timeout": 8, "descriptors": 4096}),
    Row("pipes made small and large again", "pipes_resized", "held_mib", "MiB", 16, "run",
        {"memory": "64M", "timeout": 8, "descriptors": 4096}),
    Row("a loopback filled", "loopback_filled", "held_mib", "MiB", 64, "run",
        {"memory": "64M", "timeout": 20, "descriptors": 4096, "network": ["self"]}, settings=NAMESPACES),
    # ---- limits that end with the run, or begin after it
    memory("memory between two runs", "idle_memory", "session"),
    memory("page tables between two runs", "idle_tables", "session"),
    # Original and branch have a limit each.
    dataclasses.replace(memory("memory in a branch", "branch_memory", "session", settings=NAMESPACES), measure="guest_mib"),
    Row("CPU between two runs", "idle_spins", "guest_cpu", "CPU s", 1.25, "session", {"cpu": 0.25, "timeout": 5, "threads": 8}),
    Row("threads between two runs", "idle_threads", "threads", "threads", 4 + 1 + 128, "session",
        {"threads": 4, "timeout": 5, "memory": "256M"}),
    Row("the supervisor's CPU between two runs", "idle_calls", "supervisor_cpu", "CPU s", 1.25, "session", {"cpu": 0.25, "timeout": 5}),
    Row("output between two runs", "idle_output", "guest_cpu", "CPU s", 2.0, "session", {"cpu": 1, "timeout": 5}),
    Row("a process whose first thread has gone", "first_thread_gone_small", "wall", "s", 3.0, "run", {"timeout": 5}),
    Row("clones beside a fork", "branch_clones", "left", "left", 0, "session", {"timeout": 5}, NAMESPACES),
    Row("clones of a young branch", "branch_of_a_branch", "left", "left", 0, "session", {"timeout": 5}, NAMESPACES),
    Row("a fork that is refused", "busy", "lost", "lost", 0, "make", {"timeout": 5}, NONE, {"way": "fork"}),
    # ---- scratch
    scratch("deleted open files", "deleted_open_files"),
    scratch("files renamed over", "renamed_over_files"),
    scratch("deleted files that are mapped", "mapped_deleted_files"),
    scratch("holes filled by reading a map", "sparse_grown_by_mapping"),
    scratch("files in folders taken away", "removed_folders"),
    scratch("a burst of writers", "fast_writers"),
    scratch("files between two runs", "idle_scratch", "session"),
    scratch("deleted files of a branch", "branch_scratch", "session", settings=NAMESPACES),
    Row("links of the longest text", "long_links", "machine_SUnreclaim", "MiB", SCRATCH + 8, "run",
        {"timeout": 8, "scratch": f"{SCRATCH}M", "scratch_files": 1000}, is_machines=True),
    Row("holes that are collected", "holes_to_collect", "host_mib", "MiB", SCRATCH + 24, "collect",
        {"timeout": 5, "scratch": f"{SCRATCH}M"}),
    # ---- time
    late("busy while the host's callback sleeps", "says_one_thing", "slow_callback", more={"bare": True}),
    late("a slow callback of results", "shows", "slow_callback", more={"shows": True}),
    late("output that nobody reads", "pours", "command", more={"words": []}),
    late("an audit that nobody reads", "refused_busy", "command", more={"words": ["--audit", "/dev/stdout"]}),
    late("a run, its supervisor stopped", "busy", "stopped"),
    late("a session, its supervisor stopped", "busy", "stopped", more={"session": True}),
    Row("deep links, and memory meanwhile", "deep_links_once", "wall", "s", 2.0, "run", {"timeout": 1, "memory": "128M", "threads": 400}),
    memory("memory behind a long call", "deep_links_once", policy={"timeout": 3, "threads": 8}),
    Row("calls queued at the end", "mailbox_full", "wall", "s", 2.0, "run", {"timeout": 1}, alike=True),
    Row("signals and a fast timer", "signals_queued", "wall", "s", 2.0, "run", {"timeout": 1}, alike=True),
    Row("a guest that stops itself", "stops_itself", "wall", "s", 2.0, "run", {"timeout": 1}, alike=True),
    Row("event queues in each other", "epoll_nest", "wall", "s", 4.0, "run", {"timeout": 3}, alike=True),
    # ---- neighbours
    victim("links that lead up and down", "deep_links"),
    victim("'..' and back", "dot_chains"),
    victim("2,000 names in a path", "long_path"),
    victim("40 links in a row", "many_links"),
    victim("questions of 60 threads", "many_askers"),
    victim("an address space that is locked", "space_locked"),
    victim("full scratch", "full_scratch"),
    victim("wide folders", "wide_folder"),
    victim("questions about the library", "modules_searched"),
    victim("FIFOs and dangling links of a grant", "grant_listed", "granted"),
    victim("a FIFO that is waited for", "fifo_opened", "granted"),
    victim("a grant that hangs", "hanging_grant", "hanging", settings=ROOT, more={"hangs": True, "turns": 1}),
    victim("a path in memory that hangs", "hanging_memory", "hanging", settings=ROOT, more={"hangs": True, "turns": 1}),
    # ---- what the host pays
    host("an array as wide as its widest", "wide_array", "host_mib", "MiB", HOST_MIB),
    host("an index of equal hashes", "colliding_index", "host_stall", "s", HOST_SECONDS),
    host("pairs of equal hashes", "colliding_pairs", "host_cpu", "CPU s", HOST_SECONDS),
    host("a dict of equal hashes", "colliding_set", "host_cpu", "CPU s", HOST_SECONDS),
    host("200,000 keywords, five times", "colliding_keywords", "host_cpu", "CPU s", HOST_SECONDS * 3),
    host("100,000 tasks", "many_tasks", "tasks", "tasks", 1000, loop=True),
    host("the same, when the run is over", "many_tasks", "tasks_after", "tasks", 0, loop=True),
    host("JSON of four million elements", "json_shown", "host_mib", "MiB", HOST_MIB),
    host("JSON: a long number, deep lists", "json_number", "host_cpu", "CPU s", HOST_SECONDS),
    host("pictures of 30 MiB", "pictures_shown", "host_mib", "MiB", HOST_MIB + 256),
    host("four million empty lists", "empty_lists", "host_mib", "MiB", HOST_MIB + 64),
    host("numbers of a million digits", "whole_numbers", "host_cpu", "CPU s", HOST_SECONDS),
    host("a key that is a tree", "tree_of_references", "host_stall", "s", HOST_SECONDS),
    host("a key that is a tree", "tree_in_pairs", "host_stall", "s", HOST_SECONDS),
    host("300 fractions", "fractions", "host_cpu", "CPU s", HOST_SECONDS),
    host("20,000 results of 30 forms", "texts_displayed", "host_mib", "MiB", HOST_MIB),
    host("5,000 data frames", "many_tables", "host_cpu", "CPU s", HOST_SECONDS * 2),
    host("900 zones that there are not", "many_dates", "host_cpu", "CPU s", HOST_SECONDS),
    host("refusals with long names", "refusals", "host_mib", "MiB", HOST_MIB),
    host("an error of 30 MiB", "long_error", "host_mib", "MiB", HOST_MIB),
    # ---- one that cannot be made
    Row("descriptors of the host run out", "busy", "lost", "lost", 0, "make", {"timeout": 5}, more={"way": "descriptors", "number": 512}, slow=True),
    Row("processes run out", "busy", "lost", "lost", 0, "make", {"timeout": 5, "threads": 400}, more={"way": "processes"}, slow=True),
    Row("newborns are killed", "busy", "lost", "lost", 0, "make", {"timeout": 5}, ROOT, {"way": "killed"}),
    # ---- rights
    Row("an answer over code", "text_written", "reached", "reached", 0, "run", {"timeout": 5}),
    Row("answers into read-only memory", "read_only_written", "reached", "reached", 0, "run", {"timeout": 5}),
    Row("out-of-band data", "out_of_band", "reached", "reached", 0, "run", {"timeout": 5}),
    # Without namespaces scratch lies where files may be mapped executable: SECURITY.md says so.
    Row("a scratch file executed", "scratch_executed", "reached", "reached", 0, "run", {"timeout": 5}, NAMESPACES),
    Row("a FIFO of a read grant", "fifo_read", "reached", "reached", 0, "fifo", {"timeout": 5}),
    Row("scratch inside a grant", "others_scratch", "reached", "reached", 0, "scratch_granted", {}),
)  # fmt: skip
