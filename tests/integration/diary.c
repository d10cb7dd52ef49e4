// Copyright (c) 2026, checkpoint_restore.kubernetes contributors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// diary: a process that holds a file in a volume open, and has changed its root file system.
//
//     diary
//
// Writes three lines into /data/diary, and prints "read N: three lines" as often as it has read them, once a second.
// /changed is a file with the extended attribute user.note, /etc/group is gone, and /tmp has been made anew with the
// file /tmp/kept in it. Ends with 1 when the file in the volume is not what it wrote.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define LINES "one\ntwo\nthree\n"

static void stop(int number)
{
    (void)number;
    _exit(0);
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void touch(const char *path)
{
    int file = open(path, O_WRONLY | O_CREAT, 0640);
    if (file < 0 || close(file))
        fail(path);
}

int main(void)
{
    signal(SIGTERM, stop);
    int diary = open("/data/diary", O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (diary < 0 || write(diary, LINES, strlen(LINES)) != (ssize_t)strlen(LINES))
        fail("/data/diary");
    touch("/changed");
    if (setxattr("/changed", "user.note", "kept", 4, 0))
        fail("user.note");
    if (unlink("/etc/group") || rmdir("/tmp") || mkdir("/tmp", 01777))
        fail("/etc/group and /tmp");
    touch("/tmp/kept");
    for (unsigned long number = 1;; number++) {
        char found[64] = "";
        if (pread(diary, found, sizeof found - 1, 0) < 0 || strcmp(found, LINES))
            fail("what was written");
        printf("read %lu: three lines\n", number);
        fflush(stdout);
        poll(NULL, 0, 1000);
    }
}
