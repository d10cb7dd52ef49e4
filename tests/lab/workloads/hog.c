// Copyright (c) 2026, checkpoint_restore.kubernetes contributors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// hog: holds memory of a known size and kind.
//
//     hog [MIB [MODE]]        or the environment: MIB, MODE
//
// MIB is how much (64 where not given). MODE is what the pages hold: "random" (no archive gets smaller by compression),
// "zero" (written, so that they are there), "text" (lines of a log that never happened). Prints "ready MIB" when all is
// written, then waits for SIGTERM, which ends it with 0.

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

static void fill_random(char *memory, size_t size)
{
    uint64_t state;
    if (getrandom(&state, sizeof state, 0) != (ssize_t)sizeof state)
        state = (uintptr_t)memory;
    state |= 1;
    uint64_t *words = (uint64_t *)memory;
    for (size_t i = 0; i < size / sizeof *words; i++) {
        // xorshift64: as fast as memory, and nothing that a compressor understands.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        words[i] = state;
    }
}

static void fill_text(char *memory, size_t size)
{
    char line[96];
    unsigned long number = 0;
    for (size_t used = 0; used < size;) {
        size_t length = (size_t)snprintf(line, sizeof line, "order %08lu of customer %04lu: %lu pieces, shipped\n",
                                         number, number * 7919 % 10000, number % 13);
        if (length > size - used)
            length = size - used;
        memcpy(memory + used, line, length);
        used += length;
        number++;
    }
}

int main(int argc, char **argv)
{
    const char *mib = argc > 1 ? argv[1] : getenv("MIB");
    const char *mode = argc > 2 ? argv[2] : getenv("MODE");
    if (!mib)
        mib = "64";
    if (!mode)
        mode = "random";
    char *end;
    unsigned long amount = strtoul(mib, &end, 10);
    if (*end || amount == 0 || amount > 1UL << 20) {
        fprintf(stderr, "hog: MIB is a number of mebibytes, not %s\n", mib);
        return 2;
    }
    size_t size = amount << 20;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("hog: mmap");
        return 1;
    }
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    // Blocked from here on: a signal that comes while the pages are being written ends the program right after.
    sigprocmask(SIG_BLOCK, &signals, NULL);

    if (strcmp(mode, "random") == 0) {
        fill_random(memory, size);
    } else if (strcmp(mode, "zero") == 0) {
        memset(memory, 0, size);
    } else if (strcmp(mode, "text") == 0) {
        fill_text(memory, size);
    } else {
        fprintf(stderr, "hog: MODE is random, zero or text, not %s\n", mode);
        return 2;
    }
    printf("ready %lu\n", amount);
    fflush(stdout);
    while (sigwaitinfo(&signals, NULL) < 0)
        continue; // a checkpoint interrupts it
    return 0;
}
