// Copyright (c) 2026, checkpoint_restore.kubernetes contributors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// listener: a process whose sockets a new pod may not have.
//
//     listener ADDRESS     listens on port 7070 of this address
//     listener             listens on all addresses, and holds a connection to itself
//
// Prints "ready N" once a second, N from 1 on.

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

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

int main(int argc, char **argv)
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(7070)};
    int listening = socket(AF_INET, SOCK_STREAM, 0);
    must(listening, "socket");
    if (argc > 1 && inet_pton(AF_INET, argv[1], &own.sin_addr) != 1)
        must(-1, argv[1]);
    must(bind(listening, (struct sockaddr *)&own, sizeof own), "bind");
    must(listen(listening, 5), "listen");
    if (argc == 1) {
        int connected = socket(AF_INET, SOCK_STREAM, 0);
        own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        must(connect(connected, (struct sockaddr *)&own, sizeof own), "connect");
        must(accept(listening, NULL, NULL), "accept");
    }
    signal(SIGTERM, stop);
    signal(SIGPIPE, SIG_IGN);
    setlinebuf(stdout);
    for (int round = 1;; round++) {
        printf("ready %d\n", round);
        poll(NULL, 0, 1000);
    }
}
