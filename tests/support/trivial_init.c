/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The smallest guest: one static PID 1 that says when it ran its first instruction, and then ends
 * in whatever way it is asked to.
 *
 * It sends datagrams "HOSTNAME WORD NANOSECONDS" to /bench/sock where such a socket is bound into
 * the guest: `ready` at its start, `down` when it has been asked to end. The instant is
 * CLOCK_REALTIME, the one clock that no time namespace moves.
 *
 * As PID 1:    SIGTERM, SIGPWR, SIGUSR2, SIGRTMIN+3 halt; SIGINT, SIGHUP, SIGRTMIN+5 reboot; the
 *              same words as below, as a signal from `init WORD` run inside, do what they say. With
 *              TRIVIAL=WORD[:N] in its environment it does that right after its start.
 * As others:   init exit N | crash | fault N | oom | halt | reboot | power-off   asks PID 1
 *              init return N                                      exits N itself
 *              init stay                                          says `here`, and stays
 * `fault N` ends by the processor's or the kernel's own signal N (SIGSEGV SIGBUS SIGFPE SIGILL
 * SIGSYS), `oom` by using more memory than there is.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "trivial_init.h"

static const char *const words[] = {
    [TRIVIAL_EXIT] = "exit",           [TRIVIAL_CRASH] = "crash",
    [TRIVIAL_HALT] = "halt",           [TRIVIAL_REBOOT] = "reboot",
    [TRIVIAL_POWER_OFF] = "power-off", [TRIVIAL_RETURN] = "return",
    [TRIVIAL_FAULT] = "fault",         [TRIVIAL_OOM] = "oom",
    [TRIVIAL_STAY] = "stay",
};

static enum trivial_word word_find(const char *text, size_t length)
{
    for (size_t i = TRIVIAL_EXIT; i < sizeof(words) / sizeof(words[0]); i++)
        if (strlen(words[i]) == length && memcmp(words[i], text, length) == 0)
            return (enum trivial_word)i;
    return TRIVIAL_NONE;
}

static void say(const char *what, const struct timespec *when)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/bench/sock"};
    char host[65] = "";
    char text[160];

    int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (sock < 0)
        return;
    (void)gethostname(host, sizeof(host) - 1);
    int length = snprintf(text, sizeof(text), "%s %s %lld", host, what,
                          (long long)when->tv_sec * 1000000000 + when->tv_nsec);
    (void)sendto(sock, text, (size_t)length, 0, (struct sockaddr *)&address, sizeof(address));
    (void)close(sock);
}

/* A page that faults when it is written: of nobody, or behind the end of its file. */
static void touch(int protection, int flags, int fd)
{
    volatile char *page = mmap(NULL, 4096, protection, flags, fd, 0);

    if (page != MAP_FAILED)
        *page = 1;
}

/* Forbid one system call, and make it. */
static void break_a_filter(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0)
        (void)syscall(SYS_getppid);
}

/* A fault is the only signal that ends a PID 1 from within. Returns if none is of this kind. */
static void fault(int number)
{
    if (number == SIGSEGV)
        touch(PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    if (number == SIGBUS)
        touch(PROT_READ | PROT_WRITE, MAP_SHARED, memfd_create("empty", MFD_CLOEXEC));
    if (number == SIGFPE)
        _exit(100 / (getpid() - 1));
    if (number == SIGILL)
        __builtin_trap();
    if (number == SIGSYS)
        break_a_filter();
}

static void use_all_memory(void)
{
    const size_t step = 1 << 20;

    for (;;) {
        char *more = mmap(NULL, step, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (more == MAP_FAILED)
            return;
        memset(more, 1, step);
    }
}

static _Noreturn void end(enum trivial_word word, int number)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    say("down", &now);
    if (word == TRIVIAL_HALT)
        (void)reboot((int)RB_HALT_SYSTEM);
    if (word == TRIVIAL_REBOOT)
        (void)reboot((int)RB_AUTOBOOT);
    if (word == TRIVIAL_POWER_OFF)
        (void)reboot((int)RB_POWER_OFF);
    if (word == TRIVIAL_CRASH)
        fault(SIGILL);
    if (word == TRIVIAL_FAULT)
        fault(number);
    if (word == TRIVIAL_OOM)
        use_all_memory();
    _exit(number);
}

/* Handlers are there to be seen in SigCgt; the signals stay blocked and are waited for. */
static void on_signal(int number)
{
    (void)number;
}

static void wait_for_word(void)
{
    sigset_t all;
    siginfo_t info;
    struct sigaction action = {.sa_handler = on_signal};
    const int heard[] = {SIGTERM, SIGPWR,       SIGUSR2,      SIGINT,
                         SIGHUP,  SIGRTMIN + 3, SIGRTMIN + 5, TRIVIAL_SIGNAL};

    (void)sigfillset(&all);
    for (size_t i = 0; i < sizeof(heard) / sizeof(heard[0]); i++)
        (void)sigaction(heard[i], &action, NULL);
    for (;;) {
        int number = sigwaitinfo(&all, &info);
        if (number == TRIVIAL_SIGNAL)
            end((enum trivial_word)(info.si_value.sival_int / 256), info.si_value.sival_int % 256);
        if (number == SIGINT || number == SIGHUP || number == SIGRTMIN + 5)
            end(TRIVIAL_REBOOT, 1);
        if (number == SIGTERM || number == SIGPWR || number == SIGUSR2 || number == SIGRTMIN + 3)
            end(TRIVIAL_POWER_OFF, 1);
        while (number == SIGCHLD && waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
}

/* That it is there can be read from it. */
static _Noreturn void stay(void)
{
    (void)puts("here");
    (void)fflush(stdout);
    for (;;)
        (void)pause();
}

static int ask_pid_1(int argc, char **argv)
{
    enum trivial_word word = argc > 1 ? word_find(argv[1], strlen(argv[1])) : TRIVIAL_NONE;
    int number = argc > 2 ? (int)strtol(argv[2], NULL, 10) & 255 : 0;

    if (word == TRIVIAL_NONE) {
        (void)fputs("usage: init exit N | crash | fault N | oom | halt | reboot | power-off | "
                    "return N | stay\n",
                    stderr);
        return 2;
    }
    if (word == TRIVIAL_RETURN)
        return number;
    if (word == TRIVIAL_STAY)
        stay();
    if (sigqueue(1, TRIVIAL_SIGNAL, (union sigval){.sival_int = (int)word * 256 + number}) < 0) {
        perror("PID 1");
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct timespec now;
    sigset_t all;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (getpid() != 1)
        return ask_pid_1(argc, argv);
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, NULL);
    say("ready", &now);

    const char *at_once = getenv("TRIVIAL");
    if (at_once != NULL) {
        size_t length = strcspn(at_once, ":");
        const char *number = at_once[length] == ':' ? at_once + length + 1 : "0";
        enum trivial_word word = word_find(at_once, length);
        if (word != TRIVIAL_NONE)
            end(word, (int)strtol(number, NULL, 10) & 255);
    }
    wait_for_word();
}
