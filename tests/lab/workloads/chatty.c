// Copyright (c) 2026, checkpoint_restore.kubernetes contributors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// chatty: holds an established TCP connection, to itself, and talks over it.
//
//     chatty
//
// Prints "exchange N" once a second: N went from one end of the connection to the other and back. A checkpoint without
// CRIU's tcp-established fails on it. Ends with 1 when the connection is lost, with 0 on SIGTERM.

#include <arpa/inet.h>
#include <netinet/in.h>
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

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

// One number from one end to the other.
static unsigned long carry(int from, int to, unsigned long number)
{
    unsigned long arrived = 0;
    if (send(from, &number, sizeof number, MSG_NOSIGNAL) != (ssize_t)sizeof number)
        fail("chatty: send");
    if (recv(to, &arrived, sizeof arrived, MSG_WAITALL) != (ssize_t)sizeof arrived)
        fail("chatty: recv");
    return arrived;
}

int main(void)
{
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, length) || listen(listener, 1))
        fail("chatty: listen");
    // The kernel chose the port.
    if (getsockname(listener, (struct sockaddr *)&address, &length))
        fail("chatty: getsockname");
    int client = socket(AF_INET, SOCK_STREAM, 0);
    if (client < 0 || connect(client, (struct sockaddr *)&address, length))
        fail("chatty: connect");
    int server = accept(listener, NULL, NULL);
    if (server < 0)
        fail("chatty: accept");
    close(listener);
    for (unsigned long number = 1;; number++) {
        unsigned long answer = carry(server, client, carry(client, server, number));
        printf("exchange %lu\n", answer);
        fflush(stdout);
        poll(NULL, 0, 1000);
    }
}
