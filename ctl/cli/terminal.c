/* SPDX-License-Identifier: Apache-2.0 */
#include "terminal.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <termios.h>

static struct termios before;
static struct termios raw;
static int terminal = -1;
static volatile sig_atomic_t is_raw;

void terminal_restore(void)
{
    if (!is_raw)
        return;
    is_raw = 0;
    (void)tcsetattr(terminal, TCSADRAIN, &before);
}

static void on_crash(int number)
{
    terminal_restore();
    (void)raise(number); /* SA_RESETHAND: now it does what it always did */
}

static void catch_crashes(void)
{
    static const int numbers[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    struct sigaction action = {.sa_handler = on_crash, .sa_flags = (int)SA_RESETHAND | SA_NODEFER};

    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        (void)sigaction(numbers[i], &action, NULL);
}

int terminal_make_raw(int fd)
{
    if (tcgetattr(fd, &before) < 0)
        return -errno;
    raw = before;
    cfmakeraw(&raw);
    terminal = fd;
    catch_crashes();
    is_raw = 1;
    if (tcsetattr(fd, TCSADRAIN, &raw) == 0)
        return 0;
    is_raw = 0;
    return -errno;
}

void terminal_make_raw_again(void)
{
    if (is_raw)
        (void)tcsetattr(terminal, TCSADRAIN, &raw);
}

bool terminal_size(int fd, uint16_t *ret_rows, uint16_t *ret_columns)
{
    struct winsize size;

    if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_row == 0 || size.ws_col == 0)
        return false;
    *ret_rows = size.ws_row;
    *ret_columns = size.ws_col;
    return true;
}
