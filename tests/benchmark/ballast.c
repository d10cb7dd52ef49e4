// Copyright (c) 2026, checkpoint_restore.kubernetes contributors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// Linked to another program, it has that hold BALLAST_MIB of memory that nothing compresses.

#include <stdlib.h>
#include <sys/random.h>

static unsigned char ballast[BALLAST_MIB << 20];

__attribute__((constructor)) static void load(void)
{
    // One call gives no more than 32 MiB.
    for (size_t done = 0; done < sizeof ballast; done += 1 << 20)
        if (getrandom(ballast + done, 1 << 20, 0) != 1 << 20)
            abort();
}
