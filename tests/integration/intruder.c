// Copyright (c) 2026, checkpoint_restore.kubernetes contributors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// intruder: what somebody who broke into a container leaves behind, harmless, for the findings of an inspection.
//
//     intruder              do all of it, print one line of JSON with the PID of each process, and wait
//     NAME wait [...]       only wait
//
// The static program is its own prey: it runs from a memfd, from a file that is gone, and as /usr/bin/added with the
// setuid bit. More children have other user IDs, a network connection (UDP, which needs no peer) or a socket of a
// session of its own as standard streams, or LD_PRELOAD and a password on the command line.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SELF "/proc/self/exe"
#define PAGE 4096

extern char **environ;

static int must(int result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "intruder: %s: %s\n", what, strerror(errno));
        exit(1);
    }
    return result;
}

static void *memory(int protection)
{
    void *place = mmap(NULL, PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(place == MAP_FAILED ? -1 : 0, "mmap");
    return place;
}

static void copy_self(int target)
{
    struct stat info;
    int source = must(open(SELF, O_RDONLY | O_CLOEXEC), SELF);
    must(fstat(source, &info), "fstat");
    for (off_t left = info.st_size; left > 0;)
        left -= must(sendfile(target, source, NULL, left), "sendfile");
    close(source);
}

static const char *copy_to(const char *path, mode_t mode)
{
    int target = must(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755), path);
    copy_self(target);
    must(fchmod(target, mode), "fchmod");
    close(target);
    return path;
}

static struct sockaddr_in address(const char *host, int port)
{
    struct sockaddr_in made = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, host, &made.sin_addr);
    return made;
}

static void standard_streams(int fd)
{
    for (int stream = 0; stream < 3; stream++)
        must(dup2(fd, stream), "dup2");
}

// What a child does before it becomes another program.
struct child {
    const char *program;
    int executable; // a descriptor, instead of the program
    int streams;    // a descriptor for standard input, output and error
    int session;    // begin one
    uid_t user;
    char *variable;
    char *argument;
};

// The PID of the child, when it is the other program.
static pid_t start(struct child child)
{
    char *arguments[] = {"intruder", "wait", child.argument, NULL};
    int running[2];
    must(pipe2(running, O_CLOEXEC), "pipe2");
    pid_t pid = must(fork(), "fork");
    if (!pid) {
        if (child.session)
            must(setsid(), "setsid");
        if (child.streams)
            standard_streams(child.streams);
        if (child.user)
            must(setuid(child.user), "setuid");
        if (child.variable)
            putenv(child.variable);
        if (child.executable)
            must(fexecve(child.executable, arguments, environ), "fexecve");
        must(execv(child.program ? child.program : SELF, arguments), "execv");
    }
    char nothing;
    close(running[1]);
    must(read(running[0], &nothing, 1), "read");
    close(running[0]);
    return pid;
}

int main(int argc, char **argv)
{
    signal(SIGTERM, SIG_DFL);
    if (argc > 1 && !strcmp(argv[1], "wait"))
        for (;;)
            pause();

    memory(PROT_READ | PROT_WRITE | PROT_EXEC);
    must(mprotect(memory(PROT_READ | PROT_WRITE), PAGE, PROT_READ | PROT_EXEC), "mprotect");
    must(open("/tmp/deleted", O_RDWR | O_CREAT | O_CLOEXEC, 0600), "/tmp/deleted");
    must(unlink("/tmp/deleted"), "unlink");

    int listener = must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
    struct sockaddr_in any = address("0.0.0.0", 4444);
    must(bind(listener, (struct sockaddr *)&any, sizeof any), "bind");
    must(listen(listener, 1), "listen");

    int outside = must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket");
    struct sockaddr_in far = address("203.0.113.7", 4444);
    must(connect(outside, (struct sockaddr *)&far, sizeof far), "connect");
    int pair[2];
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), "socketpair");
    int memfd = must(memfd_create("payload", MFD_CLOEXEC), "memfd_create");
    copy_self(memfd);
    mkdir("/usr", 0755);
    mkdir("/usr/bin", 0755);

    printf("{\"init\": %d", getpid());
    printf(", \"memfd\": %d", start((struct child){.executable = memfd}));
    printf(", \"deleted\": %d", start((struct child){.program = copy_to("/tmp/gone", 0755)}));
    must(unlink("/tmp/gone"), "unlink");
    printf(", \"added\": %d", start((struct child){.program = copy_to("/usr/bin/added", 04755)}));
    printf(", \"user\": %d", start((struct child){.user = 1001}));
    printf(", \"network\": %d", start((struct child){.streams = outside}));
    printf(", \"socket\": %d", start((struct child){.streams = pair[1], .session = 1}));
    close(pair[1]);
    printf(", \"preload\": %d", start((struct child){.variable = "LD_PRELOAD=/tmp/hidden.so"}));
    printf(", \"password\": %d}\n", start((struct child){.argument = "--password=planted-on-the-command-line"}));
    fflush(stdout);
    must(wait(NULL), "wait");
    return 1;
}
