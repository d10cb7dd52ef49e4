// Copyright (c) 2026, checkpoint_restore.kubernetes contributors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// ledger: one of everything that an archive of a process tree can hold, planted and written down.
//
//     ledger [PORT]        and the environment: LEDGER_SECRET, for the pod to set
//
//     ledger                process tree: this one, two children, one grandchild
//     ├── ledger-threads    three threads; adds one to a number in the shared memory, ten times a second
//     └── ledger-middle
//         └── ledger-leaf
//
// `ledger` itself holds the descriptors: a listening TCP socket (PORT, 8081), an open file that is deleted, a memfd, a
// pipe with data that nobody has read, a pair of unix sockets with a message under way, an eventfd, a signalfd, an epoll
// that watches socket and signalfd; and a secret on its heap. `ledger` and `ledger-threads` share a System V segment.
//
// When all is planted it prints one line of JSON that names everything, and serves the socket: a connection gets the
// number in the shared memory. The secret on the heap stands there in hexadecimal, so that its only plain copy is the
// planted one. SIGTERM ends all processes, the first one with 0; it ends with 1 if one of the others is lost.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define DELETED_TEXT "ledger: this file has no name any more\n"
#define MEMFD_TEXT "ledger: this file never had a name\n"
#define PIPE_TEXT "ledger: nobody has read this\n"
#define SOCKET_TEXT "ledger: this message is under way\n"
#define SHARED_TEXT "ledger: two processes see this"
#define EVENTS 7

// What lies in the System V segment.
struct shared {
    char text[64];
    volatile unsigned long number;
    volatile pid_t middle, leaf, threads[3];
};

static void fail(const char *what)
{
    fprintf(stderr, "ledger: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int must(int result, const char *what)
{
    if (result < 0)
        fail(what);
    return result;
}

static void put(int fd, const char *text)
{
    if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        fail("write");
}

// A process that ends with the one that made it. 0 in the new process, its pid in the old one.
static pid_t spawn(const char *name)
{
    pid_t maker = getpid();
    pid_t pid = must(fork(), "fork");
    if (pid)
        return pid;
    prctl(PR_SET_NAME, name);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != maker)
        _exit(1);
    // SIGTERM is blocked for the first process's signalfd; the others just end by it.
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    return 0;
}

__attribute__((noreturn)) static void *wait_for_ever(void *place)
{
    *(volatile pid_t *)place = gettid();
    for (;;)
        pause();
}

__attribute__((noreturn)) static void run_threads(struct shared *shared)
{
    pthread_t thread;
    shared->threads[0] = gettid();
    for (int i = 1; i < 3; i++)
        if (pthread_create(&thread, NULL, wait_for_ever, (void *)&shared->threads[i]))
            _exit(1);
    for (;;) {
        shared->number++;
        poll(NULL, 0, 100);
    }
}

__attribute__((noreturn)) static void run_middle(struct shared *shared)
{
    shared->middle = getpid();
    pid_t leaf = spawn("ledger-leaf");
    if (!leaf) {
        shared->leaf = getpid();
        for (;;)
            pause();
    }
    while (waitpid(leaf, NULL, 0) != leaf)
        continue;
    _exit(1); // which the first process notices
}

static int open_listener(unsigned short port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int yes = 1;
    int fd = must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    must(bind(fd, (struct sockaddr *)&address, sizeof address), "bind");
    must(listen(fd, 16), "listen");
    return fd;
}

static unsigned short port_of(int fd)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    must(getsockname(fd, (struct sockaddr *)&address, &length), "getsockname");
    return ntohs(address.sin_port);
}

// Random, so that it can't be found anywhere but where it was put.
static char *plant_secret(void)
{
    unsigned char random[16];
    char *secret = malloc(sizeof "heap-secret-" + 2 * sizeof random);
    if (!secret || getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        fail("secret");
    char *end = stpcpy(secret, "heap-secret-");
    for (size_t i = 0; i < sizeof random; i++)
        end += sprintf(end, "%02x", random[i]);
    return secret;
}

// Plain text into a JSON string; `size` holds the worst case.
static void quote(const char *text, char *out, size_t size)
{
    char *end = out + size - 8;
    for (*out++ = '"'; *text && out < end; text++)
        if (*text == '"' || *text == '\\' || (unsigned char)*text < 0x20)
            out += sprintf(out, "\\u%04x", *text);
        else
            *out++ = *text;
    strcpy(out, "\"");
}

static void tell_number(int listener, struct shared *shared)
{
    char text[64], ignored[512];
    struct timeval patience = {.tv_sec = 1};
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    int length = snprintf(text, sizeof text, "%lu\n", shared->number);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    send(fd, text, (size_t)length, MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    // Closing with something unread would reset the connection.
    for (int i = 0; i < 16 && recv(fd, ignored, sizeof ignored, 0) > 0; i++)
        continue;
    close(fd);
}

// Ends the program on SIGTERM, or when a child has ended.
static void take_signal(int signals, const pid_t children[2], int segment)
{
    struct signalfd_siginfo signal;
    if (read(signals, &signal, sizeof signal) != (ssize_t)sizeof signal)
        return;
    int status = 0;
    if (signal.ssi_signo == SIGCHLD) {
        pid_t ended;
        while ((ended = waitpid(-1, NULL, WNOHANG)) > 0)
            if (ended == children[0] || ended == children[1])
                status = 1;
        if (status == 0)
            return; // an orphan that process 1 was given
        fprintf(stderr, "ledger: a child ended\n");
    }
    kill(children[0], SIGKILL);
    kill(children[1], SIGKILL);
    shmctl(segment, IPC_RMID, NULL);
    exit(status);
}

int main(int argc, char **argv)
{
    char *rest = "";
    long port = argc > 1 ? strtol(argv[1], &rest, 10) : 8081;
    if (*rest || port < 0 || port > 65535) {
        fprintf(stderr, "usage: ledger [PORT]\n");
        return 2;
    }
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGCHLD);
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    int listener = open_listener((unsigned short)port);

    int segment = must(shmget(IPC_PRIVATE, sizeof(struct shared), IPC_CREAT | 0600), "shmget");
    struct shared *shared = shmat(segment, NULL, 0);
    if (shared == (void *)-1)
        fail("shmat");
    memset((void *)shared, 0, sizeof *shared);
    strcpy(shared->text, SHARED_TEXT);

    pid_t children[2];
    children[0] = spawn("ledger-threads");
    if (!children[0]) {
        close(listener);
        run_threads(shared);
    }
    children[1] = spawn("ledger-middle");
    if (!children[1]) {
        close(listener);
        run_middle(shared);
    }

    // The children exist already: what is opened from here on is this process's alone.
    char path[] = "/tmp/ledger-XXXXXX";
    int deleted = must(mkostemp(path, O_CLOEXEC), "a file in /tmp");
    put(deleted, DELETED_TEXT);
    must(unlink(path), "unlink");
    int memfd = must(memfd_create("ledger-memfd", MFD_CLOEXEC), "memfd_create");
    put(memfd, MEMFD_TEXT);
    int pipes[2], sockets[2];
    must(pipe2(pipes, O_CLOEXEC), "pipe");
    put(pipes[1], PIPE_TEXT);
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), "socketpair");
    put(sockets[0], SOCKET_TEXT);
    int events = must(eventfd(EVENTS, EFD_CLOEXEC), "eventfd");
    int signals = must(signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd");
    int poller = must(epoll_create1(EPOLL_CLOEXEC), "epoll");
    int watched[] = {listener, signals};
    for (size_t i = 0; i < sizeof watched / sizeof *watched; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = watched[i]};
        must(epoll_ctl(poller, EPOLL_CTL_ADD, watched[i], &event), "epoll_ctl");
    }
    char *secret = plant_secret();
    char hexadecimal[128], *end = hexadecimal;
    for (const char *c = secret; *c; c++)
        end += sprintf(end, "%02x", *c);
    const char *environment = getenv("LEDGER_SECRET");
    char quoted[512] = "null";
    if (environment)
        quote(environment, quoted, sizeof quoted);

    // The others write down who they are.
    while (!shared->middle || !shared->leaf || !shared->threads[1] || !shared->threads[2])
        poll(NULL, 0, 5);

    char file[128], unnamed[128], piped[128], queued[128];
    quote(DELETED_TEXT, file, sizeof file);
    quote(MEMFD_TEXT, unnamed, sizeof unnamed);
    quote(PIPE_TEXT, piped, sizeof piped);
    quote(SOCKET_TEXT, queued, sizeof queued);
    printf("{\"pid\": %d, \"threads\": {\"pid\": %d, \"tids\": [%d, %d, %d]}, \"middle\": %d, \"leaf\": %d, ",
           (int)getpid(), (int)children[0], (int)shared->threads[0], (int)shared->threads[1], (int)shared->threads[2],
           (int)shared->middle, (int)shared->leaf);
    printf("\"listener\": {\"fd\": %d, \"port\": %d}, ", listener, port_of(listener));
    printf("\"deleted\": {\"fd\": %d, \"path\": \"%s\", \"text\": %s}, ", deleted, path, file);
    printf("\"memfd\": {\"fd\": %d, \"name\": \"ledger-memfd\", \"text\": %s}, ", memfd, unnamed);
    printf("\"pipe\": {\"read_fd\": %d, \"write_fd\": %d, \"text\": %s}, ", pipes[0], pipes[1], piped);
    printf("\"socketpair\": {\"fds\": [%d, %d], \"unread_at\": %d, \"text\": %s}, ", sockets[0], sockets[1], sockets[1], queued);
    printf("\"eventfd\": {\"fd\": %d, \"value\": %d}, \"signalfd\": {\"fd\": %d}, ", events, EVENTS, signals);
    printf("\"epoll\": {\"fd\": %d, \"watches\": [%d, %d]}, ", poller, listener, signals);
    printf("\"shared\": {\"id\": %d, \"address\": \"0x%lx\", \"size\": %zu, \"pids\": [%d, %d], \"text\": \"%s\"}, ", segment,
           (unsigned long)shared, sizeof *shared, (int)getpid(), (int)children[0], shared->text);
    printf("\"environment\": {\"name\": \"LEDGER_SECRET\", \"text\": %s}, ", quoted);
    printf("\"heap\": {\"address\": \"0x%lx\", \"length\": %zu, \"hex\": \"%s\"}}\n", (unsigned long)secret, strlen(secret),
           hexadecimal);
    fflush(stdout);

    for (;;) {
        struct epoll_event event;
        if (epoll_wait(poller, &event, 1, -1) != 1)
            continue;
        if (event.data.fd == listener)
            tell_number(listener, shared);
        else
            take_signal(signals, children, segment);
    }
}
