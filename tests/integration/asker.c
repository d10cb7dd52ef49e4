// Copyright (c) 2026, checkpoint_restore.kubernetes contributors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

// asker: ends as it is told to, for the tests of a command that verifies a replacement.
//
//     asker STATUS SECONDS    ends with STATUS until the clock says SECONDS since 1970, from then on with 0
//
// Writes a line to each of its outputs first.

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int count, char **words)
{
    if (count != 3)
        return 100;
    puts("said on standard output");
    fprintf(stderr, "said on standard error\n");
    return time(NULL) < atol(words[2]) ? atoi(words[1]) : 0;
}
