/* Files whose paths lead where they led, until the kernel tells of a change (watch.h): what a guest is told of
 * such a file holds until then. Supervisor. */
#ifndef BELLJAR_FILES_STEADY_H
#define BELLJAR_FILES_STEADY_H

#include "files/request.h"

/* Folders that are seen to be watched for all files of a call, with those on the way to them. Else a
 * guest's list of files far below a mount, each in a folder of its own, is tens of milliseconds in which
 * others wait. */
#define STEADY_MOST 128

/* For the files of one call. */
struct steady {
    bool is_listed; /* as watches_hold has it: what is found is told. Else it serves an open */
    unsigned left;  /* of STEADY_MOST */
    /* Of the last file, and of the last file that a link led to. */
    struct steady_folder {
        int fd;              /* or -1 */
        char path[PATH_MAX]; /* of what is watched; "": nothing is */
    } folder, target;
};

#define STEADY_INIT                                                                                \
    {                                                                                              \
        .left = STEADY_MOST, .folder.fd = -1, .target.fd = -1                                      \
    }
void steady_release(struct steady *steady);

/* Looks for the file at a path from the root, in a folder of the host's that is watched from now on, as is all
 * on the way to it: no part of that is a link. The file itself may be one, to a file for which the
 * same holds. False: that is not so, or there is no such file. */
bool steady_find(struct request *request, struct steady *steady, const char *path,
                 struct place *ret_place, struct stat *ret_stat);

#endif
