// Copyright (c) 2026, checkpoint_restore.kubernetes contributors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// nolimit.so: lets CRIU work on a machine whose kernel lacks something that real nodes give. Named in a node's
// /etc/ld.so.preload, only on machines without CAP_SYS_RESOURCE. Every call that succeeds goes through unchanged.
//
// 1. CRIU reads the resource limits of every process that it dumps with prlimit64, partly through libc's syscall(). For
//    processes of another user the kernel refuses that without CAP_SYS_RESOURCE. The same numbers stand in
//    /proc/PID/limits, which root may read: they are answered instead.
// 2. With -DCRIU_BEFORE_4_2: since Linux 6.16 SO_PASSCRED and SO_PASSSEC are refused for sockets that aren't unix or
//    netlink ones, which CRIU before 4.2 takes for a failure. They are off there: that is answered instead.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>

// How /proc/PID/limits names them.
static const char *const names[RLIM_NLIMITS] = {
    [RLIMIT_CPU] = "Max cpu time",
    [RLIMIT_FSIZE] = "Max file size",
    [RLIMIT_DATA] = "Max data size",
    [RLIMIT_STACK] = "Max stack size",
    [RLIMIT_CORE] = "Max core file size",
    [RLIMIT_RSS] = "Max resident set",
    [RLIMIT_NPROC] = "Max processes",
    [RLIMIT_NOFILE] = "Max open files",
    [RLIMIT_MEMLOCK] = "Max locked memory",
    [RLIMIT_AS] = "Max address space",
    [RLIMIT_LOCKS] = "Max file locks",
    [RLIMIT_SIGPENDING] = "Max pending signals",
    [RLIMIT_MSGQUEUE] = "Max msgqueue size",
    [RLIMIT_NICE] = "Max nice priority",
    [RLIMIT_RTPRIO] = "Max realtime priority",
    [RLIMIT_RTTIME] = "Max realtime timeout",
};

static rlim64_t parse(const char *text)
{
    return strcmp(text, "unlimited") == 0 ? RLIM64_INFINITY : strtoull(text, NULL, 10);
}

// Like prlimit64(pid, resource, NULL, limit), from /proc. 0, or -1 where it isn't found there.
static int read_limit(pid_t pid, unsigned resource, struct rlimit64 *limit)
{
    char path[64], line[256], soft[32], hard[32];
    int found = -1;
    if (resource >= RLIM_NLIMITS)
        return -1;
    size_t length = strlen(names[resource]);
    snprintf(path, sizeof path, "/proc/%d/limits", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return -1;
    while (found < 0 && fgets(line, sizeof line, file)) {
        if (strncmp(line, names[resource], length) != 0 || line[length] != ' ')
            continue;
        if (sscanf(line + length, "%31s %31s", soft, hard) != 2)
            continue;
        limit->rlim_cur = parse(soft);
        limit->rlim_max = parse(hard);
        found = 0;
    }
    fclose(file);
    return found;
}

// What to return after the kernel's `result`: success, if it was a refused question that /proc can answer.
static long amend(long result, pid_t pid, unsigned resource, const void *set, struct rlimit64 *get)
{
    int error = errno;
    if (result == -1 && error == EPERM && pid && !set && get && read_limit(pid, resource, get) == 0)
        return 0;
    errno = error;
    return result;
}

long syscall(long number, ...)
{
    static long (*next)(long, ...);
    long a[6];
    va_list arguments;
    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(arguments, long);
    va_end(arguments);
    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "syscall");
    long result = next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (number != SYS_prlimit64)
        return result;
    return amend(result, (pid_t)a[0], (unsigned)a[1], (const void *)a[2], (struct rlimit64 *)a[3]);
}

int prlimit64(pid_t pid, enum __rlimit_resource resource, const struct rlimit64 *set, struct rlimit64 *get)
{
    return (int)syscall(SYS_prlimit64, (long)pid, (long)resource, set, get);
}

#ifdef CRIU_BEFORE_4_2
int getsockopt(int fd, int level, int option, void *restrict value, socklen_t *restrict size)
{
    long result = syscall(SYS_getsockopt, (long)fd, (long)level, (long)option, value, size);
    int off = 0;
    if (result == 0 || errno != EOPNOTSUPP || level != SOL_SOCKET || (option != SO_PASSCRED && option != SO_PASSSEC))
        return (int)result;
    if (!value || !size || *size < sizeof off)
        return -1;
    memcpy(value, &off, sizeof off);
    *size = sizeof off;
    return 0;
}
#endif
