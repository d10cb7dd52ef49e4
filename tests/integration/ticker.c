// Copyright (c) 2026, checkpoint_restore.kubernetes contributors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// ticker: a process that a timer drives, and that has changed its root file system.
//
//     ticker
//
// Prints "tick N" as often as a periodic timer of 50 ms has let it. To /etc/passwd, a file of the image, it has added a
// line, and the extended attribute user.note; /etc/group is gone, and /tmp has been made anew with /tmp/kept in it.

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/xattr.h>
#include <unistd.h>

#define LINE "added:at:run:time\n"

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

int main(void)
{
    signal(SIGTERM, stop);
    int file = open("/etc/passwd", O_WRONLY | O_APPEND);
    if (file < 0 || write(file, LINE, sizeof LINE - 1) < 0 || close(file))
        fail("/etc/passwd");
    if (setxattr("/etc/passwd", "user.note", "kept", 4, 0))
        fail("user.note");
    if (unlink("/etc/group") || rmdir("/tmp") || mkdir("/tmp", 01777))
        fail("/etc/group and /tmp");
    file = open("/tmp/kept", O_WRONLY | O_CREAT, 0640);
    if (file < 0 || close(file))
        fail("/tmp/kept");
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    struct itimerspec every = {{0, 50000000}, {0, 50000000}};
    if (timer < 0 || timerfd_settime(timer, 0, &every, NULL))
        fail("timer");
    for (unsigned long number = 1;; number++) {
        uint64_t times;
        if (read(timer, &times, sizeof times) != sizeof times)
            fail("read");
        printf("tick %lu\n", number);
        fflush(stdout);
    }
}
