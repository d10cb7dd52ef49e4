// Copyright (c) 2026, checkpoint_restore.kubernetes contributors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// talker: a number in memory, and clients that keep their connections.
//
//     talker
//
// Listens on port 7070. Every byte that comes over a connection adds one, and the number is the answer, as a line. Goes
// on when a connection ends.

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 16 };

static void stop(int number)
{
    (void)number;
    _exit(0);
}

static void must(int done, const char *what)
{
    if (done < 0) {
        perror(what);
        exit(1);
    }
}

int main(void)
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(7070), .sin_addr.s_addr = htonl(INADDR_ANY)};
    struct pollfd open[MOST];
    int used = 1, yes = 1;
    unsigned long number = 0;
    signal(SIGTERM, stop);
    signal(SIGPIPE, SIG_IGN);
    open[0] = (struct pollfd){.fd = socket(AF_INET, SOCK_STREAM, 0), .events = POLLIN};
    must(open[0].fd, "socket");
    must(setsockopt(open[0].fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), "setsockopt");
    must(bind(open[0].fd, (struct sockaddr *)&own, sizeof own), "bind");
    must(listen(open[0].fd, 5), "listen");
    puts("ready");
    fflush(stdout);
    for (;;) {
        // A dump interrupts it.
        if (poll(open, used, -1) < 0 && errno == EINTR)
            continue;
        for (int i = used - 1; i > 0; i--) {
            char byte;
            if (!open[i].revents)
                continue;
            if (recv(open[i].fd, &byte, 1, 0) == 1 && dprintf(open[i].fd, "%lu\n", ++number) > 0)
                continue;
            close(open[i].fd);
            open[i] = open[--used];
        }
        if (open[0].revents && used < MOST) {
            int client = accept(open[0].fd, NULL, NULL);
            if (client >= 0)
                open[used++] = (struct pollfd){.fd = client, .events = POLLIN};
        }
    }
}
