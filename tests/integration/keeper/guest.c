/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's init for tests: does what its first argument says. Static, so that a root is one
 * file. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int wait_for_term(void)
{
    sigset_t set;
    int signal;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)sigwait(&set, &signal);
    return 0;
}

static int say_ready(const char *path, const char *text)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    return sendto(fd, text, strlen(text), 0, (struct sockaddr *)&address, sizeof(address)) < 0;
}

int main(int argc, char **argv)
{
    const char *order = argc > 1 ? argv[1] : "wait";
    if (strcmp(order, "exit") == 0)
        return argc > 2 ? atoi(argv[2]) : 0;
    if (strcmp(order, "reboot") == 0)
        return reboot(RB_AUTOBOOT);
    if (strcmp(order, "halt") == 0)
        return reboot(RB_POWER_OFF);
    if (strcmp(order, "fault") == 0)
        abort();
    if (strcmp(order, "write") == 0) { /* so many octets to the console, then its name of ends */
        int fd = open("/dev/console", O_RDWR | O_NOCTTY);
        for (int left = atoi(argv[2]); left > 0; left--)
            if (write(fd, left % 64 == 1 ? "\n" : "x", 1) != 1)
                return 1;
        return 0;
    }
    if (strcmp(order, "hangup") == 0) { /* takes the console as its terminal and hangs it up */
        int fd = open("/dev/console", O_RDWR | O_NOCTTY);
        (void)setsid();
        (void)signal(SIGHUP, SIG_IGN);
        if (ioctl(fd, TIOCSCTTY, 1) < 0 || vhangup() < 0)
            return errno;
        return wait_for_term();
    }
    if (strcmp(order, "ready") == 0 && say_ready(argv[2], argv[3]) != 0)
        return errno;
    if (strcmp(order, "echo") == 0)
        return write(STDOUT_FILENO, argv[2], strlen(argv[2])) < 0;
    return wait_for_term();
}
