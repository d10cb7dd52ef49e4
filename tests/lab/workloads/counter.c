// Copyright (c) 2026, checkpoint_restore.kubernetes contributors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// counter: a number in memory that grows, and an HTTP server that tells it.
//
//     counter [PORT [PERIOD_MS]]
//
// Listens on PORT (8080, 0: any free one) and prints "listening on PORT". Every PERIOD_MS (1000) the number grows by one and "count N" is printed;
// with 0 it grows by requests only.
//
//     GET  /       {"count": N, "pid": P, "uid": U, "since": S}   S: when the process started, Unix time
//     POST /add    adds one and answers the same: the N that was answered is certainly counted
//
// No connection outlives its answer, so that a checkpoint rarely meets one. SIGTERM ends it with 0.

#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CLIENTS = 64, PATIENCE_MS = 1000 };

// Somebody who asks. `deadline` is for the whole conversation: the request, then until the client hangs up.
struct client {
    int fd;
    long deadline;
    bool answered;
    size_t used;
    char request[2048];
};

static struct client clients[CLIENTS];
static unsigned long count;
static time_t since;

static void stop(int number)
{
    (void)number;
    _exit(0);
}

static long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000L + now.tv_nsec / 1000000L;
}

// How long until `moment`, never more than `most`: after a restore on another machine the clock may have been set back.
static long remaining(long moment, long most)
{
    long left = moment - now_ms();
    return left > most || left < 0 ? 0 : left;
}

static void hang_up(struct client *client)
{
    close(client->fd);
    client->fd = -1;
}

static void answer(struct client *client)
{
    char body[160] = "", reply[400];
    const char *status = "200 OK";
    bool add = strncmp(client->request, "POST /add ", 10) == 0;
    if (add)
        count++;
    if (add || strncmp(client->request, "GET / ", 6) == 0)
        snprintf(body, sizeof body, "{\"count\": %lu, \"pid\": %d, \"uid\": %d, \"since\": %ld}\n", count, (int)getpid(),
                 (int)getuid(), (long)since);
    else if (strstr(client->request, " HTTP/"))
        status = "404 Not Found";
    else
        status = "400 Bad Request";
    int length = snprintf(reply, sizeof reply,
                          "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n"
                          "Connection: close\r\n\r\n%s",
                          status, strlen(body), body);
    send(client->fd, reply, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT);
    // The client hangs up first, or is hung up on after a while: closing with something unread would reset the
    // connection, and the client could lose the answer.
    shutdown(client->fd, SHUT_WR);
    client->answered = true;
}

static void hear(struct client *client)
{
    char ignored[2048];
    size_t room = sizeof client->request - 1 - client->used;
    ssize_t got = client->answered ? recv(client->fd, ignored, sizeof ignored, MSG_DONTWAIT)
                                   : recv(client->fd, client->request + client->used, room, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        hang_up(client);
        return;
    }
    if (client->answered)
        return;
    client->used += (size_t)got;
    client->request[client->used] = '\0';
    if (strstr(client->request, "\r\n\r\n") || strstr(client->request, "\n\n") || client->used == sizeof client->request - 1)
        answer(client);
}

static void welcome(int listener)
{
    for (int i = 0; i < CLIENTS; i++) {
        if (clients[i].fd >= 0)
            continue;
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            clients[i] = (struct client){.fd = fd, .deadline = now_ms() + PATIENCE_MS};
        return;
    }
}

// Serve whoever asks, for at most `timeout` milliseconds (-1: until something happens).
static void serve(int listener, long timeout)
{
    struct pollfd waits[CLIENTS + 1];
    struct client *who[CLIENTS + 1];
    nfds_t used = 0;
    for (int i = 0; i < CLIENTS; i++) {
        struct client *client = &clients[i];
        if (client->fd >= 0 && remaining(client->deadline, PATIENCE_MS) == 0)
            hang_up(client);
        if (client->fd < 0)
            continue;
        long left = remaining(client->deadline, PATIENCE_MS);
        if (timeout < 0 || left < timeout)
            timeout = left;
        waits[used] = (struct pollfd){.fd = client->fd, .events = POLLIN};
        who[used++] = client;
    }
    // With all places taken the next ones wait in the listener's queue.
    nfds_t places = used;
    if (used < CLIENTS)
        waits[used++] = (struct pollfd){.fd = listener, .events = POLLIN};
    if (poll(waits, used, (int)timeout) <= 0)
        return;
    for (nfds_t i = 0; i < places; i++)
        if (waits[i].revents)
            hear(who[i]);
    if (used > places && waits[places].revents)
        welcome(listener);
}

static long number(const char *text, long most)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*end || end == text || value < 0 || value > most) {
        fprintf(stderr, "usage: counter [PORT [PERIOD_MS]]\n");
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    long port = argc > 1 ? number(argv[1], 65535) : 8080;
    long period = argc > 2 ? number(argv[2], 86400000) : 1000;
    signal(SIGTERM, stop);
    signal(SIGINT, stop);
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    since = time(NULL);
    for (int i = 0; i < CLIENTS; i++)
        clients[i].fd = -1;

    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int yes = 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) ||
        bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 128)) {
        perror("counter: listen");
        return 1;
    }
    socklen_t length = sizeof address;
    getsockname(listener, (struct sockaddr *)&address, &length);
    printf("listening on %d\n", ntohs(address.sin_port));

    long due = now_ms() + period;
    for (;;) {
        long wait = period ? remaining(due, period) : -1;
        if (wait != 0) {
            serve(listener, wait);
            continue;
        }
        printf("count %lu\n", ++count);
        due += period;
        if (remaining(due, period) == 0)
            due = now_ms() + period; // it was stopped for longer than that, or the clock was set back
    }
}
