/* The options table (options.h). Host only. */
#include "policy/options.h"

#include "base/base.h"
#include "policy/layers.h"
#include "policy/mounts.h"
#include "policy/settings.h"

#define AT(field) offsetof(struct settings, field)

const struct option_row option_rows[] = {
    { "read", "--read", "PATH", OPTION_READ, 0, 0, 0, "[]",
      "Let it read this file or directory, at the same path. May be repeated." },
    { "write", "--write", "PATH", OPTION_WRITE, 0, 0, 0, "[]",
      "Let it read and change this file or directory of the host. May be repeated." },
    { "timeout", "--timeout", "SECONDS", OPTION_SECONDS, AT(wall_ms), 1, 86400000, "30",
      "Wall time of a run; 0 for no limit." },
    { "cpu", "--cpu", "SECONDS", OPTION_SECONDS, AT(cpu_ms), 1, 86400000, "0",
      "CPU time of a run, all threads together, and of what it leaves behind until the next; 0 for "
      "no "
      "limit beside the wall time." },
    { "memory", "--memory", "SIZE", OPTION_SIZE, AT(memory_bytes), 32u << 20, 1ull << 44,
      "\"512M\"",
      "Memory, the interpreter's own included: MemoryError first, then the end. Mapped files and "
      "reserved memory do not count, up to 16G of addresses." },
    { "output", "--output", "SIZE", OPTION_SIZE, AT(output_bytes), 64, 1u << 30, "\"1M\"",
      "How much of stdout and of stderr is kept, each; more is cut in the middle and counted." },
    { "scratch", "--scratch", "SIZE", OPTION_SIZE, AT(scratch_bytes), 4096, 1ull << 40, "\"64M\"",
      "Bytes that it may keep in its own directories:" MOUNT_SCRATCH_WORDS "." },
    { "scratch_files", "--scratch-files", "N", OPTION_COUNT, AT(scratch_files), 1, 1000000, "1000",
      "Files and directories that it may keep there." },
    { "descriptors", "--descriptors", "N", OPTION_COUNT, AT(descriptors), 32, 65536, "256",
      "Descriptors that it may hold open." },
    { "threads", "--threads", "N", OPTION_COUNT, AT(threads), 0, 4096, "32",
      "Threads beside the main one." },
    { "profile", "--profile", "NAME", OPTION_PROFILE, AT(grants), 0, 0, "\"full\"",
      "full: all of Python; compute: memory and clocks only, no files, threads, asyncio or imports "
      "of extension modules." },
    { "jit", "--no-jit", NULL, OPTION_JIT, AT(grants), 0, 0, "true",
      "Executable memory, which numba and ctypes callbacks need: there in the profile full unless "
      "this "
      "option refuses it (jit=False), never in compute." },
    { "network", "--network", "self", OPTION_NETWORK, AT(grants), 0, 0, "[]",
      "self: a loopback of its own, 127.0.0.1 and ::1, on which it reaches itself and nobody else; "
      "needs user namespaces. By default there is no network at all." },
    { "preload", "--preload", "MODULE", OPTION_MODULES, 0, 0, 0, "[]",
      "Import these modules once, before any untrusted code, for all guests." },
    { "python", "--python", "EXE", OPTION_PATH, AT(python), 0, 0, "\"/usr/bin/python3\"",
      "The interpreter: CPython 3.11 or later; that of a virtual environment brings its modules." },
    { "allow_missing", "--allow-missing", "LAYER", OPTION_LAYERS, AT(allow_missing), 0, 0, "[]",
      "Run although this machine lacks the layer (" LAYER_NAMES "): weaker, and said so." },
    { "scratch_dir", "--scratch-dir", "PATH", OPTION_PATH, AT(scratch_parent), 0, 0, "\"\"",
      "Where scratch lies if no private tmpfs is available; by default " SCRATCH_PARENTS(
          ", ", " or ") "." },
    { "user", "--user", "UID", OPTION_USER, AT(uid), 1, 65534, "65534",
      "The user and group to become when started as root." },
    { "env", "--env", "NAME=VALUE", OPTION_ENV, AT(start), 0, 0, "{}",
      "An environment variable that it finds; NAME alone takes the caller's value. May be "
      "repeated." },
    { "cwd", "--cwd", "DIR", OPTION_CWD, AT(start), 0, 0, "null",
      "The directory that it starts in: one that is granted, or its own. Default: the caller's if "
      "that is granted, else the script's, else /work." },
    { "links", "--links", "DIR", OPTION_CWD, AT(start), 0, 0, "null",
      "A granted directory whose files it finds in /work as well, as links: what it reads by a "
      "relative name is there, and what it writes is its own." },
    { "seed", "--seed", "N", OPTION_SEED, AT(hash_seed), 0, UINT32_MAX, "null",
      "The seed of hashes and of all random numbers: two runs draw the same. Not for secrets." },
    { "start_time", "--start-time", "TIME", OPTION_TIME, AT(start), 0, 0, "null",
      "What its clock says when it starts: seconds since 1970, or a time as "
      "2026-01-31T12:00:00Z." },
    { "clock", "--clock", "advances|stands", OPTION_CLOCK, AT(start), 0, 0, "\"advances\"",
      "Whether the time of day goes on from there, or is the same whenever it is asked for." },
    { "warm", NULL, NULL, OPTION_TEXT, AT(warm), 0, 0, "null",
      "Python text that a guest runs before it is parked, so that work like it finds its pages "
      "ready; sixteen guests of a template do. What it raises is told on the stderr of such a "
      "guest's first run. Default: a little of what scripts do; \"\" is none." },
    { "feature", "--feature", "NAME", OPTION_FEATURES, AT(language), 0, 0, "null",
      "Deny by default: a language without imports, files and introspection, and with these "
      "features (everyday, or one by one: stdout, math, regex, …)." },
    { "allow_module", "--allow-module", "MODULE:NAME,…", OPTION_ALLOW, AT(language), 0, 0, "null",
      "Deny by default as well, and let these names of a module be imported, as read-only views. "
      "May be repeated." },
    { "allow_safe_module", "--allow-safe-module", "MODULE:NAME,…", OPTION_ALLOW_SAFE, AT(language),
      0, 0, "null",
      "Like --allow-module, but with the things themselves in place of views: a program can make "
      "subclasses of them. Some undo the policy. May be repeated." },
    { "recursion_limit", "--recursion-limit", "N", OPTION_RECURSION, AT(language), 1, 1000000,
      "null",
      "Deny by default as well: how many frames deep calls may be (50, or 1000 with the feature "
      "everyday)." },
    { "language", NULL, NULL, OPTION_LANGUAGE, AT(language), 0, 0, "null",
      "The language policy, as SandboxConfig makes it; null is the open policy." },
};
const size_t option_row_count = ARRAY_SIZE(option_rows);

const struct option_wanted option_wanted[] = {
    { " net internet allow-net allow-network dns port ports expose-port proxy ",
      "there is no network in a guest but a loopback of its own (--network self): hand data in as "
      "files (--file, --read), or let a function of the host's fetch it (Sandbox.expose in "
      "Python)" },
    { " loopback localhost self allow-self ",
      "a loopback of its own, 127.0.0.1 and ::1, is --network self" },
    { " e environ environment envs env-var ",
      "an environment variable is --env NAME=VALUE, or env={\"NAME\": \"VALUE\"} in Python" },
    { " t time time-limit timelimit wall wall-time deadline ",
      "the time limit is --timeout SECONDS, the limit of CPU time --cpu SECONDS" },
    { " cpus ncpus cores cpu-count cpuset ", "a guest has threads (--threads N) and not CPUs of "
                                             "its own; --cpu SECONDS limits the CPU time "
                                             "of all of them" },
    { " gpu gpus cuda device devices ",
      "there is no GPU in a guest, nor any other device: what needs one is for a function of the "
      "host's (Sandbox.expose in Python)" },
    { " ram memory-limit m-limit max-memory ", "the memory limit is --memory SIZE, as 512M" },
    { " v volume volumes mount bind dir directory ro rw ",
      "a directory is granted by --read PATH or --write PATH, and seen at the same path" },
    { " w workdir working-dir working-directory work-dir chdir ",
      "the directory to start in is --cwd DIR" },
    { " i in input input-file copy upload ", "a file is handed in by --file PATH[:NAME]" },
    { " o outdir out-dir output-dir collect download results ",
      "what the run writes is collected by --out DIR; --output SIZE is how much it may print" },
    { " packages package pip install requirements r with deps ",
      "packages are those of the interpreter: belljar env create -r FILE makes an environment with "
      "them, to be named by --python, as any virtual environment" },
    { " image docker container ",
      "there is no image: a guest has the host's Python, or another one (--python EXE)" },
    { " random-seed hash-seed hashseed pythonhashseed ", "the seed is --seed N" },
    { " privileged root sudo no-sandbox unsafe allow-all all ",
      "a guest is never without its jail: name what it needs, by --read, --write and others; "
      "belljar learn SCRIPT finds out what that is" },
};
const size_t option_wanted_count = ARRAY_SIZE(option_wanted);
