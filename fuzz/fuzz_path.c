/* Path resolution with hostile paths and hostile links: the input is a script of paths, link
 * targets and calls, run against a small tree. What must hold: no sanitizer report, every place is
 * normal and inside, the lexical way and the walk agree, and whatever is opened is one of the files
 * that the guest may have. */
#define _GNU_SOURCE
#include "files/ahead.c"
#include "files/assemble.c"
#include "files/beneath.c"
#include "files/change.c"
#include "files/files.c"
#include "files/list.c"
#include "files/look.c"
#include "files/memory.c"
#include "files/open.c"
#include "files/request.c"
#include "files/scratch.c"
#include "files/steady.c"
#include "files/synthetic.c"
#include "files/tree.c"
#include "files/walk.c"
#include "files/watch.c"

#include <sys/mman.h>

#define STEPS (&(unsigned){ TREE_STEPS_MAX })

static struct settings settings;
static struct tree *tree;
static int parent = -1, memory = -1, maps = -1, tray_fd = -1;
static char *tray; /* the page that guests share, here the same one of all */
static struct stat secret;
static char host[] = "/dev/shm/belljar-fuzz-XXXXXX";

static void require(bool claim)
{
    if (!claim)
        __builtin_trap();
}

static int start(void)
{
    static struct mount_setting mounts[2];
    char path[PATH_MAX];
    require(mkdtemp(host) != NULL);
    parent = open(host, O_RDONLY | O_DIRECTORY);
    memory = open("/proc/self/mem", O_RDWR);
    maps = open("/proc/self/maps", O_RDONLY);
    require(mkdirat(parent, "g", 0755) == 0 && mkdirat(parent, "g/d", 0755) == 0 &&
            mkdirat(parent, "s", 0755) == 0);
    static const char *const links[][2] = { { "d", "g/l" },        { "/g/d", "g/a" },
                                            { "../s", "g/o" },     { "o", "g/o2" },
                                            { "x/../l", "g/d/m" }, { "y", "g/y" },
                                            { "/w/../g", "g/d/w" } };
    for (size_t i = 0; i < ARRAY_SIZE(links); i++)
        require(symlinkat(links[i][0], parent, links[i][1]) == 0);
    close(openat(parent, "g/f", O_CREAT | O_WRONLY, 0644));
    close(openat(parent, "s/f", O_CREAT | O_WRONLY, 0644));
    require(fstatat(parent, "s/f", &secret, 0) == 0);
    snprintf(mounts[0].guest_path, PATH_MAX, "/g");
    snprintf(mounts[0].host_path, PATH_MAX, "%s/g", host);
    settings = (struct settings){ .scratch_bytes = 1 << 20,
                                  .scratch_files = 200,
                                  .descriptors = 16,
                                  .mounts = mounts,
                                  .mount_count = 1 };
    require(tree_new(&settings, &tree, path) == 0 && tree_make_skeleton(tree, parent) == 0);
    tree_draw_skeleton(tree);
    tray_fd = (int)syscall(SYS_memfd_create, "tray", MFD_CLOEXEC);
    require(tray_fd >= 0 && ftruncate(tray_fd, TRAY_BYTES) == 0);
    tray = mmap(NULL, TRAY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, tray_fd, 0);
    require(tray != MAP_FAILED && watches_new(WATCHED_MAX, &tree->watches) == 0);
    return 0;
}

/* The guest's end of the socket in which files wait that were opened ahead. */
static int join(struct files *files)
{
    struct call call = { .number = SYS_getdents,
                         .args = { (uint64_t)AT_FDCWD, (uint64_t)(uintptr_t) "", 0, 0,
                                   FILE_AHEAD } };
    struct answer answer = ANSWER_INIT;
    require(files_set_tray(files, tray_fd, (uint64_t)(uintptr_t)tray) == 0);
    files->is_watching = true;
    require(files_serve(files, memory, maps, &call, &answer) && answer.error == 0);
    return answer.install_fd;
}

/* Puts a path into the page, and others behind it. */
static uint64_t put_paths(const char *first, const char *second)
{
    size_t room = TRAY_AHEAD - 1, used = 0;
    for (unsigned i = 0; i < 1 + AHEAD_MAX; i++) {
        const char *path = i % 2 == 0 ? first : second;
        size_t length = strnlen(path, room - used) + 1;
        if (length > room - used)
            break;
        memcpy(tray + used, path, length);
        used += length;
    }
    tray[used] = '\0';
    return (uint64_t)(uintptr_t)tray;
}

static void check_opened(int fd)
{
    struct stat opened;
    require(fstat(fd, &opened) == 0);
    require(opened.st_ino != secret.st_ino || opened.st_dev != secret.st_dev);
    close(fd);
}

static void check_ahead(int end)
{
    struct ahead ahead;
    int fd;
    unsigned count;
    while (channel_receive(end, &ahead, sizeof ahead, &fd, &count, 1, NULL, MSG_DONTWAIT) > 0) {
        require(count == 1 && ahead.place < AHEAD_MAX);
        check_opened(fd);
    }
}

static void check_place(const struct place *place)
{
    require(strlen(place->path) == place->length);
    require(place->length == 0 || mounts_path_is_normal(place->path));
    require(place->node->length <= place->length &&
            memcmp(place->node->path, place->path, place->node->length) == 0);
    require(place->is_node == (place->node->length == place->length));
}

/* The next string of the input, of short words so that the fuzzer finds names that exist. */
static void next_path(const uint8_t **bytes, const uint8_t *end, char path[PATH_MAX])
{
    static const char *const words[] = { "/",    "..",  ".",      "g",    "d",    "l",   "a",
                                         "o",    "m",   "y",      "f",    "w",    "tmp", "work",
                                         "x",    "etc", "passwd", "proc", "self", "var", "home",
                                         "user", "dev", "shm",    "/../", "//" };
    size_t used = 0;
    while (*bytes < end && used < PATH_MAX - 16) {
        uint8_t byte = *(*bytes)++;
        if (byte == 0)
            break;
        if (byte < ARRAY_SIZE(words) + 1)
            used += (size_t)snprintf(path + used, 16, "%s", words[byte - 1]);
        else
            path[used++] = (char)byte;
        if (byte > 200 && used < PATH_MAX / 2) { /* long ones as well */
            memset(path + used, (char)byte, byte);
            used += byte;
        }
    }
    path[used] = '\0';
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const int numbers[] = {
        SYS_open,    SYS_openat,   SYS_stat,   SYS_lstat,  SYS_newfstatat, SYS_access, SYS_readlink,
        SYS_mkdir,   SYS_rmdir,    SYS_unlink, SYS_rename, SYS_renameat2,  SYS_link,   SYS_symlink,
        SYS_symlink, SYS_truncate, SYS_chmod,  SYS_utimes, SYS_chdir,      SYS_fchdir, SYS_getcwd
    };
    static int ready = -1;
    static char first[PATH_MAX], second[PATH_MAX];
    static struct stat result;
    const uint8_t *end = bytes + size;
    if (ready < 0)
        ready = start();
    struct files *files;
    require(files_new(tree, &settings, 1, parent, &files) == 0);
    int ahead = join(files);
    for (unsigned calls = 0; end - bytes > 3 && calls < 24; calls++) {
        struct call call = { .number = numbers[*bytes++ % ARRAY_SIZE(numbers)] };
        uint64_t extra = *bytes++;
        next_path(&bytes, end, first);
        next_path(&bytes, end, second);
        struct place lexical = { .length = 0 }, walked = { .length = 0 };
        int error = walk_resolve(tree, request_scratch_fd(files), files->directory, first, true,
                                 STEPS, &lexical);
        if (error == 0)
            check_place(&lexical);
        if (walk_links(tree, request_scratch_fd(files), files->directory, first, extra & 1, STEPS,
                       &walked) == 0)
            check_place(&walked);
        uint64_t one = (uint64_t)(uintptr_t)first, two = (uint64_t)(uintptr_t)second;
        bool is_at = call.number == SYS_openat || call.number == SYS_newfstatat ||
                     call.number == SYS_renameat2;
        unsigned at = 0;
        if (is_at)
            call.args[at++] = (extra & 64) != 0 ? 3 : (uint64_t)AT_FDCWD;
        call.args[at++] = call.number == SYS_fchdir ? 3 : one;
        if (call.number == SYS_renameat2)
            call.args[at++] = (uint64_t)AT_FDCWD;
        call.args[at] = call.number == SYS_open || call.number == SYS_openat
                            ? (extra & 0x3f) << 6 | (extra >> 6)
                        : call.number == SYS_rename || call.number == SYS_renameat2 ||
                                call.number == SYS_link || call.number == SYS_symlink
                            ? two
                        : call.number == SYS_chmod || call.number == SYS_mkdir ||
                                call.number == SYS_truncate || call.number == SYS_access
                            ? extra & 7
                        : call.number == SYS_utimes ? 0
                                                    : (uint64_t)(uintptr_t)&result;
        call.args[at + 1] = call.number == SYS_renameat2    ? extra & 3
                            : call.number == SYS_newfstatat ? (extra & 0x11) << 8
                                                            : 0755;
        if (call.number == SYS_openat && (extra & 32) != 0) {
            call.args[1] = put_paths(first, second);
            call.args[4] = FILE_AHEAD;
        }
        if (call.number == SYS_readlink)
            call.args[2] = sizeof result;
        if (call.number == SYS_getcwd)
            call.args[1] = sizeof first;
        struct answer answer = ANSWER_INIT;
        require(files_serve(files, memory, maps, &call, &answer));
        require(answer.error >= 0 && (answer.error == 0 || answer.install_fd < 0));
        require(!answer.refused ||
                (answer.error > 0 && answer.rule != NULL && answer.hint != NULL));
        if (answer.install_fd >= 0) {
            files_installed(files, 3);
            check_opened(answer.install_fd);
        }
        check_ahead(ahead);
    }
    close(ahead);
    (void)!files_is_over_quota(files);
    files_free(files);
    return 0;
}
