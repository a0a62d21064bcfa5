/* Reads the program's text on the host, with the rights of the caller: the guest never opens the
 * script itself. */
#include "cli/cli.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define SOURCE_BYTES_MAX ((size_t)32 << 20)

void source_release(struct source *source)
{
    free(source->bytes);
    *source = (struct source){ 0 };
}

static int read_all(int fd, struct source *source)
{
    size_t room = 0;
    for (;;) {
        if (source->length == room) {
            room = room ? room * 2 : (size_t)64 * 1024;
            char *larger = realloc(source->bytes, room + 1);
            if (larger == NULL)
                return -ENOMEM;
            source->bytes = larger;
        }
        ssize_t got = read(fd, source->bytes + source->length, room - source->length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        source->length += (size_t)got;
        if (source->length > SOURCE_BYTES_MAX)
            return -EFBIG;
    }
    source->bytes[source->length] = '\0';
    return 0;
}

int source_read_input(struct source *ret_source)
{
    CLEANUP(source_release) struct source source = { 0 };
    int error = read_all(STDIN_FILENO, &source);
    if (error < 0) {
        complain("cannot read standard input: %s", strerror(-error));
        return EXIT_USAGE;
    }
    *ret_source = source;
    source = (struct source){ 0 };
    return 0;
}

int source_read(const char *path, struct source *ret_source)
{
    CLEANUP(source_release) struct source source = { 0 };
    CLEANUP(fd_close) int opened = -1;
    int fd = STDIN_FILENO;
    if (strcmp(path, "-") != 0) {
        fd = opened = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            complain("cannot open script %s: %s", path, strerror(errno));
            return EXIT_USAGE;
        }
        struct stat status;
        if (fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) {
            complain("%s is a directory; name a script in it, or grant it (--read %s) and run a "
                     "module of it: "
                     "belljar run --read %s -m MODULE",
                     path, path, path);
            return EXIT_USAGE;
        }
    }
    int error = read_all(fd, &source);
    if (error == -EFBIG) {
        complain("script %s is larger than %zu MiB", path, SOURCE_BYTES_MAX >> 20);
        return EXIT_USAGE;
    }
    if (error < 0) {
        complain("cannot read script %s: %s", path, strerror(-error));
        return EXIT_USAGE;
    }
    *ret_source = source;
    source = (struct source){ 0 };
    return 0;
}
